"""`faithcheck show`: all there is to know about one method, check, task, model or suite. No torch but for models."""
