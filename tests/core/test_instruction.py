"""By which registers instructions access memory, as binutils tells it."""

import platform
import re
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from conftest import Build

REGISTERS = (
    "rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
    *(f"r{number}" for number in range(8, 16)),
)  # fmt: skip
LINE = re.compile(r" +[0-9a-f]+:\t((?:[0-9a-f]{2} )+)\s*\t?(.*)")
DECODED = platform.machine() == "x86_64"
EVERY = 0xFFFFFFFF  # elsewhere
# The address, by its last part: (base,index,scale) or (base).
PLACE = re.compile(r"\((?:%(\w+))?(?:,%(\w+)(?:,\d)?)?\)")


def number(name: str) -> int | None:
    whole = re.sub(r"^e", "r", name.rstrip("d") if name[1:2].isdigit() else name)
    return REGISTERS.index(whole) if whole in REGISTERS else None


def listed(program: Path) -> Iterator[tuple[str, str]]:
    command = ["objdump", "-d", "-w", "--insn-width=15", program]
    listing = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    for line in listing.splitlines():
        if found := LINE.fullmatch(line):
            yield found[1].replace(" ", ""), found[2].partition("#")[0].partition("<")[0].strip()


def by(text: str) -> set[int] | None:
    """The registers that the text names in an address; None where it tells of none."""
    place = PLACE.search(text)
    if not place or "(bad)" in text or text.startswith(("nop", "lea ", "data16")):
        return None
    names = [name for name in place.groups() if name]
    if any(name.startswith(("xmm", "ymm", "zmm", "es", "ds")) for name in names):
        return None
    return {each for each in map(number, names) if each is not None}


def masks(build: Build, codes: Iterable[str]) -> list[int]:
    """What the core says of each: a bit for each register."""
    done = subprocess.run(
        [build("instructions", core=True)],
        input="\n".join(codes),
        capture_output=True,
        text=True,
        check=True,
    )
    return [int(answer, 16) for answer in done.stdout.split()]


@pytest.mark.parametrize("program", ["/bin/bash", "libc.so.6"] if DECODED else [])
def test_registers_are_those_that_binutils_tells(build: Build, program: str) -> None:
    if "/" not in program:
        listing = subprocess.run(["ldd", "/bin/bash"], capture_output=True, text=True, check=True)
        program = next(word for word in listing.stdout.split() if word.endswith(f"/{program}"))
    known = dict(listed(Path(program)))
    compared = 0
    for (code, text), mask in zip(known.items(), masks(build, known), strict=True):
        expected = by(text)
        if not expected:
            continue
        told = {each for each in range(16) if mask >> each & 1}
        if "gather" not in text:
            assert expected <= told, (code, text, hex(mask))
            implied = {"rsp", "rbp", "rsi", "rdi"} & {REGISTERS[each] for each in told - expected}
            assert told - expected <= {REGISTERS.index(each) for each in implied}, (code, text)
            compared += 1
    assert compared > 0.9 * sum(bool(by(text)) for text in known.values())


@pytest.mark.parametrize(("code", "names"), [
    ("c3", {"rsp"}), ("50", {"rsp"}), ("415f", {"rsp"}), ("e800000000", {"rsp"}),
    ("c9", {"rbp"}), ("f348ab", {"rdi"}), ("f3a4", {"rsi", "rdi"}), ("ac", {"rsi"}),
    ("ffd0", {"rax"}), ("41ffe3", {"r11"}), ("ff10", {"rax"}), ("488b0491", {"rcx", "rdx"}),
    ("4b8b04a7", {"r15", "r12"}), ("c4a17e6f0c08", {"rax", "r9"}), ("90", set()),
    ("f4", set()), ("cd30", set()), ("d7", {"rbx"}), ("cf", {"rsp"}),
])  # fmt: skip
def test_what_instructions_imply_is_known(build: Build, code: str, names: set[str]) -> None:
    expected = sum(1 << REGISTERS.index(name) for name in names)
    assert masks(build, [code]) == [expected if DECODED else EVERY]
