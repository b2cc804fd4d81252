"""How many bytes live at a time under a limit of address space or data, beside other allocators."""

import json
import os
import subprocess
from collections.abc import Sequence
from statistics import mean

from measure import arguments, build, finish, patterned, table
from peers import installed

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30
ROWS = (
    ("64M, 128K to 4M", 64 * MIB, 128 * KIB, 4 * MIB),
    ("256M, 128K to 16M", 256 * MIB, 128 * KIB, 16 * MIB),
    ("256M, 128K to 512K", 256 * MIB, 128 * KIB, 512 * KIB),
    ("1G, 16 to 32M", GIB, 16, 32 * MIB),
    ("4G, 128K to 256M", 4 * GIB, 128 * KIB, 256 * MIB),
    ("4G, 128K to 512K", 4 * GIB, 128 * KIB, 512 * KIB),
)
ALLOCATORS = (
    ("glibc", {}),
    ("jemalloc", {"LD_PRELOAD": "libjemalloc.so.2"}),
    ("mimalloc", {"LD_PRELOAD": "libmimalloc.so.2"}),
    ("patalloc", patterned()),
)


def live(
    program: str, env: dict[str, str], kind: str, numbers: Sequence[int], seeds: Sequence[int]
) -> list[float]:
    """Bytes that live after each of the four phases: the mean of all seeds."""
    runs = []
    for seed in seeds:
        command = [program, kind, *map(str, numbers), str(seed)]
        done = subprocess.run(command, env=os.environ | env, capture_output=True, check=True)
        runs.append(json.loads(done.stdout))
    return [mean(phase) for phase in zip(*runs, strict=True)]


def shares(ours: Sequence[float], theirs: Sequence[float]) -> str:
    """What lives with one allocator as a share of what lives with another."""
    return " ".join(f"{one / other:.2f}" for one, other in zip(ours, theirs, strict=True))


def main() -> None:
    """Measure, and print a table a kind of limit."""
    options = arguments(__doc__)
    program = build("limited.c")
    seeds = (1,) if options.short else (1, 2)
    allocators = {name: found for name, env in ALLOCATORS if (found := installed(env)) is not None}
    for kind, limit in (("as", "RLIMIT_AS"), ("data", "RLIMIT_DATA")):
        rows = []
        for name, *numbers in ROWS[:2] if options.short else ROWS:
            had = [live(program, env, kind, numbers, seeds) for env in allocators.values()]
            bare, *others = had
            rows.append((name, f"{bare[0] / MIB:,.1f}", *(shares(one, bare) for one in others)))
        title = (
            f"bytes that live at a time under {limit}, as a share of glibc's: mixed sizes; half of "
            f"them freed, others made; the same again; all freed, one size made (of {len(seeds)})"
        )
        table(title, ("limit, sizes", "glibc, MiB", *list(allocators)[1:]), rows)
    finish(None, {})


main()
