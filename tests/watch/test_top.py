"""Live numbers of programs that know their heaps, by call site and by size; and change nothing."""

import json
import os
import pty
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeAlias

import pytest

from conftest import ROOT, Build
from patalloc import Config
from patalloc.cli import top
from patalloc.preload import environment

PATALLOC = [sys.executable, "-m", "patalloc"]
SITES = "report=yes:stacks=16"
MIB = 1 << 20
PAGE = os.sysconf("SC_PAGESIZE")
# What the program has of each function: blocks, bytes, and pages written.
OWN = {
    "largest": (1, 16 * MIB, 100),
    "small_ones": (5, 5 * MIB, 0),
    "written": (1, 3 * MIB, 3 * MIB // PAGE + 1),  # it lies in a page more than it has
}

Program: TypeAlias = "subprocess.Popen[str]"


def start(*command: str | Path, options: str = SITES) -> Program:
    process = subprocess.Popen(
        command,
        env=environment(Config.parse(options)),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    assert process.stdout.readline()
    return process


def go_on(process: Program) -> None:
    assert process.stdin
    assert process.stdout
    process.stdin.write("\n")
    process.stdin.flush()
    process.stdout.readline()


def end(process: Program) -> None:
    process.communicate("\n\n", timeout=60)
    assert process.returncode == 0


@pytest.fixture
def program(build: Build, request: pytest.FixtureRequest) -> Iterator[Program]:
    process = start(build("topped"), options=getattr(request, "param", SITES))
    yield process
    end(process)


def run(*arguments: object, by: Sequence[str] = ()) -> "subprocess.CompletedProcess[str]":
    command = [*by, *PATALLOC, "top", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def look(pid: int, *arguments: object) -> dict[str, Any]:
    done = run(pid, "--once", "--json", *arguments)
    assert (done.returncode, done.stderr) == (0, "")
    found: dict[str, Any] = json.loads(done.stdout)
    assert found["version"] == 1
    return found


@pytest.mark.parametrize(
    "program",
    [SITES, f"{SITES}:on_free=quarantine", f"{SITES}:without=guard_regions"],
    indirect=True,
)
def test_numbers_by_site(program: Program) -> None:
    found = look(program.pid)
    assert found["process"] == program.pid
    assert "topped" in found["command"]
    assert found["by"] == "site"
    assert found["blocks"] == 7
    assert found["bytes"] == 24 * MIB
    assert found["new_per_second"] is None
    assert found["resident"] >= found["anonymous"] >= found["written"] > 3 * MIB
    rows = {row["site"]["function"]: row for row in found["rows"]}
    assert rows.keys() == OWN.keys()
    source = (ROOT / "tests" / "c" / "topped.c").read_text().splitlines()
    for name, (blocks, size, pages) in OWN.items():
        row = rows[name]
        assert (row["blocks"], row["bytes"]) == (blocks, size)
        assert abs(row["written"] - pages * PAGE) <= PAGE
        assert row["unwritten"] + row["written"] >= size
        assert row["unwritten_share"] == row["unwritten"] / (row["unwritten"] + row["written"])
        assert row["age"] >= 0
        assert row["site"]["file"].endswith("topped.c")
        assert "malloc(" in source[row["site"]["line"] - 1]
    assert sum(row["written"] for row in found["rows"]) == found["written"]
    assert sum(row["unwritten"] for row in found["rows"]) == found["read"] + found["untouched"]
    assert (found["kept"] > 0) != (found["quarantined"] > 0)


def test_text(program: Program) -> None:
    lines = run(program.pid, "--once").stdout.splitlines()
    assert re.fullmatch(rf"process {program.pid}: .*topped.*", lines[0])
    assert re.fullmatch(r"resident [\d,]+, anonymous [\d,]+; a look every 1 s", lines[1])
    assert lines[2] == "7 blocks of 25,165,824 bytes"
    assert re.match(
        r"written [\d,]+, read [\d,]+, untouched [\d,]+, swapped 0, huge 0, kept", lines[3]
    )
    assert lines[4].split() == ["blocks", "bytes", "written", "unwritten", "oldest", "site"]
    assert re.fullmatch(
        r" +1 +16,777,216 +409,600 +97\.6% +[\d,.]+ s  largest at topped\.c:\d+", lines[5]
    )
    assert len(lines) == 8


@pytest.mark.parametrize(
    ("key", "order"),
    [
        ("bytes", ["largest", "small_ones", "written"]),
        ("blocks", ["small_ones", "largest", "written"]),
        ("written", ["written", "largest", "small_ones"]),
        ("unwritten", ["largest", "small_ones", "written"]),
        ("age", ["largest", "small_ones", "written"]),
    ],
)
def test_order_and_rows(program: Program, key: str, order: list[str]) -> None:
    found = look(program.pid, "--sort", key)
    assert [row["site"]["function"] for row in found["rows"]] == order
    found = look(program.pid, "--sort", key, "--rows", 1)
    assert [row["site"]["function"] for row in found["rows"]] == order[:1]
    assert found["left_out"] == 2
    assert found["bytes"] == 24 * MIB
    shown = run(program.pid, "--once", "--sort", key, "--rows", 1).stdout
    assert shown.endswith("... 2 more\n")


@pytest.mark.parametrize("program", ["report=yes", "report=no"], indirect=True)
def test_by_size_where_there_are_no_call_stacks(program: Program) -> None:
    found = look(program.pid)
    assert found["by"] == "size"
    rows = {row["least"]: (row["blocks"], row["bytes"]) for row in found["rows"]}
    assert rows == {16 * MIB: (1, 16 * MIB), MIB: (5, 5 * MIB), 2 * MIB: (1, 3 * MIB)}
    assert all(row["site"] is None for row in found["rows"])
    assert len({row["age"] is None for row in found["rows"]}) == 1
    shown = run(program.pid, "--once").stdout
    assert "by size, as there are no call stacks: options report=yes:stacks=16 give them\n" in shown
    assert "  2 MiB to 4 MiB\n" in shown


def test_a_process_that_is_recorded(build: Build, tmp_path: Path) -> None:
    command = [*PATALLOC, "record", "-o", tmp_path / "trace", "--", build("topped")]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as recording:
        assert recording.stdout
        found = look(int(recording.stdout.readline()))
        recording.communicate("\n\n", timeout=60)
    assert found["bytes"] == 24 * MIB


def test_arrays_of_numpy() -> None:
    code = """if True:
    import numpy
    arrays = [numpy.empty(1 << 20) for _ in range(6)]
    for each in arrays[:3]:
        each[: 1 << 19] = 1
    print(1, flush=True)
    input()
    input()
    """
    process = start(sys.executable, "-c", code)
    found = look(process.pid)
    row = found["rows"][0]
    assert (row["blocks"], row["bytes"]) == (6, 6 * 8 * MIB)
    assert 12 * MIB <= row["written"] <= 12 * MIB + 6 * PAGE
    assert "numpy" in row["site"]["module"]
    assert row["site"]["function"] not in ("default_malloc", "PyDataMem_UserNEW")
    end(process)


def test_containers_are_passed_over(tmp_path: Path) -> None:
    code = """
    #include <cstdio>
    #include <vector>
    __attribute__((noinline)) std::vector<int> filled() { return std::vector<int>(1 << 20, 7); }
    int main() {
      std::vector<int> first = filled(), second;
      second.reserve(1 << 21);
      std::puts("1");
      std::fflush(stdout);
      return std::getchar() == EOF;
    }
    """
    program = tmp_path / "program"
    command = ["c++", "-g", "-O1", "-x", "c++", "-", "-o", program]
    subprocess.run(command, input=code, text=True, check=True)
    process = start(program)
    rows = look(process.pid)["rows"]
    assert [(row["site"]["function"], row["bytes"]) for row in rows] == [
        ("main", 8 * MIB),
        ("filled()", 4 * MIB),
    ]
    end(process)


def test_a_process_that_becomes_another_program() -> None:
    process = start("sh", "-c", "echo 1; read line; exec env -u LD_PRELOAD sleep 60")
    command = [*PATALLOC, "top", str(process.pid), "--interval", "0.1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as it:
        assert it.stdout
        it.stdout.readline()
        assert process.stdin
        process.stdin.write("\n")
        process.stdin.flush()
        _, errors = it.communicate(timeout=60)
    process.kill()
    process.communicate()
    assert it.returncode == 2
    assert f"process {process.pid} can't be read any more" in errors


def test_what_is_new(program: Program) -> None:
    command = [*PATALLOC, "top", str(program.pid), "--json", "--interval", "0.1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as watching:
        assert watching.stdout
        first = json.loads(watching.stdout.readline())
        assert first["new_per_second"] is None
        assert json.loads(watching.stdout.readline())["new_per_second"] == 0
        go_on(program)
        for line in watching.stdout:
            if json.loads(line)["new_per_second"]:
                break
        found = json.loads(watching.stdout.readline())
        assert (found["blocks"], found["bytes"]) == (14, 31 * MIB)
        watching.send_signal(signal.SIGINT)
        assert watching.wait(60) == 0


def state(pid: int) -> tuple[dict[str, str], list[str], list[str]]:
    """What a process has of what a look could change."""
    folder = Path("/proc", str(pid))
    files = {each.name: os.readlink(each) for each in (folder / "fd").iterdir()}
    fields = re.findall(
        r"^(?:TracerPid|Sig(?:Pnd|Blk|Ign|Cgt)|ShdPnd|Threads):.*",
        (folder / "status").read_text(),
        re.M,
    )
    return files, [each.name for each in (folder / "task").iterdir()], fields


def test_in_a_terminal_until_the_process_ends(build: Build) -> None:
    process = start(build("topped"))
    before = state(process.pid)
    ours, theirs = pty.openpty()
    env = dict(os.environ, TERM="xterm", COLUMNS="100", LINES="30")
    command = [*PATALLOC, "top", str(process.pid), "--interval", "0.1"]
    watching = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=env)
    os.close(theirs)
    shown = b""
    while shown.count(b"small_ones at topped.c") < 3:
        shown += os.read(ours, 1 << 16)
    assert state(process.pid) == before
    end(process)
    try:
        while part := os.read(ours, 1 << 16):
            shown += part
    except OSError:  # it has closed the terminal
        pass
    os.close(ours)
    assert watching.wait(60) == 0
    assert b"97.6%" in shown
    assert b"\x1b[?1049l" in shown  # the screen is what it was


def test_the_end_of_the_process_is_no_error(build: Build) -> None:
    process = start(build("topped"))
    command = [*PATALLOC, "top", str(process.pid), "--interval", "1000"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as it:
        assert it.stdout
        assert it.stdout.readline().startswith(f"process {process.pid}: ")
        end(process)
        _, errors = it.communicate(timeout=60)
        assert (it.returncode, errors) == (0, "")


def test_less_often_where_looks_take_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """As told by a clock of our own: 30 ms each look, 10 of them for names."""
    clock = SimpleNamespace(now=0.0)
    it = SimpleNamespace(naming=0.0, looks=0)
    every: list[float] = []

    def look() -> None:
        it.looks += 1
        if it.looks == 5:
            raise ValueError("it has ended")
        clock.now += 0.03
        it.naming += 0.01

    it.look = look
    monkeypatch.setattr(top.time, "process_time", lambda: clock.now)
    monkeypatch.setattr(top, "_wait", lambda pid, seconds: every.append(round(seconds, 6)))
    monkeypatch.setattr(top, "is_there", lambda pid: False)
    top._watch(1, it, 1.0, lambda look, every: None)  # type: ignore[arg-type]
    assert every == [1.0, 2.0, 2.0, 2.0]


def test_pages_that_may_not_be_read(program: Program) -> None:
    code = """if True:
    import errno, os, sys
    from patalloc.cli import patalloc
    opened = os.open
    def refuse(path, *rest):
        if str(path).endswith("/pagemap"):
            raise PermissionError(errno.EPERM, "")
        return opened(path, *rest)
    os.open = refuse
    patalloc(["top", *sys.argv[1:]])
    """
    command = [sys.executable, "-c", code, str(program.pid), "--once"]
    shown = subprocess.run(command, capture_output=True, text=True)
    assert (shown.returncode, shown.stderr) == (0, "")
    assert "what was written is not known: this process may not read its page map\n" in shown.stdout
    assert re.search(r" 1 +16,777,216 +- +- +[\d,.]+ s  largest at topped", shown.stdout)
    found = json.loads(subprocess.check_output([*command, "--json"]))
    assert (found["blocks"], found["bytes"]) == (7, 24 * MIB)
    assert found["written"] is found["untouched"] is found["kept"] is None
    assert found["rows"][0]["written"] is found["rows"][0]["unwritten_share"] is None


def test_what_can_not_be_looked_at(program: Program) -> None:
    with subprocess.Popen(["sleep", "60"]) as other:
        for pid, said in (
            (1 << 22, "there is no process 4194304"),
            (other.pid, "does not run under patalloc"),
        ):
            for how in ((), ("--once", "--json")):
                done = run(pid, *how)
                assert (done.returncode, done.stdout) == (2, "")
                assert said in done.stderr
        other.kill()
    as_root = os.getuid() == 0
    fewer = ("setpriv", "--bounding-set", "-all") if as_root else ()  # capabilities than it has
    done = run(program.pid if as_root else 1, "--once", by=fewer)
    assert (done.returncode, done.stdout) == (2, "")
    assert "may not be read by this user" in done.stderr


def test_every_key_is_documented(program: Program) -> None:
    text = (ROOT / "docs" / "traces.md").read_text().partition("## Live numbers")[2]
    documented = set(re.findall(r"`(\w+)`", text.partition("\n## ")[0]))
    found = look(program.pid)
    assert {*found, *found["rows"][0], *found["rows"][0]["site"]} <= documented
