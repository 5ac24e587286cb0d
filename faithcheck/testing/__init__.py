"""For the tests of plugins: the laws of methods and of models, and a problem small enough to look at."""

from __future__ import annotations

from faithcheck.testing.methods.check import check_method
from faithcheck.testing.models.check import check_model
from faithcheck.testing.tiny.problem import tiny_problem

__all__ = ["check_method", "check_model", "tiny_problem"]
