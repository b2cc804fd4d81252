"""Config: the options of a heap, validated by the core's own parser."""

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, Self

import attrs

from patalloc._core import ffi, lib
from patalloc.errors import OptionError

_CAPACITY = 8192  # bytes of what the core says

PRESETS: Mapping[str, str] = {
    "light": "report=yes:stacks=16:slack_check=large:guard_small=1000",
    "find": (
        "report=yes:stacks=16:slack_check=all:small_fill=both:guard_small=all:align=8:delay=0:"
        "on_free=quarantine"
    ),
    "harden": "report=no:slack_check=large:guard_small=1000:side=random:on_free=quarantine",
}
"""Option strings for a purpose: what a service can bear; every check on but leaks, for tests;
errors stop the program, blocks lie as chance has it, and nothing is told but a line."""


def _check(options: str) -> dict[str, str]:
    """All options in full, as the core reads this string."""
    text = ffi.new("char[]", _CAPACITY)
    if not isinstance(options, str):
        raise TypeError(f"options {options!r}: must be a str, not {type(options).__name__}")
    if "\0" in options:
        raise OptionError(f"{options!r}: options hold no NUL character")
    failed = lib.patalloc_options_check(options.encode(), text, _CAPACITY)
    written = ffi.string(text).decode()
    if failed:
        raise OptionError(written)
    return dict(line.split("=", 1) for line in written.splitlines())


@cache
def _presets() -> Mapping[str, str]:
    return _check("")


def _as_text(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)


def _pattern_text(pattern: int | str) -> str:
    """A number in hex, with the digits that a value of 1, 2, 4 or 8 bytes has."""
    if not isinstance(pattern, int):
        return str(pattern)
    width = next((w for w in (1, 2, 4, 8) if 0 <= pattern < 1 << 8 * w), None)
    return str(pattern) if width is None else f"0x{pattern:0{2 * width}x}"


def _option(name: str, converter: Callable[..., str] | None = None) -> Any:  # noqa: ANN401
    """A field preset as the core has it; stands for the field's own type."""
    return attrs.field(factory=lambda: _presets()[name], converter=converter)


@attrs.frozen(kw_only=True)
class Config:
    """The options of a heap; `patalloc options` tells what each means.

    Every value goes through the core's parser and reads back in its canonical form: sizes in bytes
    (given as numbers or as "128K"), the pattern in hex.

    >>> Config(pattern=0xDEADBEEF, threshold="64K").threshold
    65536
    >>> Config.parse("pattern=0x5a:guard_pages=2") == Config(pattern=0x5A, guard_pages=2)
    True

    Raises:
        OptionError: (a ValueError) a value is not allowed; the message says what is.
    """

    pattern: str = _option("pattern", _pattern_text)
    threshold: int = _option("threshold")
    guard_pages: int = _option("guard_pages")
    guard_small: str = _option("guard_small", _as_text)
    guard_sites: str = _option("guard_sites")
    align: str = _option("align", _as_text)
    side: str = _option("side")
    delay: int = _option("delay")
    fill: str = _option("fill")
    small_fill: str = _option("small_fill", _as_text)
    cache_size: int = _option("cache_size")
    retain_size: int = _option("retain_size")
    on_free: str = _option("on_free")
    quarantine_size: int = _option("quarantine_size")
    quarantine_blocks: int = _option("quarantine_blocks")
    release_interval: int = _option("release_interval")
    backend: str = _option("backend")
    tag: str = _option("tag")
    tag_check: str = _option("tag_check")
    without: str = _option("without")
    reserve: int = _option("reserve")
    report: str = _option("report", _as_text)
    headlines: bool = _option("headlines")
    stacks: str = _option("stacks", _as_text)
    slack_check: str = _option("slack_check", _as_text)
    leaks: str = _option("leaks", _as_text)
    trace: str = _option("trace")
    select: str = _option("select")
    record: str = _option("record")
    on_error: str = _option("on_error")
    on_fault: str = _option("on_fault")
    sandbox: bool = _option("sandbox")
    count: bool = _option("count")
    stats: str = _option("stats")

    def __attrs_post_init__(self) -> None:
        """Let the core check all values, and take them as it reads them."""
        checked = _check(str(self))
        for name in ("guard_sites", "record", "report", "select", "stats", "trace"):
            given: str = getattr(self, name)
            if checked[name] != given:
                raise OptionError(f"{name}={given}: bad value; allowed: no option within it")
        for field in attrs.fields(type(self)):
            text = checked[field.name]
            value: object = text
            if field.type is int:
                value = int(text)
            elif field.type is bool:
                value = text == "yes"
            object.__setattr__(self, field.name, value)

    def __str__(self) -> str:
        """The option string: what PATALLOC_OPTIONS and `parse` take."""
        return ":".join(
            f"{field.name}={_as_text(getattr(self, field.name))}"
            for field in attrs.fields(type(self))
        )

    @classmethod
    def parse(cls, options: str) -> Self:
        """The Config that an option string ("key=value:key=value") stands for.

        Raises:
            OptionError: a key or value is not allowed.
        """
        values: dict[str, Any] = dict(_check(options))
        return cls(**values)
