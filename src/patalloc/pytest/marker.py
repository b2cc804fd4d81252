"""The marker `patalloc` of a test, read."""

import re
from collections.abc import Callable
from typing import Any, NamedTuple, NoReturn

import pytest

import patalloc

NAME = "patalloc"
_UNITS = {"B": 1} | {
    f"{prefix}{unit}": base**power
    for unit, base in (("iB", 1024), ("B", 1000))
    for power, prefix in enumerate("kMGT" if unit == "B" else "KMGT", 1)
}
_ALLOWED = f"a number of bytes, or one with a unit: {', '.join(_UNITS)}"


class Marker(NamedTuple):
    """What a test says of its memory.

    Attributes:
        pattern: what fresh memory is to hold. written: how many bytes of blocks' pages the test
            may write. None for nothing said.
    """

    pattern: str | None = None
    written: int | None = None


def refuse(because: object) -> NoReturn:
    """Have the test end for its marker."""
    pytest.fail(f"@pytest.mark.{NAME}: {because}", pytrace=False)


def _pattern(value: Any) -> str:  # noqa: ANN401 (what a test gave)
    try:
        return patalloc.Config(pattern=value).pattern
    except patalloc.OptionError as error:
        refuse(error)


def _written(value: Any) -> int:  # noqa: ANN401
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    amount = (
        re.fullmatch(r"(\d+(?:\.\d+)?) ?([a-zA-Z]+)", value) if isinstance(value, str) else None
    )
    if not amount or amount[2] not in _UNITS:
        refuse(f"written={value!r}: bad value; allowed: {_ALLOWED}")
    return int(float(amount[1]) * _UNITS[amount[2]])


_READ: dict[str, Callable[[Any], Any]] = {"pattern": _pattern, "written": _written}


def marker_of(test: pytest.Item) -> Marker:
    """That of the test; of several what the closest one says.

    Raises:
        Failed: it is no good.
    """
    given: dict[str, Any] = {}
    for mark in test.iter_markers(NAME):
        unknown = [repr(each) for each in mark.args] + [*mark.kwargs.keys() - _READ.keys()]
        if unknown:
            refuse(f"{', '.join(unknown)}: no such argument; allowed: {', '.join(_READ)}, by name")
        given = {**mark.kwargs, **given}
    return Marker(**{name: _READ[name](value) for name, value in given.items()})
