"""Thresholds that several checks share."""

MATTERS = 0.05
"""The share of all importance above which one head or node is judged by itself."""
NEGLIGIBLE = 0.05
"""Where all importance together is below this many nats, no share of it means anything."""
NO_EFFECT = (
    "leaving out the whole circuit hardly lowers the answer's log-odds, so no share of its effect means anything"
)
HAS_ROLE, HAS_NO_ROLE = 0.5, 0.1
"""Standard deviations from which an effect is one, and below which there is none."""
