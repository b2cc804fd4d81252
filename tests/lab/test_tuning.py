"""Settings that suit a program are found, and measured anew."""

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from patalloc.lab import Entry, Point, Program, Results, Tuning
from patalloc.lab.tuning import blocks, space

POINTS = ("patalloc", "patalloc:fill=memset", "patalloc:fill=refpage")


def tune(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "patalloc", "tune", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=280)


def results(points: Mapping[str, tuple[float, float]], rounds: int = 10) -> Results:
    """That took so many seconds and bytes each."""
    entries = [
        Entry(number, name, {"cpu": cpu, "peak_rss": rss})
        for number in range(1, rounds + 1)
        for name, (cpu, rss) in points.items()
    ]
    return Results(tuple(points), tuple(entries), {})


def tuning(metric: str | None, most_rss: float | None = None) -> Tuning:
    return Tuning(Program(("true",)), 1.0, metric, most_rss)


def test_the_lowest_leads_and_what_is_worse_is_dropped() -> None:
    found = results(dict(zip(POINTS, [(1.0, 9.0), (0.8, 12.0), (1.2, 8.0)], strict=True)))
    assert tuning("cpu")._leader(found) == POINTS[1]
    assert tuning("peak_rss")._leader(found) == POINTS[2]
    assert tuning("cpu", 1.05)._leader(found) == POINTS[0]
    assert tuning("cpu")._beaten(found) == {POINTS[2]: f"worse than {POINTS[1]}"}
    assert tuning("cpu", 1.05)._beaten(found) == {
        POINTS[1]: "takes too much memory",
        POINTS[2]: "worse than patalloc",
    }
    assert tuning(None)._beaten(found) == {}
    few = results(dict(zip(POINTS, [(1.0, 9.0), (0.8, 12.0), (1.2, 8.0)], strict=True)), 5)
    assert tuning("cpu")._beaten(few) == {}


def test_the_front_has_what_no_other_beats() -> None:
    values = [(1.0, 9.0), (0.8, 12.0), (1.2, 8.0), (1.1, 9.5), (0.8, 12.0)]
    names = [*POINTS, "patalloc:threshold=64K", "patalloc:threshold=1M"]
    front = tuning(None)._front(results(dict(zip(names, values, strict=True))))
    assert front == (*POINTS, "patalloc:threshold=1M")


def test_fewer_are_tried_where_there_is_no_time() -> None:
    assert len(space(1e9)) == 1 + 4 * 3 * 3
    assert len(space(10)) == 1 + 4 + 3 + 3
    assert space(10)[0] == Point("patalloc")


def test_blocks_are_counted_without_a_word() -> None:
    count, seconds = blocks(Program((sys.executable, "-c", "print(len(bytes(100_000)))")))
    assert count >= 1
    assert seconds > 0


def test_nothing_to_tune() -> None:
    done = tune("--minimise", "time", "--", "true")
    assert done.returncode == 0
    assert done.stdout == "patalloc: 0 blocks of 64 KiB or more: nothing to tune\n"


def test_what_is_not_reached_has_nothing_to_count(tmp_path: Path) -> None:
    (tmp_path / "main.c").write_text("int main(void) { return 0; }")
    subprocess.run(["cc", "-static", "-o", tmp_path / "main", tmp_path / "main.c"], check=True)
    for command, told in (
        ([tmp_path / "main"], "is static"),
        (["false"], "exit status 1"),
        (["sh", "-c", "kill -SEGV $$"], "killed by SIGSEGV"),
    ):
        done = tune("--", *command)
        assert done.returncode == 2
        assert told in done.stderr


def test_memory_of_a_program_that_keeps_much() -> None:
    """Pages of freed blocks are kept by default, and are not with retain_size=0."""
    code = "for i in range(40): bytearray(b'x') * (i << 20)"
    command = ["--minimise=rss", "--budget=40", "--json", "--", sys.executable, "-c", code]
    done = tune(*command)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["searched"]["baseline"] == "patalloc"
    if found["confirmed"]:
        assert [*found["confirmed"]["points"]] == ["patalloc", found["winner"]]


def test_a_front_and_its_picture(tmp_path: Path) -> None:
    picture = tmp_path / "front.svg"
    done = tune("--budget=5", "-o", picture, "--", "workload:seed-page")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("point ")
    names = [line.split()[0] for line in done.stdout.splitlines()[1:]]
    assert all(name in picture.read_text() for name in names)


def test_wrong_numbers() -> None:
    for wrong in (["--rss-at-most", "much"], ["--rss-at-most", "-1"], ["--budget", "0"]):
        done = tune(*wrong, "--", "true")
        assert done.returncode == 2
        assert wrong[1] in done.stderr
