"""What is wrong with a collection before anything is trained on it: one table of verdicts."""

from cxrlib.data.check.report import CheckReport, check
from cxrlib.data.check.verdicts import Verdict

__all__ = ["CheckReport", "Verdict", "check"]
