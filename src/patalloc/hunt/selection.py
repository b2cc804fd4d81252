"""Selections: which allocations hold something else than the heap's pattern (option `select`)."""

import struct
from collections.abc import Iterable

import attrs

from patalloc.heap import Config

_HEADER = struct.Struct("8sQIIQQQ")
_PART = struct.Struct("QQQQQQQ")
_MAGIC = b"patsel2\n"
_MAPPINGS, _LEAVES_FREED, _SERVES = 1, 2, 4
END = (1 << 64) - 1  # of numbers and offsets: whatever there is

# Values that programs treat otherwise, by what they are as numbers of any size.
VALUES = {
    "nan": "0x7fff",  # as a 2-, 4-, 8- or 16-byte float; else large
    "minus-one": "0xff",  # and a NaN with its sign
    "negative": "0xc5",  # large: -6,328 as a float, -1.3e28 as a double
    "positive": "0x5a",  # large: 1.5e16 as a float, 1.8e127 as a double
    "text": "0x41",  # A
}
# Codes, by which each word tells whose it is: large; and negative where the salt is odd.
CODES = {"random": 2, "random-negative": 3}


@attrs.frozen(order=True)
class Fill:
    """What bytes hold.

    Attributes:
        word: a number of `size` bytes, over and over; or a code's salt.
        size: 1, 2, 4 or 8; 0 for the code; 255 for what the last owner has left.
    """

    word: int = 0
    size: int = 1

    @classmethod
    def parse(cls, text: str) -> "Fill":
        """By a name of VALUES or CODES, "stale", or as the option `pattern` has it.

        Raises:
            OptionError: it is neither.
        """
        if text == "stale":
            return STALE
        if text in CODES:
            return cls(CODES[text], 0)
        digits = Config(pattern=VALUES.get(text, text)).pattern
        if not digits.startswith("0x"):
            return cls()
        size = (len(digits) - 2) // 2
        return cls(int(digits, 16), size)

    @property
    def is_code(self) -> bool:
        """Whether each word tells whose it is."""
        return self.size == 0

    @property
    def stored(self) -> int:
        """The word as the core has it."""
        if self.is_code or self == STALE:
            return self.word
        return int.from_bytes(self.word.to_bytes(self.size, "little") * (8 // self.size), "little")


ZEROS = Fill()
STALE = Fill(1, 255)  # as a small block is found; a large one is mapped anew, and holds zeros


@attrs.frozen(order=True)
class Part:
    """Bytes of some allocations.

    Attributes:
        site: their call stack's identity; 0 for any that has no parts of its own.
        first: the number of the first one there, from 1; last: of the last one.
        start: the offset of the first byte; end: past the last one.
        fill: what they hold.
    """

    site: int
    first: int = 1
    last: int = END
    start: int = 0
    end: int = END
    fill: Fill = ZEROS


def pack(
    parts: Iterable[Part],
    *,
    stop: tuple[int, int] = (0, 0),
    frames: int = 0,
    salt: int = 0,
    mappings: bool = False,
    leaves_freed: bool = False,
    serves: bool = False,
) -> bytes:
    """The file that the core reads.

    Args:
        parts: the bytes; those of one site must not overlap, but for parts of one allocation.
        stop: an allocation at which the process is to abort, by site and number; (0, 0) for none.
        frames: how many of a call stack are looked at, for guard_sites; 0 for 16.
        salt: of the code of which the residue is recorded; 0 for none.
        mappings: whether processes are to tell of theirs as they end.
        leaves_freed: whether freed blocks keep what they hold, and are handed out again.
        serves: whether the process stands where the first of these would be made, to be forked.
    """
    chosen = sorted(parts, key=lambda part: (part.site, part.last, part.first, part.start))
    packed = [
        _PART.pack(
            part.site, part.first, part.last, part.start, part.end, part.fill.stored, part.fill.size
        )
        for part in chosen
    ]
    flags = _MAPPINGS * mappings | _LEAVES_FREED * leaves_freed | _SERVES * serves
    return _HEADER.pack(_MAGIC, salt, frames, flags, *stop, len(packed)) + b"".join(packed)
