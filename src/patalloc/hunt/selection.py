"""Selections: which allocations hold another pattern than the heap's (option `select`)."""

import struct
from collections.abc import Iterable

import attrs

_HEADER = struct.Struct("8sQIIQQQ")
_PART = struct.Struct("QQQQQ")
_MAGIC = b"patsel1\n"
END = (1 << 64) - 1  # of numbers and offsets: whatever there is


@attrs.frozen(order=True)
class Part:
    """Bytes of some allocations.

    Attributes:
        site: their call stack's identity; 0 for any, if the whole selection is so.
        first: the number of the first one there, from 1; last: of the last one.
        start: the offset of the first byte; end: past the last one.
    """

    site: int
    first: int = 1
    last: int = END
    start: int = 0
    end: int = END


def pack(
    pattern: int,
    size: int,
    parts: Iterable[Part],
    stop: tuple[int, int] = (0, 0),
    frames: int = 0,
) -> bytes:
    """The file that the core reads.

    Args:
        pattern: what the bytes hold, over and over: a number of `size` bytes (1, 2, 4 or 8).
        size: its size.
        parts: the bytes; those of one site must not overlap, but for parts of one allocation.
        stop: an allocation at which the process is to abort, by site and number; (0, 0) for none.
        frames: how many of a call stack are looked at, for guard_sites; 0 for 16.
    """
    word = int.from_bytes(pattern.to_bytes(size, "little") * (8 // size), "little")
    chosen = sorted(parts, key=lambda part: (part.site, part.last, part.first, part.start))
    packed = [_PART.pack(*attrs.astuple(part)) for part in chosen]
    return _HEADER.pack(_MAGIC, word, size, frames, *stop, len(packed)) + b"".join(packed)
