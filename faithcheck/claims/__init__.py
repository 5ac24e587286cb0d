"""Claims: what somebody says of a circuit of a model, written down with hashes and tested again by `faithcheck run`."""
