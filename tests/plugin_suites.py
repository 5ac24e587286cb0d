"""A suite for tests of the pytest plugin, and ways to break it."""

SUITE = """\
faithcheck: 1
model: stories-tiny
tasks: [pronoun, questions]
method: full
seeds: 2
target_loss: 0.15
checks:
  - nonsense_control
  - layernorm: {gates: {frozen_loss: "<= 0.3"}}
"""
BROKEN = {
    "misspelt key": ("target_loss", "targt_loss", ":6: targt_loss: unknown key;"),
    "broken syntax": ("[pronoun, questions]", "[pronoun", ":4: "),
    "no checks": (SUITE[SUITE.index("checks:") :], "", ":1: "),
    "no tasks": ("tasks: [pronoun, questions]\n", "", ":1: "),
    "unknown task": ("[pronoun,", "[pronuon,", ":3: unknown task 'pronuon'"),
    "unknown check": ("layernorm:", "layernrom:", ":9: unknown check 'layernrom'"),
    "unknown method": ("method: full", "method: ful", ":4: unknown method 'ful'"),
    "no method": ("method: full\n", "", ": the suite names no method: give one with --faithcheck-method"),
    "bad gate": ('"<= 0.3"', '"=< 0.3"', ":9: "),
    "method file that is missing": ("method: full", "method: gone.py:Gone", ":4: "),
}
