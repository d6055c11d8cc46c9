"""A protocol: the clean one without early stopping, so that every run trains the same number of epochs."""

from dataclasses import replace

from cxrlib.protocols import PROTOCOLS

PROTOCOLS["unstopped"] = replace(PROTOCOLS["clean"], name="unstopped", checkpoint="last")
