"""Errors a user can act on: each message is one sentence (or a short list) that says what to do."""


class CxrError(Exception):
    """Base of every error that `cxrlib` raises on purpose."""


class ParameterError(CxrError, ValueError):
    """A parameter is unknown, of the wrong type or out of range."""


class DataError(CxrError, ValueError):
    """A data set, table or image is missing or not as its publisher lays it out."""


class WeightsError(CxrError, RuntimeError):
    """Pretrained weights are missing or do not fit the network."""


class RecordError(CxrError, RuntimeError):
    """A run's record is damaged, or does not belong to the config or data it claims."""
