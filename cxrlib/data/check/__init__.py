"""What is wrong with a collection before anything is trained on it: one table of verdicts.

`verdicts` holds the single checks, `report` runs them all over the images, each decoded once at 64 pixels a side.
"""

from cxrlib.data.check.report import CheckReport, check
from cxrlib.data.check.verdicts import Verdict

__all__ = ["CheckReport", "Verdict", "check"]
