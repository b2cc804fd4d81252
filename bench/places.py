"""Where the first block and the tables lie, in many processes: how far that can be guessed."""

import math
import os
import subprocess
import sys
from collections.abc import Sequence
from functools import reduce

from measure import arguments, describe, patterned, table

PROGRAM = """
block = bytearray(1 << 20)
import ctypes
address = ctypes.addressof(ctypes.c_char.from_buffer(block))
print(hex(address), *(line.split()[0] for line in open("/proc/self/maps")))
"""


def places(env: dict[str, str]) -> tuple[int, int, int]:
    """The first block, the lowest table, and the program of one process."""
    command = [sys.executable, "-S", "-E", "-c", PROGRAM]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
    block, *ranges = done.stdout.split()
    starts = sorted(int(each.partition("-")[0], 16) for each in ranges)
    window = 1 << 46  # of 47 bits: from half of them on
    lowest = next(start for start in starts if start >= window)
    program = next(start for start in starts if start >= window // 3 * 4)
    return int(block, 16), lowest, program


def bits(values: Sequence[int]) -> str:
    """How many places there are, by the spread and the step of those that were seen."""
    step = reduce(math.gcd, (value - values[0] for value in values)) or 1
    seen = f"{len(set(values))} of {len(values)} differ"
    return f"{math.log2((max(values) - min(values)) / step + 1):.1f} (step {step:,}; {seen})"


def main() -> None:
    """Measure, and print a table."""
    options = arguments(__doc__)
    env = os.environ | patterned()
    found = [places(env) for _ in range(20 if options.short else 1000)]
    blocks, tables, programs = (list(each) for each in zip(*found, strict=True))
    pairs = list(zip(blocks, tables, strict=True))
    beside = list(zip(blocks, programs, strict=True))
    rows = [
        ("the first block", bits(blocks)),
        ("the lowest table", bits(tables)),
        ("distance of the two", bits([block - lowest for block, lowest in pairs])),
        ("distance of block and program", bits([block - program for block, program in beside])),
    ]
    table(f"bits of places, {len(found)} processes", ("", "bits"), rows)
    print(describe())


main()
