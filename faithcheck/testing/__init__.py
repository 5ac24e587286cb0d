"""For the tests of plugins: the laws of methods and of models, and a problem small enough to look at."""

from __future__ import annotations

from faithcheck.testing.method_laws import check_method
from faithcheck.testing.model_laws import check_model
from faithcheck.testing.tiny import tiny_problem

__all__ = ["check_method", "check_model", "tiny_problem"]
