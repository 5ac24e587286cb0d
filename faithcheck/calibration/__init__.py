"""How often faithcheck's own checks are wrong, measured on planted models. Importing this imports no torch."""

from faithcheck.calibration.calibration import Calibration
from faithcheck.calibration.running import Interrupted, calibrate

__all__ = ["Calibration", "Interrupted", "calibrate"]
