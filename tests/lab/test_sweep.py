"""Experiments: what counts, what is kept, and what is said."""

import json
import os
import resource
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from distributed import Client, LocalCluster

from patalloc.lab import (
    Entry,
    ExperimentError,
    JournalError,
    Point,
    PointError,
    Program,
    Results,
    Sweep,
    grid,
    points,
)
from patalloc.lab.journal import Journal, read
from patalloc.lab.launcher import launch
from patalloc.lab.texts import data

GLIBC, PATALLOC = Point("glibc"), Point("patalloc")
COUNT = (sys.executable, "-S", "-c", "print(sum(range(10000)))")


def patalloc(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "patalloc", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=280)


def refusal(*arguments: str | Path) -> str:
    """The one line."""
    done = patalloc(*arguments)
    assert done.returncode == 2, done.stdout + done.stderr
    (line,) = done.stderr.splitlines()
    return line


# One run


def test_what_a_run_tells(tmp_path: Path) -> None:
    code = "import os; b = bytearray(50 << 20); print(len(b)); os._exit(3)"
    run = launch(Program((sys.executable, "-c", code)), dict(os.environ), tmp_path)
    assert run.status == 3
    assert run.metrics["peak_rss"] > 50 << 20
    assert 50 << 20 < run.metrics["anon"] <= run.metrics["peak_anon"]
    assert run.metrics["pss"] > 50 << 20
    assert run.metrics["minor_faults"] > 1000
    assert run.metrics["vmas"] > 10
    assert run.metrics["cpu"] > 0
    assert 0 < run.metrics["wall"] < 60


def test_signals_reach_the_program(tmp_path: Path) -> None:
    code = """
import os, signal, sys, threading
signal.signal(signal.SIGUSR1, lambda number, frame: print("got it", flush=True))
os.kill(os.getpid(), signal.SIGUSR1)
thread = threading.Thread(target=print, args=("threads",))
thread.start()
thread.join()
os.kill(os.getpid(), signal.SIGTERM)
"""
    run = launch(Program((sys.executable, "-c", code)), dict(os.environ), tmp_path)
    assert run.status == -signal.SIGTERM
    assert (tmp_path / "stdout").read_text() == "got it\nthreads\n"


def test_what_a_program_leaves_running_ends(tmp_path: Path) -> None:
    for last in ("kill -TERM 0", "sleep 100"):
        script = f"sleep 73519 & {last}"
        launch(Program(("sh", "-c", script), timeout=1), dict(os.environ), tmp_path)
        listed = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True)
        assert "sleep 73519" not in listed.stdout.splitlines()


def test_a_signal_without_a_name(tmp_path: Path) -> None:
    told = refusal("compare", "glibc", "patalloc", "--", "sh", "-c", "kill -37 $$")
    assert "killed by signal 37" in told


def test_a_program_that_stops_itself_is_one_that_takes_too_long(tmp_path: Path) -> None:
    program = Program(("sh", "-c", "kill -STOP $$"), timeout=1)
    assert launch(program, dict(os.environ), tmp_path).status is None


BIG = """
import sys
from pathlib import Path
from patalloc.lab import Point, Program, Sweep
ballast = bytearray(300 << 20)
results = Sweep(Program(("true",)), [Point("glibc"), Point("patalloc")], rounds=3).run()
print(max(entry.metrics["peak_rss"] for entry in results.counted()))
"""


def test_a_run_has_its_own_peak_and_not_that_of_who_measures() -> None:
    done = subprocess.run([sys.executable, "-c", BIG], capture_output=True, text=True, check=True)
    assert float(done.stdout) < 4e6
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss > 300 << 10


# Points


def test_points() -> None:
    made = points(grid(["threshold=64K,128K", "fill=auto,memset"]), ["glibc", "patalloc"])
    assert [each.name for each in made] == [
        "glibc",
        "patalloc:threshold=64K:fill=auto",
        "patalloc:threshold=64K:fill=memset",
        "patalloc:threshold=128K:fill=auto",
        "patalloc:threshold=128K:fill=memset",
    ]
    assert [Point.parse(each.name) for each in made] == made
    assert Point.parse("fill=memset") == Point("patalloc", "fill=memset")


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        (["nothing=1"], "nothing is none of the heap's options"),
        (["fill"], "must be NAME=VALUE"),
        (["fill=auto,"], "must be NAME=VALUE"),
        (["fill=auto", "fill=memset"], "there twice"),
        (["fill=some"], "fill=some: bad value"),
    ],
)
def test_wrong_grids(lines: list[str], told: str) -> None:
    with pytest.raises(PointError, match=told):
        grid(lines)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("malloc", "must be patalloc, glibc,"),
        ("/nowhere/lib.so", "no such file"),
        ("hardened", "libhardened_malloc.so is not installed"),
        ("glibc:fill=auto", "has none of patalloc's options"),
    ],
)
def test_allocators_that_are_not_there(name: str, told: str) -> None:
    with pytest.raises(PointError, match=told):
        Point.parse(name)


# What counts


def test_other_allocators_are_in_use() -> None:
    names = ["glibc", "patalloc", "jemalloc", "mimalloc"]
    results = Sweep(Program(COUNT), [*map(Point, names)], rounds=2).run()
    assert not results.left_out
    assert len([*results.counted()]) == 8
    assert set(results.ratios("peak_rss")) == set(names[1:])


STATIC = "int main(void) { return 0; }"
OWN = """
#include <stddef.h>
void *malloc(size_t size) { static char all[1 << 20]; static size_t at;
  return (size = (size + 15) & ~15ul) < sizeof all - at ? all + (at += size) - size : NULL; }
void free(void *block) { (void)block; }
void *calloc(size_t count, size_t size) { return malloc(count * size); }
void *realloc(void *block, size_t size) { return block ? NULL : malloc(size); }
int main(void) { return !malloc(100); }
"""


@pytest.mark.parametrize(
    ("source", "flag", "told"),
    [(STATIC, "-static", "is static"), (OWN, "-O0", "has a malloc of its own")],
)
def test_programs_that_an_allocator_does_not_reach(
    tmp_path: Path, source: str, flag: str, told: str
) -> None:
    (tmp_path / "main.c").write_text(source)
    subprocess.run(["cc", flag, "-o", tmp_path / "main", tmp_path / "main.c"], check=True)
    assert told in refusal("sweep", "--", tmp_path / "main")


FAILS = """
import os, sys
if "libpatalloc" in os.environ.get("LD_PRELOAD", ""):
    sys.exit("no")
print("well")
"""


def test_what_can_be_no_experiment() -> None:
    with pytest.raises(ExperimentError, match="nosuch: not found"):
        Sweep(Program(("nosuch",)), [GLIBC]).run()
    with pytest.raises(ExperimentError, match="no points"):
        Sweep(Program(("true",)), []).run()
    assert "-o FILE" in refusal("compare", "glibc", "patalloc", "--resume", "--", "true")
    wrong = "the check fails (exit status 1)"
    assert wrong in refusal("compare", "glibc", "patalloc", "--check", "false", "--", "true")
    done = patalloc("compare", "glibc", "patalloc", "--rounds=2", "--", sys.executable, "-c", FAILS)
    assert done.returncode == 2
    assert "nothing is compared" in done.stderr


def test_what_fails_or_differs_is_left_out_and_told(tmp_path: Path) -> None:
    results = Sweep(Program((sys.executable, "-c", FAILS)), [GLIBC, PATALLOC], rounds=2).run()
    assert results.left_out == {"patalloc": "exit status 1: no"}
    assert results.ratios("wall") == {"patalloc": []}
    differs = FAILS.replace('sys.exit("no")', 'sys.exit(print("ill"))')
    results = Sweep(Program((sys.executable, "-c", differs)), [GLIBC, PATALLOC], rounds=2).run()
    assert "printed something else" in results.left_out["patalloc"]


def test_a_run_that_fails_now_and_then_is_in_no_ratio(tmp_path: Path) -> None:
    code = f"""
import os, sys
path = {str(tmp_path / "count")!r}
count = int(open(path).read()) if os.path.exists(path) else 0
open(path, "w").write(str(count + 1))
sys.exit(count >= 8 and count % 4 == 0)
"""
    program = Program((sys.executable, "-c", code))
    results = Sweep(program, [GLIBC, PATALLOC], rounds=6).run()
    failed = {(each.round, each.point) for each in results.entries if each.failure}
    assert failed
    assert not results.left_out
    rounds = 6 - len({number for number, _ in failed})
    assert len(results.ratios("wall")["patalloc"]) == rounds


def test_a_baseline_that_fails_is_no_experiment() -> None:
    assert refusal("compare", "glibc", "patalloc", "--", "false") == (
        "patalloc: glibc: exit status 1"
    )
    told = refusal("sweep", "--", "sh", "-c", "echo wrong >&2; kill -SEGV $$")
    assert told == "patalloc: glibc: killed by SIGSEGV: wrong"


def test_output_that_varies_is_compared_by_a_check_or_not_at_all() -> None:
    command = ["--rounds", "1", "--", "date", "+%N"]
    assert "--any-output" in refusal("compare", "glibc", "patalloc", *command)
    assert patalloc("compare", "glibc", "patalloc", "--any-output", *command).returncode == 0
    check = 'test "$STATUS" = 0 && grep -q "^[0-9]*$" "$STDOUT"'
    assert patalloc("compare", "glibc", "patalloc", "--check", check, *command).returncode == 0


def test_what_the_heap_itself_has_counted_is_kept() -> None:
    command = (sys.executable, "-c", "print(len(bytes(10_000_000)))")
    for each in Sweep(Program(command), [GLIBC, PATALLOC], rounds=1).run().entries:
        assert bool(each.stats.get("blocks")) == (each.round == 0 and each.point == "patalloc")


def test_a_program_that_calls_no_malloc_is_told() -> None:
    said = patalloc("compare", "glibc", "patalloc", "--rounds=1", "--", "true").stderr
    assert said == "patalloc: the program was not seen to call malloc\n"
    assert not patalloc("compare", "glibc", "patalloc", "--rounds=1", "--", "ls", "/").stderr


# Rounds


def test_orders_are_others_each_round_and_the_same_with_a_seed() -> None:
    def orders(seed: int) -> list[list[str]]:
        names = ["glibc", "patalloc", "fill=memset", "fill=refpage"]
        sweep = Sweep(Program(("true",)), [*map(Point.parse, names)], rounds=4, seed=seed)
        entries = sweep.run().entries
        return [[e.point for e in entries if e.round == number] for number in range(1, 5)]

    first = orders(7)
    assert orders(7) == first
    assert len(set(map(tuple, first))) > 1
    assert {len(each) for each in first} == {4}


def test_it_ends_when_intervals_are_narrow_or_time_is_over() -> None:
    points = [GLIBC, PATALLOC]
    wide = Sweep(Program(("true",)), points, width=1000).run()
    assert max(each.round for each in wide.entries) == 6  # the fewest with an interval
    begun = time.monotonic()
    never = Sweep(Program(("sleep", "0.2")), points, width=1e-9, budget=2).run()
    assert time.monotonic() - begun < 30
    assert never.entries


def test_one_round_is_whole_whatever_the_budget() -> None:
    results = Sweep(Program(("sleep", "0.1")), [GLIBC, PATALLOC], budget=0.01).run()
    assert len(results.ratios("wall")["patalloc"]) == 1


def test_what_has_no_runs_yet_is_no_error() -> None:
    made = tuple(entries("a", {1: 1.0}))
    assert data(Results(("a", "b"), made, {}))["points"]["b"] == {}
    assert "too few rounds" in patalloc("machine", "--rounds=1").stdout


def test_an_executor_makes_runs_of_which_no_times_are_taken() -> None:
    with ThreadPoolExecutor(2) as executor:
        results = Sweep(Program(COUNT), [GLIBC, PATALLOC], rounds=2, executor=executor).run()
    assert "peak_rss" in results.metrics
    assert not {"wall", "cpu"} & {*results.metrics}


def test_an_executor_on_other_machines() -> None:
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster,
        Client(cluster) as client,
        client.get_executor() as executor,
    ):
        sweep = Sweep(Program(COUNT), [GLIBC, PATALLOC], rounds=2, executor=executor)
        results = sweep.run()
    assert len(results.ratios("peak_rss")["patalloc"]) == 2


# The journal


def test_a_journal_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    plan = {"command": ["true"], "seed": 1}
    entries = [Entry(1, "glibc", {"wall": 0.1, "vmas": 3}), Entry(2, "a b", {}, "x", "failed: é")]
    with Journal(path, plan) as journal:
        for entry in entries:
            journal.add(entry)
    found = read(path)
    assert (found.plan, found.entries) == (plan, entries)
    whole = path.read_bytes()
    path.write_bytes(whole[:-5])  # killed as it wrote
    with Journal(path, plan) as journal:
        assert journal.entries == entries[:1]
        journal.add(entries[1])
    assert path.read_bytes() == whole
    with pytest.raises(JournalError, match="other seed"), Journal(path, plan | {"seed": 2}):
        pass


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("hello\n", "line 1 is no JSON"),
        ('{"a": 1}\n', "no journal of patalloc's"),
        ('{"patalloc": 99, "plan": {}}\n', "of version 99; 1 is known"),
        ('{"patalloc": 1, "plan": {}}\n{"x": 1}\n', "line 2 is no run"),
        ("[]\n", "line 1 is no run"),
    ],
)
def test_what_is_no_journal_is_left_as_it_is(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "journal"
    path.write_text(text)
    line = refusal("compare", "glibc", "patalloc", "--resume", "-o", path, "--", "true")
    assert told in line
    assert path.read_text() == text
    line = refusal("compare", "glibc", "patalloc", "-o", path, "--", "true")
    assert "is there already" in line


def test_a_sweep_of_200_points_goes_on_after_a_kill(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    thresholds = ",".join(f"{128 + each}K" for each in range(200))
    command = ["sweep", f"--grid=threshold={thresholds}", "--rounds=1", "--budget=250", "-o", path]
    process = subprocess.Popen(
        [sys.executable, "-m", "patalloc", *map(str, command), "--", "true"],
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    until = time.monotonic() + 200
    while (not path.exists() or path.read_bytes().count(b"\n") < 150) and time.monotonic() < until:
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    before = path.read_bytes()
    done = patalloc(*command, "--resume", "--", "true")
    assert done.returncode == 0, done.stderr
    after = path.read_bytes()
    assert after.startswith(before[: before.rindex(b"\n") + 1])
    entries = read(path).entries
    made = [(each.round, each.point) for each in entries]
    assert len(made) == len(set(made))
    rounds = [{name for number, name in made if number == each} for each in {n for n, _ in made}]
    assert [len(names) == 201 for names in rounds].count(True) == 2  # one that counts


def test_one_process_at_a_time_writes_a_journal(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    with Journal(path, {"seed": 1}), pytest.raises(JournalError, match="another process"):
        Journal(path, {"seed": 1}).__enter__()


def test_an_interrupt_keeps_what_ran(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    command = ["compare", "glibc", "patalloc", "--width=0.0001", "-o", str(path), "--", "true"]
    process = subprocess.Popen(
        [sys.executable, "-m", "patalloc", *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    until = time.monotonic() + 200
    while (not path.exists() or path.read_bytes().count(b"\n") < 8) and time.monotonic() < until:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    out, error = process.communicate(timeout=60)
    assert process.returncode == 3
    assert "cut short: this is what ran" in error
    assert "patalloc" in out
    assert len(read(path).entries) >= 7


def test_a_full_disk_is_told_and_what_was_measured_is_kept() -> None:
    assert "No space left" in refusal(
        "compare", "glibc", "patalloc", "-o", "/dev/full", "--", "true"
    )


# What is said


def entries(point: str, values: dict[int, float]) -> list[Entry]:
    return [Entry(number, point, {"wall": value}) for number, value in values.items()]


def test_ratios_are_of_one_round() -> None:
    made = entries("a", {1: 1, 2: 10, 3: 5}) + entries("b", {1: 2, 2: 20, 4: 7})
    made.append(Entry(3, "b", {"wall": 0.001}, "", "exit status 1"))
    results = Results(("a", "b"), tuple(made), {})
    assert results.ratios("wall") == {"b": [2, 2]}
    assert results.metrics == ("wall",)


def test_data_and_tables(tmp_path: Path) -> None:
    file = tmp_path / "sweep.toml"
    file.write_text(
        'command = ["true"]\nallocators = ["patalloc", "jemalloc"]\n'
        '[grid]\nfill = ["auto", "memset"]\n'
    )
    names = ["glibc", "patalloc:fill=auto", "patalloc:fill=memset", "jemalloc"]
    done = patalloc("sweep", "--rounds=6", "--json", "--file", file)
    found = json.loads(done.stdout)
    assert [*found["points"]] == names
    wall = found["points"]["jemalloc"]["wall"]
    assert wall["runs"] == wall["ratio"]["rounds"] == 6
    assert wall["ratio"]["interval"][0] <= wall["ratio"]["median"] <= wall["ratio"]["interval"][1]
    lines = patalloc("sweep", "--rounds=1", "--csv", "--file", file).stdout.splitlines()
    assert lines[0].startswith("round,point,wall,cpu,peak_rss")
    assert len(lines) == 1 + 4 + 4
    table = patalloc("sweep", "--rounds=1", "--file", file).stdout
    assert all(name in table for name in names)
    file.write_text("command = 3\n")
    assert "command: must be a list of strings" in refusal("sweep", "--file", file)
    file.write_text("command = ['true']\nbaseline = 3\n")
    assert "allocator 3: must be" in refusal("sweep", "--file", file)
    file.write_text("colour = 3\n")
    assert "colour: must be one of" in refusal("sweep", "--file", file)
    file.write_text("command = [\n")
    assert str(file) in refusal("sweep", "--file", file)


def test_a_programs_options_are_not_ours() -> None:
    done = patalloc("compare", "glibc", "patalloc", "true", "--seed", "5")
    assert done.returncode == 2
    assert "-- must be in front of the program" in done.stderr


def test_what_a_machine_can_show() -> None:
    told = patalloc("machine", "--rounds=7", "--width=0.001").stdout
    assert "cpu: differences of" in told
    assert "after 7 rounds" in told


def test_workloads() -> None:
    done = patalloc("compare", "glibc", "patalloc", "--rounds=1", "--", "workload:seed-page")
    assert done.returncode == 0, done.stderr
    assert "takes no arguments" in refusal("sweep", "--", "workload:touch", "5")
    assert "workload:seed-all" in refusal("sweep", "--", "workload:other")
