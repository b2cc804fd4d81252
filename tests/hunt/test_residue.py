"""What of its memory a program never writes, and where numbers are found in it."""

import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conftest import Build
from patalloc._core import ffi, lib
from patalloc.hunt import Program, Runner
from patalloc.hunt.candidates import Candidates, Stretch
from patalloc.hunt.decoding import telling, values
from patalloc.hunt.residue import Residue, Unwritten, merged
from patalloc.hunt.selection import CODES, Fill, Part

NUMBERS = st.integers(0, (1 << 64) - 1)


@given(salt=NUMBERS, stack=NUMBERS, number=NUMBERS, place=st.integers(0, 1 << 40))
def test_a_code_is_large_finite_and_has_no_zero(
    salt: int, stack: int, number: int, place: int
) -> None:
    key = lib.code_key(salt, stack, number)
    word = lib.code_word(key, place).to_bytes(8, "little")
    assert 0 not in word
    sign = -1 if salt % 2 else 1
    assert 1e70 < sign * struct.unpack("<d", word)[0] < 1e160
    assert all(1e9 < sign * each < 1e20 for each in struct.unpack("<ff", word))
    assert all(sign * each > 1 << 29 for each in struct.unpack("<ii", word))


@given(size=st.integers(1, 200), data=st.data())
def test_what_is_left_is_found(size: int, data: st.DataObject) -> None:
    key = lib.code_key(2, 1, 1)
    block = ffi.new("char[]", size)
    lib.code_fill(key, block, 0, size)
    written = data.draw(st.sets(st.integers(0, size - 1)))
    for at in written:
        block[at] = b"\0"
    ranges = ffi.new("struct range[]", 200)
    count = lib.code_left(key, False, block, size, ranges, 200)
    left = {at for each in ranges[0:count] for at in range(getattr(each, "from"), each.to)}
    shortest = 1 if size <= 64 else 2
    expected = set(range(size)) - written
    alone = {at for at in expected if at - 1 not in expected and at + 1 not in expected}
    assert left == (expected if shortest == 1 else expected - alone)


def residue_of(program: Path, tmp_path: Path, *arguments: str, salt: int) -> Residue:
    runner = Runner(Program(command=(str(program), *arguments)), tmp_path)
    behaviour = runner.run([Part(0, fill=Fill(salt, 0))], salt=salt, report=bool(arguments))
    assert behaviour.residue is not None
    return behaviour.residue


def unwritten_by_size(residue: Residue) -> dict[int, tuple[tuple[int, int], ...]]:
    return {each.size: each.ranges for each in residue.blocks.values()}


@pytest.mark.parametrize("end", ["", "dies"])
def test_what_a_program_never_writes(build: Build, tmp_path: Path, end: str) -> None:
    salts = CODES.values()
    first, second = (
        residue_of(build("unwritten"), tmp_path, *filter(None, [end]), salt=salt) for salt in salts
    )
    found = unwritten_by_size(first.and_of(second))
    assert found[100] == ((40, 100),)
    assert found[1000000] == ((500000, 500100),)
    assert found[70] == ((0, 8), (16, 60), (61, 70))
    assert found[200] == ((150, 200),)
    assert found[300] == ((200, 300) if end else (200, 250),)
    assert found[50] == ((49, 50),)
    assert not {5000, 500} & found.keys()


BLOCK = Unwritten(64, 0, (8, 40))
RESIDUE = Residue({(5, 3): BLOCK, (6, 1): Unwritten(16, 0, (0, 16))})


def code(site: int, number: int, start: int, end: int, salt: int = 2) -> bytes:
    buffer = ffi.new("char[]", end)
    lib.code_fill(lib.code_key(salt, site, number), buffer, 0, end)
    return bytes(ffi.buffer(buffer))[start:end]


@pytest.mark.parametrize(
    ("kind", "shown"), [("q", "%d"), ("Q", "%d"), ("Q", "%x"), ("Q", "0x%x"), ("d", "%.17g"),
                        ("d", "%g"), ("d", "%f"), ("f", "%g"), ("i", "%d"), ("I", "0x%x")]
)  # fmt: skip
def test_numbers_lead_to_their_blocks(kind: str, shown: str) -> None:
    size = struct.calcsize(kind)
    (number,) = struct.unpack(f"<{kind}", code(5, 3, 16, 16 + size))
    lines = [(b"it is 0, of 2\n", f"it is {shown % number}, of 2\n".encode())]
    found = RESIDUE.find(telling(values(lines)), 2)
    assert set(found) == {(5, 3)}
    assert (min(found[5, 3])[0], max(end for _, end in found[5, 3])) == (16, 16 + size)


def test_what_was_added_is_found() -> None:
    (number,) = struct.unpack("<i", code(5, 3, 12, 16))
    lines = [(b"sum 4950\n", b"sum %d\n" % (number + 4950))]
    assert RESIDUE.find(telling(values(lines)), 2) == {(5, 3): [(12, 16)]}


def test_bytes_alone_are_found_by_two_codes() -> None:
    wanted = [({code(5, 3, 21, 22, salt)[0]}, salt) for salt in CODES.values()]
    assert (21, 22) in RESIDUE.find_bytes(wanted)[5, 3]


@pytest.mark.parametrize(
    "text", [b"9" * 5000, b"0x1p99999", b"1e99999999", b"5.", b"1." + b"0" * 5000]
)
def test_numbers_that_are_none_are_left_alone(text: bytes) -> None:
    telling(values([(b"it is 0", b"it is " + text)]))


def test_many_lines_are_looked_at_in_part() -> None:
    lines = ((b"", b"it is %d" % number) for number in range(10**9))
    assert values(lines)


def test_many_values_are_found_at_once() -> None:
    wanted = {code(5, 3, at, at + 4): 4 for at in range(8, 37)} | {b"none": 4, b"at all": 6}
    found = RESIDUE.find(wanted, 2)
    assert sorted(found[5, 3]) == [(at, at + 4) for at in range(8, 37)]


def test_residues_are_joined() -> None:
    other = Residue({(5, 3): Unwritten(64, 0, (0, 12, 30, 64)), (7, 1): BLOCK})
    assert RESIDUE.and_of(other).blocks == {(5, 3): Unwritten(64, 0, (8, 12, 30, 40))}
    assert merged([RESIDUE, other]).blocks.keys() == {(5, 3), (6, 1), (7, 1)}


STRETCHES = st.lists(
    st.tuples(st.integers(1, 50), st.floats(1e-9, 1e3)), min_size=1, max_size=9
).map(
    lambda each: Candidates(
        tuple(Stretch(site, 1, count, weight) for site, (count, weight) in enumerate(each, 1))
    )
)


def allocations(candidates: Candidates) -> list[tuple[int, int]]:
    return [
        (each.site, number)
        for each in candidates.stretches
        for number in range(each.first, each.last + 1)
    ]


@given(candidates=STRETCHES, count=st.integers(1, 12))
def test_groups_are_a_partition(candidates: Candidates, count: int) -> None:
    groups = candidates.groups(count)
    assert len(groups) <= count
    assert all(len(group) for group in groups)
    assert [each for group in groups for each in allocations(group)] == allocations(candidates)
    if len(candidates) >= count > 1:
        assert len(groups) > 1


@given(candidates=STRETCHES, data=st.data())
def test_candidates_are_cut_and_left_out(candidates: Candidates, data: st.DataObject) -> None:
    every = allocations(candidates)
    at = data.draw(st.integers(0, len(every)))
    first, rest = candidates.cut(at)
    assert (allocations(first), allocations(rest)) == (every[:at], every[at:])
    out = data.draw(st.lists(st.sampled_from(every)))
    left = candidates.without(Part(site, number, number) for site, number in out)
    assert allocations(left) == [each for each in every if each not in out]
