"""One thread a process: pytest-xdist runs as many processes as there are cores, and results depend on the count."""

import os

os.environ["OMP_NUM_THREADS"] = "1"
