"""`faithcheck init`: a method, a suite or a task to start from, written from the templates beside this package."""
