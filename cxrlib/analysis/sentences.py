"""Helpers for sentences that are made from numbers; a chapter's module composes them."""

from collections.abc import Sequence


def count(number: int, noun: str, plural: str = "") -> str:
    """'1 run', '3 runs'; `plural` where it is not the noun with an s."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def listed(parts: Sequence[str], word: str = "and") -> str:
    """'a', 'a and b', 'a, b and c'."""
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} {word} {parts[-1]}" if parts else ""


def signed(value: float, digits: int = 3) -> str:
    """A difference with its sign: '+0.012'."""
    return f"{value:+.{digits}f}"


def interval(low: float | None, high: float | None, digits: int = 3) -> str:
    """'[0.412, 0.633]'; 'no interval' where it is not defined."""
    missing = low is None or high is None or low != low or high != high
    return "no interval" if missing else f"[{low:.{digits}f}, {high:.{digits}f}]"


def estimate(value: float | None, low: float | None, high: float | None, digits: int = 3) -> str:
    """'0.517 [0.412, 0.633]'; 'not defined' where there is no value."""
    return "not defined" if value is None or value != value else f"{value:.{digits}f} {interval(low, high, digits)}"


def percent(share: float, digits: int = 1) -> str:
    """A share as '3.8 %', the two not to be parted at the end of a line."""
    return f"{100 * share:.{digits}f}\N{NO-BREAK SPACE}%"
