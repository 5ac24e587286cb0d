"""One thread a process: pytest-xdist runs as many processes as there are cores, and results depend on the count.

No test fails for its time: a busy machine is no bug.
"""

import os

from hypothesis import settings

os.environ["OMP_NUM_THREADS"] = "1"
settings.register_profile("faithcheck", deadline=None)
settings.load_profile("faithcheck")
