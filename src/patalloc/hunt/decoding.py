"""Numbers that come out of a run and were not there before, as they would stand in memory.

Where all fresh memory holds codes (patalloc.hunt.selection.CODES) such a number tells whose bytes
it was made of.
"""

import re
import struct
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from fractions import Fraction
from itertools import islice, zip_longest

_NUMBER = re.compile(
    rb"[-+]?0x[0-9a-f]+(?:\.[0-9a-f]*)?p[-+]?\d+|[-+]?0x[0-9a-f]+"
    rb"|[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
)
_DIGITS = re.compile(rb"(?:[0-9a-fA-F]{2}){4,}")
_MOST = 400  # numbers of a line, and bytes of what is no text, that are looked at
_LINES = 500  # that differ, the first ones
_LONGEST = 400  # characters of a number: of the largest double
_SIZES = (8, 4, 2, 1)
_FLOATS = (("d", 8), ("f", 4))
_WORD = 16  # bytes
_POWER = 4  # characters of an exponent: a float has no longer one
_TELLING = 3  # bytes of a float of which more can't be told, as few of its digits were printed


def _integers(value: int) -> Iterator[bytes]:
    for size in _SIZES:
        if -(1 << 8 * size - 1) <= value < 1 << 8 * size:
            yield (value % (1 << 8 * size)).to_bytes(size, "little")


def _common_end(one: bytes, other: bytes) -> bytes:
    same = 0
    while same < len(one) and one[-1 - same] == other[-1 - same]:
        same += 1
    return one[len(one) - same :]


def _floats(text: str) -> Iterator[tuple[bytes, int]]:
    """What is the same of all numbers that would be printed so: their highest bytes."""
    if "p" in text:
        try:
            low = high = middle = float.fromhex(text)
        except OverflowError:
            return
    else:
        digits, _, power = text.lower().partition("e")
        if len(power) > _POWER:
            return
        value = Fraction(text)
        places = len(digits.partition(".")[2])
        half = Fraction(10) ** (int(power or 0) - places) / 2
        try:
            low, high, middle = float(value - half), float(value + half), float(value)
        except OverflowError:
            return
    for kind, size in _FLOATS:
        with suppress(OverflowError, struct.error):
            common = _common_end(struct.pack(f"<{kind}", low), struct.pack(f"<{kind}", high))
            if len(common) >= min(_TELLING, size):
                yield common, size
            yield struct.pack(f"<{kind}", middle), size


def _integer(text: str) -> int | None:
    with suppress(ValueError):
        return int(text, 16 if "x" in text else 10)
    return None


def _of_number(now: bytes, before: bytes | None) -> Iterator[tuple[bytes, int]]:
    if len(now) > _LONGEST:
        return
    text = now.decode()
    number = _integer(text)
    if number is None:
        yield from _floats(text)
        return
    was = _integer(before.decode()) if before and len(before) <= _LONGEST else None
    added = [] if was is None else [number - was]  # to what was there
    yield from ((each, len(each)) for value in (number, *added) for each in _integers(value))


def _of_raw(before: bytes, now: bytes) -> Iterator[bytes]:
    """Bytes as they are, where they differ; of text where that is hardly more than a word."""
    differing = [at for at, byte in enumerate(now) if at >= len(before) or before[at] != byte]
    text = now.rstrip(b"\r\n")
    if len(differing) > _WORD and text.isascii() and text.decode().isprintable():
        return
    for at in differing[:_MOST]:
        for size in _SIZES:
            if at + size <= len(now):
                yield now[at : at + size]
        end = at
        while end < len(now) and (end >= len(before) or before[end] != now[end]):
            end += 1
        yield now[at : min(end, at + _SIZES[0])]  # as far as all is other


def _of_digits(now: bytes) -> Iterator[bytes]:
    """Bytes that are shown in hexadecimal."""
    for match in islice(_DIGITS.finditer(now), _MOST):
        raw = bytes.fromhex(match.group().decode())
        for at in range(min(len(raw) - 3, _MOST)):
            yield raw[at : at + 4]
            yield raw[at : at + 4][::-1]
            if at + 8 <= len(raw):
                yield raw[at : at + 8]


def values(lines: Iterable[tuple[bytes, bytes]]) -> dict[bytes, int]:
    """What the lines that differ have, as bytes in memory, each the end of a number so long.

    Args:
        lines: pairs of a line as it was, or nothing, and as it is.
    """
    found: dict[bytes, int] = {}
    for before, now in islice(lines, _LINES):
        old, new = _NUMBER.findall(before), _NUMBER.findall(now)
        alike = len(old) == len(new)
        pairs = zip_longest(old if alike else [], new)
        other = ((was, number) for was, number in pairs if was != number)
        for was, number in islice(other, _MOST):
            found.update(_of_number(number, was))
        found.update((each, len(each)) for each in _of_digits(now))
        found.update((each, len(each)) for each in _of_raw(before, now))
    return found


def telling(values: Mapping[bytes, int]) -> dict[bytes, int]:
    """Those that a code can have, and that are found by chance in few places."""
    return {
        each: size
        for each, size in values.items()
        if len(each) >= _TELLING and len(set(each)) > 1 and 0 not in each
    }
