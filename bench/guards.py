"""What guards for small blocks cost: real programs, and blocks that live, linger or change."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

from measure import Result, Variant, arguments, build, finish, measure, patterned, table

ROOT = Path(__file__).parent.parent
SQL = """
create table t (a integer, b text, c real);
{rows}
create index i on t (b);
select count(*), sum(a) from t;
"""
ROW = "insert into t values ({i}, 'name {name}', {half});"
PYTHON = """
import ast, json
data = [{{"id": i, "name": "n%d" % i, "v": [i, {{"k": str(i)}}]}} for i in range({n})]
assert json.loads(json.dumps(data)) == data
print(sum(1 for _ in ast.walk(ast.parse(open(ast.__file__).read()))))
"""
GUARDS = "guard_small=all"
REPORTS = f"{GUARDS}:report=yes:stacks=16"
ALL = f"{REPORTS}:slack_check=large"
HEAPS = {
    "glibc": {},
    "patalloc": patterned(),
    "reports": patterned("report=yes"),
    "reports, 1 in 1000": patterned("report=yes:guard_small=1000"),
    "guards": patterned(GUARDS),
    "guards, delay=0": patterned(f"{GUARDS}:delay=0"),
    "guards, reports": patterned(REPORTS),
    "guards, reports, slack": patterned(ALL),
}
FOUND = {"glibc": {}, "guards": patterned(GUARDS), "all": patterned(ALL)}


def programs(directory: Path, *, short: bool) -> dict[str, list[str]]:
    """Each by name."""
    count = 1000 if short else 100_000
    rows = (ROW.format(i=i, name=i * 7919 % 100_000, half=i * 0.5) for i in range(count))
    (directory / "rows.sql").write_text(SQL.format(rows="\n".join(rows)))
    source = ROOT / "csrc" / "heap" / "realloc.c"
    include = [f"-I{ROOT}/csrc", f"-I{ROOT}/csrc/include", "-D_GNU_SOURCE"]
    command = ["cc", "-E", *include, source, "-o", directory / "one.i"]
    subprocess.run(command, check=True)
    return {
        "sqlite3, inserts": ["sqlite3", ":memory:", f".read {directory}/rows.sql"],
        "gcc -O2, one file": ["gcc", "-O2", "-S", str(directory / "one.i"), "-o", "/dev/null"],
        "python, json and ast": [sys.executable, "-c", PYTHON.format(n=100 if short else 8000)],
    }


def real_programs(rounds: int, *, short: bool) -> dict[str, list[Result]]:
    """Processor time, as a multiple of glibc's."""
    groups, rows, timed = {}, [], build("timed.c")
    with tempfile.TemporaryDirectory(prefix="patalloc-bench-") as directory:
        for name, command in programs(Path(directory), short=short).items():
            env = {"PYTHONMALLOC": "malloc", "TIMED": "cpu"}
            variants = [Variant(h, [timed, *command], extra | env) for h, extra in HEAPS.items()]
            groups[name] = results = measure(variants, rounds)
            first, *others = results
            ratios = [f"{each.us / first.us:.2f} ±{each.spread:.0%}" for each in others]
            if shutil.which("valgrind") and not short:
                checked = Variant(
                    "valgrind", [timed, "valgrind", "-q", "--trace-children=yes", *command], env
                )
                (slow,) = measure([checked], 1)
                ratios.append(f"{slow.us / first.us:.0f}")
            rows.append((name, f"{first.us / 1e6:.3f} ±{first.spread:.0%}", *ratios))
    last = ["valgrind"] if len(rows[0]) > len(HEAPS) + 1 else []
    columns = ["", "glibc, s", *list(HEAPS)[1:], *last]
    table(f"processor time, {rounds} runs of each in turn", columns, rows)
    return groups


def slots(program: str, mode: str, count: int, env: dict[str, str]) -> dict[str, float]:
    """What bench/slots.c says."""
    done = subprocess.run(
        [program, mode, str(count)], env=os.environ | env, capture_output=True, check=True
    )
    result: dict[str, float] = json.loads(done.stdout)
    return result


def blocks(rounds: int, *, short: bool) -> None:
    """Memory of live blocks and of stragglers, time of two threads."""
    program, rows = build("slots.c"), []
    live, chunks = (1000, 10) if short else (1_000_000, 78_000)
    for name, env in FOUND.items():
        for mode, count in (("live", live), ("stragglers", chunks)):
            said = slots(program, mode, count, env)
            figures = (f"{said['rss']:,.0f}", f"{said['tables']:,.0f}", f"{said['mappings']:,.0f}")
            rows.append((f"{name}: {count:,} {mode}", *figures, f"{said['us']:.2f}"))
    columns = ("", "RSS, B", "page tables, B", "mappings", "us")
    table("blocks of 24 bytes, each", columns, rows)
    rows = []
    for name, env in FOUND.items():
        times = {n: [slots(program, "random", n, env)["us"] for _ in range(rounds)] for n in (1, 2)}
        one, two = median(times[1]), median(times[2])
        rows.append((name, f"{one:.3f}", f"{two:.3f}", f"{two / one:.2f}"))
    columns = ("", "1 thread", "2 threads", "ratio")
    table("random sizes and lifetimes: us of processor time a pair", columns, rows)


def main() -> None:
    """Measure, and print a table each."""
    options = arguments(__doc__)
    rounds = 1 if options.short else options.rounds
    groups = real_programs(rounds, short=options.short)
    blocks(1 if options.short else 3, short=options.short)
    finish(options.output, groups)


main()
