"""Typed parameters: one declaration serves the notebooks, the command line and `RunConfig`.

papermill only warns about an unknown parameter, so the notebooks check their own: `check_namespace`
stops with one sentence that says what is allowed.
"""

import difflib
import types
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from cxrlib.errors import ParameterError

_BOOLEANS = {"true": True, "True": True, "false": False, "False": False}
_NOTEBOOK_NAMES = {"In", "Out"}


@dataclass(frozen=True)
class Parameter:
    """One parameter: its type, its default, what it may be, and a line of help."""

    name: str
    type: type
    default: Any
    help: str
    choices: tuple[Any, ...] = ()
    low: float | None = None  # smallest value allowed
    high: float | None = None  # largest value allowed
    open_low: bool = False  # True: `low` itself is not allowed
    optional: bool = False  # True: None is allowed
    parse: Callable[[str], object] | None = None  # a further check of a string; raises ParameterError

    @property
    def allowed(self) -> str:
        """What the parameter may be, in words."""
        if self.choices:
            text = "one of " + ", ".join(map(str, self.choices))
        else:
            text = {int: "a whole number", float: "a number", bool: "True or False", str: "a text"}[self.type]
            above = "above" if self.open_low else "of at least"
            if self.low is not None:
                text += f" {above} {_plain(self.low)}"
            if self.high is not None:
                text += f"{' and' if self.low is not None else ''} of at most {_plain(self.high)}"
        return text + (", or None" if self.optional else "")

    def check(self, value: Any) -> Any:
        """`value` as this parameter's type; raises ParameterError naming what is allowed."""
        if value is None and self.optional:
            return None
        if self.type is bool and isinstance(value, str) and value in _BOOLEANS:
            value = _BOOLEANS[value]  # papermill passes `-p rerun true` as a text
        if self.type is float and isinstance(value, int) and not isinstance(value, bool):
            value = float(value)
        wrong_type = not isinstance(value, self.type) or (isinstance(value, bool) and self.type is not bool)
        if wrong_type or not self._in_range(value):
            raise ParameterError(f"{self.name} = {value!r} is not allowed: {self.name} must be {self.allowed}.")
        if self.parse is not None:
            self.parse(value)
        return value

    def _in_range(self, value: Any) -> bool:
        if self.choices:
            return value in self.choices
        if self.type not in (int, float):
            return True
        above = True if self.low is None else (value > self.low if self.open_low else value >= self.low)
        return value == value and above and (self.high is None or value <= self.high)


def _plain(bound: float) -> str:
    """A bound in digits, without an exponent: 2147483647, 0.999."""
    return str(int(bound)) if bound == int(bound) else f"{bound:g}"


def check_values(values: Mapping[str, Any], parameters: Iterable[Parameter], kind: str = "parameter") -> dict[str, Any]:
    """`values` checked and converted; a parameter not given takes its default.

    Raises ParameterError for an unknown name (with the nearest known one), a wrong type or a wrong value.
    """
    known = {parameter.name: parameter for parameter in parameters}
    for name in values:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean '{near[0]}'?" if near else f"known are {', '.join(sorted(known))}."
            raise ParameterError(f"unknown {kind} '{name}'; {hint}")
    return {name: p.check(values[name]) if name in values else p.default for name, p in known.items()}


def check_namespace(namespace: Mapping[str, Any], parameters: Iterable[Parameter]) -> dict[str, Any]:
    """The parameters among a notebook's globals, checked; any other plain variable there is an error."""
    skip = (types.ModuleType, types.FunctionType, types.BuiltinFunctionType, types.MethodType, type)
    values = {
        name: value
        for name, value in namespace.items()
        if not name.startswith("_")
        and name not in _NOTEBOOK_NAMES
        and not isinstance(value, skip)
        and not callable(value)
    }
    return check_values(values, parameters)
