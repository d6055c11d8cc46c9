"""What is wrong with a collection before anything is trained on it: one table of verdicts."""

from cxrlib.check.report import CheckReport, check
from cxrlib.check.verdicts import Verdict

__all__ = ["CheckReport", "Verdict", "check"]
