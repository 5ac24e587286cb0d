"""A transformer written plainly, for the forms that `faithcheck_circuits.transformer` does not compute."""
