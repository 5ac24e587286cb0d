"""First-party plugins of faithcheck: the weight-sparse transformer, its bundled weights, and extraction methods."""
