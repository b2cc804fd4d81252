"""Growing vectors and random sizes, beside other allocators: CPU time and peak RSS."""

import subprocess
import tempfile
from pathlib import Path

from measure import Variant, arguments, build, finish, measure, patterned, table
from peers import installed

ALLOCATORS = (
    ("glibc, no pattern", {}),
    ("glibc perturb", {"MALLOC_PERTURB_": "85"}),
    ("jemalloc junk:alloc", {"LD_PRELOAD": "libjemalloc.so.2", "MALLOC_CONF": "junk:alloc"}),
    ("mimalloc, no pattern", {"LD_PRELOAD": "libmimalloc.so.2"}),
    ("patalloc", patterned()),
)


def main() -> None:
    """Measure, and print a table."""
    options = arguments(__doc__)
    rounds, size = (1, 100_000) if options.short else (options.rounds, 9_000_000)
    program, timed = build("growing.c"), build("timed.c")
    lines = Path(tempfile.mkdtemp(prefix="patalloc-bench-")) / "lines"
    with lines.open("w") as output:
        subprocess.run(["shuf", "-i", f"1-{size}"], stdout=output, check=True)
    operations = "200" if options.short else "20000"
    commands = {
        "a vector that doubles by realloc": [program, "doubled", str(size), "0"],
        "four threads, three such each": [program, "doubled", str(size), "4"],
        "four by copies, one by one (C++)": [program, "copied", str(size), "4"],
        "Python's list": [
            timed,
            "python3",
            "-c",
            f"a = []\nfor i in range({size}): a.append(None)",
        ],
        "sort": [timed, "sort", str(lines)],
        "churn, 128K to 421K": [program, "churn", operations, "300000"],
        "churn, 128K to 8M": [program, "churn", operations, "8000000"],
    }
    groups, rows = {}, []
    for name, command in commands.items():
        variants = [
            Variant(allocator, command, found)
            for allocator, env in ALLOCATORS
            if (found := installed(env)) is not None
        ]
        groups[name] = bare, *others = measure(variants, rounds)
        ratios = (
            f"{one.us / bare.us:.2f} ±{one.spread:.0%}  {one.rss_kib / bare.rss_kib:.2f}"
            for one in others
        )
        rows.append((name, f"{bare.us / 1e6:.3f} s  {bare.rss_kib / 1024:,.0f} MiB", *ratios))
    columns = ("", *(variant.name for variant in variants))
    table("CPU time (of Python and sort: elapsed) and peak RSS; ratios to glibc's", columns, rows)
    finish(options.output, groups)


main()
