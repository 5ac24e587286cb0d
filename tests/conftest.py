"""One thread a process: pytest-xdist runs as many processes as there are cores, and results depend on the count.

No test fails for its time: a busy machine is no bug. And none goes by where it runs: pytest, rich and our reports print
other things in a CI runner or a narrow terminal, and a runner's summary is not for what tests report.
"""

import os

import pytest
from hypothesis import settings

SURROUNDINGS = (
    *("CI", "BUILD_NUMBER", "GITHUB_ACTIONS", "GITHUB_WORKSPACE", "GITHUB_STEP_SUMMARY"),
    *("FORCE_COLOR", "NO_COLOR", "PY_COLORS", "TTY_COMPATIBLE", "TTY_INTERACTIVE", "COLUMNS", "LINES"),
    *("PYTEST_ADDOPTS", "PYTHONUNBUFFERED"),
)

os.environ["OMP_NUM_THREADS"] = "1"
settings.register_profile("faithcheck", deadline=None)
settings.load_profile("faithcheck")


@pytest.fixture(scope="session", autouse=True)
def _nowhere():
    with pytest.MonkeyPatch.context() as patch:
        for name in SURROUNDINGS:
            patch.delenv(name, raising=False)
        yield
