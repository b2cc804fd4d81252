#!/usr/bin/env python3
"""What it costs to record all requests: patalloc record, heaptrack, memray, DHAT.

Processor time of a program, against that without a recorder, in the same round; and of all that is
needed for it, the recorder's own processes among it. Bytes on disk for each request or free. What
is not installed is left out.
"""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from statistics import median

import attrs
from measure import arguments, build, finish, table

from patalloc.traces import Trace

PATALLOC = [sys.executable, "-m", "patalloc"]
JSON = """
import json
text = json.dumps([{{"a": i, "b": [str(i)] * 5}} for i in range({n})])
for _ in range(60):
    found = json.loads(text)
"""
SQL = """
create table t (i integer primary key, x text);
with recursive n(i) as (select 1 union all select i + 1 from n where i < {n})
insert into t select i, printf('%0100d', i * 7919 % 1000003) from n;
create index u on t (x);
select count(*), max(x) from t where x > '5';
select count(*) from t a join t b on a.i = b.i + 1 where a.x < b.x;
"""
PERL = "my %h; for my $i (1..{n}) {{ $h{{$i % 5000}} .= 'x' x ($i % 50); delete $h{{$i % 777}} }}"
THREADS = """
import concurrent.futures, numpy
def work(seed):
    made = [numpy.empty(1000 + (seed * i) % 4000) for i in range({n})]
    return sum(len(each) for each in made)
with concurrent.futures.ThreadPoolExecutor(4) as pool:
    print(sum(pool.map(work, range(1, 41))))
"""


@attrs.frozen
class Ran:
    """One run: seconds of the program, if that is known, and of all together; what it wrote."""

    program: float | None
    whole: float
    bytes: int = 0
    events: int = 0


def programs(directory: Path, *, short: bool) -> dict[str, tuple[list[str], dict[str, str]]]:
    """Each by name, with what its environment has besides."""
    scale = 20 if short else 1
    text = directory / "numbers.json"
    rows = [{"a": i, "b": [str(i)] * 5} for i in range(100_000 // scale)]
    text.write_text(json.dumps(rows))
    source = directory / "unit.c"
    lines = [
        f"int f{i}(int a, int b) {{ return a * {i} + b / {i + 1}; }}" for i in range(1000 // scale)
    ]
    source.write_text("\n".join(lines))
    script = {name: directory / f"{name}.py" for name in ("parse", "threads")}
    script["parse"].write_text(JSON.format(n=4000 // scale))
    script["threads"].write_text(THREADS.format(n=500 // scale))
    python = sys.executable
    found = {
        "sqlite3": (["sqlite3", ":memory:", SQL.format(n=200_000 // scale)], {}),
        "jq": (["jq", "-c", ".[] | .b | length", str(text)], {}),
        "gcc -O2": (["gcc", "-O2", "-c", str(source), "-o", str(directory / "o")], {}),
        "perl": (["perl", "-e", PERL.format(n=2_000_000 // scale)], {}),
        "python, json": ([python, str(script["parse"])], {}),
        "python, json, PYTHONMALLOC=malloc": (
            [python, str(script["parse"])],
            {"PYTHONMALLOC": "malloc"},
        ),
        "python, 4 threads of numpy": ([python, str(script["threads"])], {}),
    }
    return {name: each for name, each in found.items() if shutil.which(each[0][0])}


def recorders(directory: Path, command: list[str], *, short: bool) -> dict[str, list[str]]:
    """The command under each recorder; inside of it bench/timed.c tells what the program took."""
    trace = str(directory / "trace")
    record = [*PATALLOC, "record", "-o", trace]
    timed = [TIMED, *command]
    found = {
        "bare": timed,
        "patalloc run": [*PATALLOC, "run", "--report", "no", "--", *timed],
        "record --stacks 0": [*record, "--stacks", "0", "--", *timed],
        "record": [*record, "--", *timed],
    }
    libraries = sorted(Path("/usr/lib").glob("**/libheaptrack_preload.so*"))
    if libraries:
        preload = ["env", f"LD_PRELOAD={libraries[0]}", f"DUMP_HEAPTRACK_OUTPUT={trace}"]
        found["heaptrack's library"] = [TIMED, *preload, *command]
        found["heaptrack"] = ["heaptrack", "-o", trace, *command]
    if find_spec("memray") and command[0] == sys.executable:
        options = ["run", "--native", "-fqo", trace]
        found["memray --native"] = [sys.executable, "-m", "memray", *options, *command[1:]]
    if shutil.which("valgrind") and not short:
        dhat = ["valgrind", "-q", "--tool=dhat", "--trace-children=yes"]
        found["DHAT"] = [*dhat, f"--dhat-out-file={trace}", *command]
    return found


def run(command: list[str], env: dict[str, str], directory: Path) -> Ran:
    """Run it once."""
    environ = {**os.environ, **env, "TIMED": "cpu"}
    with (directory / "out").open("w+") as out:
        process = subprocess.Popen(command, env=environ, stdout=out, stderr=subprocess.DEVNULL)
        status, used = os.wait4(process.pid, 0)[1:]
        if status:
            raise SystemExit(f"{shlex.join(command)[:200]}: status {status}")
        out.seek(0)
        said = re.findall(r'^\{"us": .*\}$', out.read(), re.MULTILINE)
    whole = used.ru_utime + used.ru_stime
    program = json.loads(said[-1])["us"] / 1e6 if said else None
    files = [path for path in directory.glob("trace*") if path.is_file()]
    size, events = sum(path.stat().st_size for path in files), 0
    if "record" in command:
        for path in files:
            with Trace(path) as found:
                count = sum(summary.events for summary, _ in found.chunks)
            if count > events:
                size, events = path.stat().st_size, count
    for path in files:
        path.unlink()
    return Ran(program, whole, size, events)


def ratio(mine: Sequence[float | None], bare: Sequence[float | None]) -> str:
    """The median of those within a round."""
    found = [one / other for one, other in zip(mine, bare, strict=False) if one and other]
    return f"{median(found):.2f}" if found and mine is not bare else ""


def main() -> None:
    """Measure all, and print one table."""
    options = arguments(__doc__)
    rounds = 1 if options.short else options.rounds
    rows = []
    with tempfile.TemporaryDirectory(prefix="patalloc-bench-") as name:
        directory = Path(name)
        for program, (command, env) in programs(directory, short=options.short).items():
            commands = recorders(directory, command, short=options.short)
            found: dict[str, list[Ran]] = {each: [] for each in commands}
            for number in range(rounds):
                for each, whole in commands.items():
                    if each != "DHAT" or not number:  # which takes minutes
                        found[each].append(run(whole, env, directory))
            events = max(each.events for each in found["record"])
            for each, done in found.items():
                bare = found["bare"]
                size = median(mine.bytes for mine in done)
                rows.append(
                    (
                        program if each == "bare" else "",
                        each,
                        f"{median(mine.program or mine.whole for mine in done):.2f}",
                        ratio([mine.program for mine in done], [mine.program for mine in bare]),
                        ratio([mine.whole for mine in done], [mine.whole for mine in bare]),
                        f"{events:,}" if each == "record" else "",
                        f"{size / events:.2f}" if size and events else "",
                    )
                )
    columns = ("", "", "processor, s", "program", "all", "events", "bytes each")
    table(f"recording, medians of {rounds} rounds", columns, rows)
    finish(options.output, {})


TIMED = build("timed.c")
if __name__ == "__main__":
    main()
