"""Real programs, end to end: under patalloc against glibc as it is, in turn."""

import subprocess
import sys
import tempfile
from pathlib import Path

from measure import (
    Result,
    Variant,
    arguments,
    build,
    finish,
    improvement,
    measure,
    patterned,
    table,
)

ROOT = Path(__file__).parent.parent

NUMPY = """
import numpy as np
a = np.arange({n}, dtype=np.float64)
for _ in range(3):
    b = np.sqrt(a) + a * 2
    c = np.concatenate([b[::2], a[1::2]])
    a = np.sort(c)[::-1].copy()
print(float(a.sum()))
"""
SQL = """
pragma journal_mode = off; pragma synchronous = off; pragma cache_size = -50000;
create table t (i integer primary key, x text);
with recursive n(i) as (select 1 union all select i + 1 from n where i < {n})
insert into t select i, printf('%0240d', i * 7919 % 1000003) from n;
create index u on t (x);
"""


def programs(directory: Path, *, short: bool) -> dict[str, list[str]]:
    """Each by name; all work in `directory`."""
    numpy = NUMPY.format(n=100_000 if short else 25_000_000)  # 200 MB an array
    sql = SQL.format(n=1000 if short else 300_000)
    sources = " ".join(
        str(path) for path in sorted((ROOT / "csrc").glob("*/*.c"))[: 1 if short else None]
    )
    flags = f"-O2 -D_GNU_SOURCE -I{ROOT}/csrc -I{ROOT}/csrc/include"
    repository = directory / "repository"
    subprocess.run(["git", "clone", "-q", "--no-local", ROOT, repository], check=True)
    return {
        "python start": [sys.executable, "-c", "import json, sqlite3"],
        "numpy, 200 MB": [sys.executable, "-c", numpy],
        "gcc -O2": [
            "sh",
            "-c",
            f"for f in {sources}; do gcc {flags} -c $f -o {directory}/o || exit 1; done",
        ],
        "sqlite3 load": ["sh", "-c", f'rm -f {directory}/b; sqlite3 {directory}/b "{sql}"'],
        "git gc": ["git", "-C", str(repository), "gc", "--quiet", "--force", "--aggressive"],
    }


def main() -> None:
    """Measure all, and print one table."""
    options = arguments(__doc__)
    rounds = 1 if options.short else options.rounds
    groups: dict[str, list[Result]] = {}
    rows, timed = [], build("timed.c")
    with tempfile.TemporaryDirectory(prefix="patalloc-bench-") as name:
        for program, command in programs(Path(name), short=options.short).items():
            heaps = (("glibc", {}), ("patalloc", patterned()))
            variants = [Variant(name, [timed, *command], env) for name, env in heaps]
            groups[program] = results = measure(variants, rounds)
            glibc, ours = results
            less, low, high = improvement(ours, glibc)
            rows.append(
                (
                    program,
                    f"{glibc.us / 1e6:.3f} ±{glibc.spread:.0%}",
                    f"{ours.us / 1e6:.3f} ±{ours.spread:.0%}",
                    f"{1 - less / 100:.3f} ({1 - high / 100:.3f} to {1 - low / 100:.3f})",
                    f"{glibc.rss_kib:,}",
                    f"{ours.rss_kib:,}",
                    f"{ours.rss_kib / glibc.rss_kib:.3f}",
                )
            )
    columns = ("", "glibc, s", "patalloc, s", "ratio", "RSS, KiB", "patalloc", "ratio")
    table(f"real programs, {rounds} runs of each in turn", columns, rows)
    finish(options.output, groups)


if __name__ == "__main__":
    main()
