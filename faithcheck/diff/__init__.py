"""Which verdicts and metrics of one result moved, against another, beyond noise. No torch, no model."""
