"""Reports rendered from result.json and the evidence beside it, with no model at hand and without torch."""
