"""Residues: what of its fresh memory a program never wrote (the file beside a trace)."""

import struct
from bisect import bisect_right
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import attrs

from patalloc._core import ffi, lib

_HEADER = struct.Struct("8sQQ")
_RECORD = struct.Struct("QQQII")
_OFFSETS = [struct.Struct(f"{2 * count}Q") for count in range(33)]  # of so many ranges
_MAGIC = b"patres1\n"
_SEARCHED = 1 << 28  # bytes of codes that are looked through
_AMBIGUOUS = 8  # places of a number, beyond which it tells nothing

Block = tuple[int, int]  # a call stack's identity, and the number of the allocation there
Range = tuple[int, int]  # offsets in it: of the first byte, and past the last one


class Unwritten(NamedTuple):
    """What of a block was never written.

    Attributes:
        size: the block's. repeats: whether its code is the same word all over.
        offsets: of the bytes, in order: where each range begins, and past its end.
    """

    size: int
    repeats: int
    offsets: tuple[int, ...]

    @property
    def ranges(self) -> tuple[Range, ...]:
        """The bytes, in order."""
        return tuple(zip(self.offsets[::2], self.offsets[1::2], strict=True))

    def and_of(self, other: "Unwritten") -> "Unwritten":
        """What both have: by chance a byte is as it was in one of them, seldom in two."""
        if self.offsets == other.offsets:
            return self
        common = (
            (max(start, first), min(end, last))
            for start, end in self.ranges
            for first, last in other.ranges
        )
        return self._replace(offsets=tuple(at for a, b in common if a < b for at in (a, b)))


@attrs.frozen
class Residue:
    """What a run never wrote, by block."""

    blocks: Mapping[Block, Unwritten]

    def and_of(self, other: "Residue") -> "Residue":
        """What neither run wrote."""
        both = (
            (block, unwritten.and_of(other.blocks[block]))
            for block, unwritten in self.blocks.items()
            if block in other.blocks
        )
        return Residue({block: unwritten for block, unwritten in both if unwritten.offsets})

    def find(self, values: Mapping[bytes, int], salt: int) -> dict[Block, list[Range]]:
        """Where the code has one of these values in what was never written.

        Each is the end of a number of so many bytes. Those that are in many places are left out.
        """
        found: dict[Block, list[Range]] = {}
        placed = [*self._codes(salt)]
        code = b"".join(each for _, _, each in placed)
        starts, at = [], 0
        for _, _, each in placed:
            starts.append(at)
            at += len(each)
        for value, places in _places_of(values, code).items():
            for place in places if len(places) <= _AMBIGUOUS else ():
                index = bisect_right(starts, place) - 1
                block, first, each = placed[index]
                offset = place - starts[index]
                if offset + len(value) <= len(each):
                    end = first + offset + len(value)
                    found.setdefault(block, []).append((max(first, end - values[value]), end))
        return found

    def find_bytes(self, wanted: Iterable[tuple[Collection[int], int]]) -> dict[Block, list[Range]]:
        """Where the codes have one of some bytes, by each of these salts."""
        found: dict[Block, list[Range]] = {}
        sets = [(bytes(int(i in each) for i in range(256)), salt) for each, salt in wanted]
        for parts in zip(*(self._codes(salt) for _, salt in sets), strict=True):
            block, first, code = parts[0]
            common = (1 << 8 * len(code)) - 1
            for (table, _), (_, _, each) in zip(sets, parts, strict=True):
                common &= int.from_bytes(each.translate(table), "little")
            places = common.to_bytes(len(code), "little")
            for offset in _places(places, b"\1"):
                found.setdefault(block, []).append((first + offset, first + offset + 1))
        return found if len(found) <= _AMBIGUOUS else {}

    def _codes(self, salt: int) -> Iterator[tuple[Block, int, bytes]]:
        """By block and offset, what is there where nothing was written."""
        left = _SEARCHED
        for block, unwritten in self.blocks.items():
            key = lib.code_key(salt, *((0, 0) if unwritten.repeats else block))
            for start, end in unwritten.ranges:
                last = min(end, start + 8) if unwritten.repeats else end
                left -= last - start
                if left < 0:
                    return
                yield block, start, _code(key, start, last, repeats=bool(unwritten.repeats))


def _code(key: int, start: int, end: int, *, repeats: bool) -> bytes:
    if repeats:
        word: bytes = lib.code_word(key, 0).to_bytes(8, "little")
        return bytes(word[offset % 8] for offset in range(start, end))
    buffer = ffi.new("char[]", end - start)
    block = int(ffi.cast("uintptr_t", buffer)) - start
    lib.code_fill(key, ffi.cast("void *", block), start, end)
    return bytes(ffi.buffer(buffer))


def _places_of(values: Iterable[bytes], code: bytes) -> dict[bytes, list[int]]:
    """Where they are: all of them are three bytes long at least."""
    found: dict[bytes, list[int]] = {value: [] for value in values}
    by_start: dict[bytes, list[bytes]] = {}
    bits = bytearray(1 << 21)
    for value in found:
        by_start.setdefault(value[:3], []).append(value)
        number = int.from_bytes(value[:3], "little")
        bits[number // 8] |= 1 << number % 8
    table, at = ffi.from_buffer(bits), 0
    while (at := lib.code_search(code, len(code), at, table)) < len(code):
        for value in by_start[code[at : at + 3]]:
            if code.startswith(value, at):
                found[value].append(at)
        at += 1
    return found


def _places(code: bytes, value: bytes) -> Iterator[int]:
    at = code.find(value)
    while at >= 0:
        yield at
        at = code.find(value, at + 1)


def read(file_path: Path) -> Residue:
    """What a process has left; of a block that is there twice, the last one.

    Raises:
        OSError: the file can't be read.
        ValueError: it is no residue.
    """
    with file_path.open("rb") as file:
        header = file.read(_HEADER.size)
        if len(header) < _HEADER.size or not header.startswith(_MAGIC):
            raise ValueError(f"{file_path}: no residue of patalloc's")
        _, capacity, used = _HEADER.unpack(header)
        data = file.read(min(used, capacity - _HEADER.size))
    blocks, at, end = {}, 0, len(data) - _RECORD.size
    while at <= end:
        site, number, size, count, repeats = _RECORD.unpack_from(data, at)
        if not count:
            break  # not written yet, when the process ended; or beyond what there is room for
        offsets = _OFFSETS[count].unpack_from(data, at + _RECORD.size)
        blocks[site, number] = Unwritten(size, repeats, offsets)
        at += _RECORD.size + _OFFSETS[count].size
    return Residue(blocks)


def merged(residues: Iterable[Residue]) -> Residue:
    """Of several processes."""
    blocks: dict[Block, Unwritten] = {}
    for each in residues:
        blocks |= each.blocks
    return Residue(blocks)
