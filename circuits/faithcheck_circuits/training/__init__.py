"""Training a weight-sparse transformer on generated stories."""
