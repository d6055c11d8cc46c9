"""Trainings that are killed on the way."""

from contextlib import contextmanager

import pytest

from cxrlib.training import callbacks


@pytest.fixture
def killed_after(monkeypatch):
    """`with killed_after(2):` kills the training inside once two epochs are done; a state is written after every epoch."""
    monkeypatch.setattr(callbacks, "EVERY_S", 0.0)

    @contextmanager
    def during(epochs):
        begin = callbacks.Schedule.before_epoch

        def killed(self):
            begin(self)
            if len(self.recorder.values) == epochs:
                raise RuntimeError("killed")

        with monkeypatch.context() as patched:
            patched.setattr(callbacks.Schedule, "before_epoch", killed)
            with pytest.raises(RuntimeError, match="killed"):
                yield

    return during
