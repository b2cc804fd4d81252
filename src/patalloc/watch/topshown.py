"""Looks at a running heap as data, and in a terminal."""

from collections.abc import Iterator
from pathlib import PurePath
from typing import Any

from rich.text import Text

from patalloc.watch.mapshown import totals
from patalloc.watch.symbols import Location
from patalloc.watch.top import Look, Row

_WRITTEN = ("written", "read", "untouched", "swapped", "huge", "kept")  # which pages tell


def _totals(look: Look) -> dict[str, int | None]:
    found: dict[str, int | None] = dict(totals(look.map))
    return {
        name: found[name] if look.is_known or name not in _WRITTEN else None
        for name in (*_WRITTEN, "quarantined")
    }


def _age(look: Look, row: Row) -> float | None:
    """Seconds; of what has come since the clock was read, 0."""
    return None if look.map.now is None else max(look.map.now - row.since, 0) / 1000


def _place(location: Location) -> dict[str, Any]:
    return {
        "function": location.function,
        "file": location.file,
        "line": location.line,
        "module": location.module,
        "offset": None if location.line else location.offset,
    }


def _row(look: Look, row: Row) -> dict[str, Any]:
    return {
        "blocks": row.blocks,
        "bytes": row.size,
        "written": row.written if look.is_known else None,
        "unwritten": row.unwritten if look.is_known else None,
        "unwritten_share": row.share if look.is_known else None,
        "age": _age(look, row),
        "site": _place(row.key) if isinstance(row.key, Location) else None,
        "least": row.key if isinstance(row.key, int) else None,
    }


def data(look: Look, key: str, most: int | None, interval: float) -> dict[str, Any]:
    """All of it, as JSON can have it: what `patalloc top --json` prints."""
    rows = look.sorted(key)
    return {
        "version": 1,
        "process": look.map.pid,
        "command": look.command,
        "interval": interval,
        "resident": look.resident,
        "anonymous": look.anonymous,
        "blocks": sum(row.blocks for row in rows),
        "bytes": sum(row.size for row in rows),
        **_totals(look),
        "new_per_second": _rate(look),
        "by": "site" if look.by_site else "size",
        "left_out": len(rows) - len(rows[:most]),
        "rows": [_row(look, row) for row in rows[:most]],
    }


def _rate(look: Look) -> float | None:
    return None if look.new is None else look.new / max(look.seconds, 1e-3)


def _size(size: int) -> str:
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1 << 10:
            return f"{size} {unit}"
        size >>= 10
    return f"{size} TiB"


def _name(key: Location | int | None) -> str:
    if key is None:
        return "no call stack"
    if isinstance(key, int):
        return f"{_size(key)} to {_size(key * 2)}"
    module = PurePath(key.module).name if key.module else "code from no file"
    if key.function is None:
        return f"{module}+{key.offset:#x}"
    if key.file is None:
        return f"{key.function} ({module})"
    return f"{key.function} at {PurePath(key.file).name}:{key.line or '?'}"


def _head(look: Look, interval: float) -> Iterator[str]:
    rows, rate = look.rows, _rate(look)
    yield f"process {look.map.pid}: {look.command}"
    yield (
        f"resident {look.resident:,}, anonymous {look.anonymous:,}; a look every {interval:.3g} s"
    )
    yield (
        f"{sum(row.blocks for row in rows):,} blocks of {sum(row.size for row in rows):,} bytes"
        + ("" if rate is None else f", {rate:,.1f} new a second")
    )
    yield ", ".join(f"{name} {size:,}" for name, size in _totals(look).items() if size is not None)
    if not look.is_known:
        yield "what was written is not known: this process may not read its page map"
    if rows and not look.by_site:
        yield "by size, as there are no call stacks: options report=yes:stacks=16 give them"


def lines(look: Look, key: str, most: int | None, interval: float) -> Iterator[Text]:
    """For a terminal: what there is in all, and then its rows."""
    for line in _head(look, interval):
        yield Text(line, no_wrap=True, overflow="ellipsis")
    title = f"{'blocks':>8} {'bytes':>16} {'written':>16} {'unwritten':>9} {'oldest':>9}  "
    yield Text(title + ("site" if look.by_site else "size"), style="reverse")
    rows = look.sorted(key)
    for row in rows[:most]:
        age = _age(look, row)
        written, never = (f"{row.written:,}", f"{row.share:.1%}") if look.is_known else ("-", "-")
        numbers = (
            f"{row.blocks:>8,} {row.size:>16,} {written:>16} {never:>9} "
            f"{'-' if age is None else f'{age:,.1f} s':>9}  "
        )
        yield Text(numbers + _name(row.key), no_wrap=True, overflow="ellipsis")
    if len(rows) > len(rows[:most]):
        yield Text(f"... {len(rows) - len(rows[:most]):,} more")
