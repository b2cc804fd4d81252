"""What it costs to know: reports, call stacks, slack, the quarantine."""

import tempfile
from pathlib import Path

from measure import Result, Variant, arguments, build, finish, measure, patterned, table

from programs import programs

PROGRAMS = ("python start", "gcc -O2", "sqlite3 load", "git gc")
RUN = "report=yes:slack_check=large:guard_small=1000"
HEAPS = {
    "glibc": {},
    "patalloc": patterned(),
    "patalloc run": patterned(RUN),
    "patalloc run, stacks=16": patterned(f"{RUN}:stacks=16"),
    "everything": patterned(
        "report=yes:slack_check=all:stacks=16:small_fill=both:on_free=quarantine"
    ),
}
DEPTH = {"DEPTH": "20"}  # so that there are 16 frames to take
SIZE = 4_096_000
LARGE = [
    "report=no",
    "report=yes",
    "report=yes:stacks=16/16",
    "report=yes:stacks=16",
    "report=yes:stacks=64",
    "on_free=reset",
    "on_free=quarantine",
    "report=yes:stacks=16:on_free=quarantine",
]
SLACK = ["slack_check=no", "slack_check=large"]
SMALL = [
    "report=no",
    "small_fill=both",
    "slack_check=all",
    "report=yes:slack_check=all:stacks=16/16",
    "report=yes:slack_check=all:stacks=16",
]


def variants(options: list[str], command: list[str]) -> list[Variant]:
    """The same command with each of these options."""
    return [Variant(each, command, patterned(each) | DEPTH) for each in options]


def more(result: Result, reference: Result, unit: float = 1) -> str:
    """The median with its spread, and what is more than the reference."""
    difference = (result.us - reference.us) * unit
    return f"{result.us * unit:,.2f} ±{result.spread:.0%}  {difference:+,.2f}"


def real_programs(rounds: int, *, short: bool) -> dict[str, list[Result]]:
    """Seconds of each, with more and more asked for."""
    groups, rows, timed = {}, [], build("timed.c")
    with tempfile.TemporaryDirectory(prefix="patalloc-bench-") as directory:
        commands = programs(Path(directory), short=short)
        for name in PROGRAMS:
            found = [Variant(heap, [timed, *commands[name]], env) for heap, env in HEAPS.items()]
            groups[name] = results = measure(found, rounds)
            first, *others = results
            ratios = [f"{each.us / first.us:.2f} ±{each.spread:.0%}" for each in others]
            rows.append((name, f"{first.us / 1e6:.3f} ±{first.spread:.0%}", *ratios))
    columns = ("", "glibc, s", *(f"{heap}, ratio" for heap in list(HEAPS)[1:]))
    table(f"real programs, {rounds} runs of each in turn", columns, rows)
    return groups


def main() -> None:
    """Measure, and print a table each."""
    options = arguments(__doc__)
    rounds, cycles = (1, "10") if options.short else (options.rounds, "1000")
    program, groups = build(), {}
    columns = []
    for touch in (4096, SIZE):
        command = [program, "malloc", str(SIZE), str(touch), cycles, "1"]
        groups[f"touch {touch}"] = results = measure(variants(LARGE, command), rounds)
        columns.append(results)
    rows = [
        (one.variant, more(one, columns[0][0]), more(full, columns[1][0]))
        for one, full in zip(*columns, strict=True)
    ]
    title = f"{SIZE:,} bytes: us a cycle, and what is more than the first"
    table(title, ("", "1 page written", "all"), rows)

    odd = SIZE - 1000
    command = [program, "malloc", str(odd), "4096", cycles, "1"]
    groups["slack"] = results = measure(variants(SLACK, command), rounds)
    rows = [(each.variant, more(each, results[0])) for each in results]
    table(f"{odd:,} bytes, 1 page written: us a cycle", ("", "with slack"), rows)

    pairs = "1000" if options.short else "1000000"
    command = [program, "pairs", "100", "0", pairs]
    groups["small"] = results = measure(variants(SMALL, command), rounds)
    rows = [(each.variant, more(each, results[0], 1000)) for each in results]
    table("ns to malloc and free 100 bytes, and what is more than the first", ("", "ns"), rows)
    groups |= real_programs(rounds, short=options.short)
    finish(options.output, groups)


main()
