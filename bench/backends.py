"""Every refpage backend side by side: time, RSS, VMAs and faults of a block of 4,096,000 bytes.

Here, and but for a short pass in QEMU as well (tests/qemu), where the kernel module and Arm's
memory tags are. Those processors are emulated: only ratios within a guest mean anything.
"""

import json
import shlex
import subprocess
from collections import defaultdict
from collections.abc import Sequence

from measure import (
    HERE,
    Result,
    Sample,
    Variant,
    arguments,
    build,
    console,
    describe,
    finish,
    measure,
    patterned,
    table,
    with_spread,
)

SIZE = 4_096_000
TOUCHES = {4096: "1 page", 2_048_000: "half", 4_096_000: "all"}
ORDERS = ("write", "read")
VARIANTS = {
    "anon": ("anon", {}),
    "memset": ("memset", {}),
    "memfd": ("malloc", patterned("fill=refpage")),
    "uffd": ("malloc", patterned("fill=refpage:backend=uffd")),
}
GUESTS = ("run-x86", "run-arm64")

Measured = dict[tuple[int, str], list[Result]]


def measure_here(rounds: int, cycles: int) -> Measured:
    """All variants that this machine has."""
    program, found = build("backends.c"), {}
    for touch in TOUCHES:
        for order in ORDERS:
            variants = [
                Variant(name, [program, mode, str(SIZE), str(touch), order, str(cycles)], env)
                for name, (mode, env) in VARIANTS.items()
            ]
            found[touch, order] = measure(variants, rounds)
    return found


def measure_in_guest(script: str, rounds: int) -> Measured:
    """What a script in tests/qemu prints of the same program."""
    command = [HERE.parent / "tests" / "qemu" / script, "--bench", str(rounds)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    samples: dict[tuple[int, str], dict[str, list[Sample]]] = defaultdict(dict)
    for line in done.stdout.splitlines():
        if not line.startswith("BENCH "):
            console.print(line)
            continue
        head, brace, result = line.partition("{")
        *name, touch, order = shlex.split(head)[1:]
        found = samples[int(touch), order].setdefault(" ".join(name), [])
        found.append(Sample(**json.loads(brace + result)))
    return {
        case: [Result(name, found) for name, found in variants.items()]
        for case, variants in samples.items()
    }


def show(title: str, measured: Measured) -> None:
    """One table: what a store in each page costs, and a load and a store."""
    rows: list[Sequence[str]] = []
    for touch, name in TOUCHES.items():
        written, read = measured[touch, "write"], measured[touch, "read"]
        anon = next(result for result in written if result.variant == "anon")
        for store, load in zip(written, read, strict=True):
            rows.append(
                (
                    f"{name}: {store.variant}",
                    with_spread(store),
                    f"{store.us / anon.us:.2f}",
                    with_spread(load),
                    f"{load.us / anon.us:.2f}",
                    f"{store.rss_kib:,}",
                    str(store.vmas),
                    f"{store.faults:.0f}",
                    f"{load.faults:.0f}",
                )
            )
    columns = ("", "written: us", "/ anon", "read first: us", "/ anon", "RSS, KiB", "VMAs")
    table(title, (*columns, "faults", "read first"), rows)


def main() -> None:
    """Measure, and print a table for each machine."""
    options = arguments(__doc__)
    rounds, cycles = (1, 10) if options.short else (options.rounds, 200)
    measured = {describe(): measure_here(rounds, cycles)}
    for script in () if options.short else GUESTS:
        found = measure_in_guest(script, min(rounds, 3))
        if found:  # else the script has said why not
            measured[f"{script}, emulated"] = found
    groups = {}
    for title, found in measured.items():
        show(title, found)
        for (touch, order), results in found.items():
            groups[f"{title} {touch} {order}"] = results
    finish(options.output, groups)


main()
