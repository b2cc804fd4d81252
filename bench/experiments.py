"""Five real programs, and the project's own workloads, under six allocators and four settings.

Prints the tables of docs/experiments.md; `--output` is a folder for the journals, of which
`patalloc report` makes pages. Allocators that are not installed are left out, and that is said.
"""

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

from patalloc.lab import ALLOCATORS, ExperimentError, Point, PointError, Program, Results, Sweep
from patalloc.lab.texts import TITLES, number, percent
from patalloc.lab.workloads import command
from patalloc.machine import describe

SETTINGS = ("threshold=64K", "fill=memset", "fill=refpage", "retain_size=0")
PROGRAMS = {
    "python3": (
        "python3",
        "-c",
        "import json; t = json.dumps([{'a': i, 'b': [str(i)] * 5} for i in range(8000)]); "
        "print(sum(len(json.loads(t)) for _ in range(6)))",
    ),
    "sqlite3": (
        "sqlite3",
        ":memory:",
        "CREATE TABLE t AS SELECT value AS i, value * 7919 % 100003 AS k, hex(value) AS h "
        "FROM generate_series(1, 100000); "
        "CREATE INDEX x ON t(k); SELECT count(*), max(t.h) FROM t JOIN t AS u ON t.k = u.i;",
    ),
    "xz": ("xz", "-3", "--stdout", "/usr/bin/perl"),
    "perl": (
        "perl",
        "-e",
        "my %h; $h{$_ % 50021} .= $_ for 1..400000; my $n = 0; $n += length for values %h; "
        "print $n",
    ),
    "gcc": ("gcc", "-O2", "-x", "c", "-S", "-o", "-", "SOURCE"),
}
SOURCE = "".join(
    f"int f{each}(int a, int *b) {{ for (int i = 0; i < a; i++) b[i] += b[a - i] * {each}; "
    f"return a > {each} ? f{each}(a - 1, b) : b[{each}]; }}\n"
    for each in range(200)
)
OWN = ("seed-page", "seed-half", "seed-all", "vectors", "touch", "pdfium")


def points(settings: bool) -> list[Point]:
    """The baseline first."""
    found = [Point("glibc")]
    for name in ALLOCATORS:
        try:
            found.append(Point(name))
        except PointError as error:
            print(error, file=sys.stderr)
    found += [Point("patalloc", each) for each in SETTINGS] if settings else []
    return [*dict.fromkeys(found)]


def print_table(title: str, results: Results) -> None:
    """In Markdown: medians, and what they are beside the baseline."""
    metrics = [name for name in ("cpu", "wall", "peak_rss") if name in results.metrics]
    heads = [part for name in metrics for part in (TITLES[name], f"beside {results.baseline}")]
    print(f"\n**{title}**\n")
    print("| | rounds | " + " | ".join(heads) + " |")
    print("|---|---:|" + "---:|" * len(heads))
    comparisons = {name: results.comparisons(name) for name in metrics}
    for point in results.points:
        if point in results.left_out:
            print(f"| {point} | | left out: {results.left_out[point]} |")
        if not results.values(point, metrics[0]):
            continue
        cells = [str(len(results.values(point, metrics[0])))]
        for name in metrics:
            cells.append(number(results.typical(point, name).median, name))
            found = comparisons[name].get(point)
            cells.append(f"{percent(found.interval)}: {found.verdict.value}" if found else "")
        print(f"| {point} | " + " | ".join(cells) + " |", flush=True)


def main() -> None:
    """Measure all, and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--budget", type=float, default=120, help="seconds a program [120]")
    parser.add_argument("--short", action="store_true", help="one quick pass, to see that it works")
    parser.add_argument("--output", type=Path, help="a folder for the journals")
    parser.add_argument("names", nargs="*", help=f"of {', '.join((*PROGRAMS, *OWN))} [all]")
    options = parser.parse_args()
    if options.output:
        options.output.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="patalloc-bench-") as directory:
        source = Path(directory) / "source.c"
        source.write_text(SOURCE)
        for name in options.names or (*PROGRAMS, *OWN):
            given = PROGRAMS.get(name) or command((f"workload:{name}",))
            whole = tuple(str(source) if each == "SOURCE" else each for each in given)
            path = shutil.which(whole[0])
            if path is None:
                print(f"{name}: not found", file=sys.stderr)
                continue
            sweep = Sweep(
                Program((path, *whole[1:])),
                points(name in PROGRAMS or name == "touch"),
                width=0.005,
                metric="cpu",
                budget=options.budget,
                rounds=1 if options.short else None,
                journal=options.output and options.output / f"{name}.jsonl",
            )
            try:
                print_table(name, sweep.run())
            except ExperimentError as error:
                print(f"{name}: {error}", file=sys.stderr)
    print(f"\n{describe()}")


main()
