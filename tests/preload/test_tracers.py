"""Beside debuggers, tracers and scanners a program does what it does without the library."""

import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from conftest import Build, preloaded
from patalloc.preload import library

VALGRIND = ["valgrind", "-q", "--error-exitcode=9"]
PRELOADED = ["-ex", "set startup-with-shell off", "-ex", f"set environment LD_PRELOAD={library()}"]


def under_gdb(program: Path, *commands: str, options: str = "") -> str:
    given = [*commands[:-1], f"set environment PATALLOC_OPTIONS={options}", commands[-1]]
    asked = [part for command in given for part in ("-ex", command)]
    command = ["gdb", "-batch", "-nx", *PRELOADED, *asked, program]
    return subprocess.run(command, capture_output=True, text=True, timeout=120).stdout


@pytest.mark.parametrize(
    ("tool", "options"),
    [
        ("memcheck", ""),
        ("memcheck", "report=yes"),
        ("memcheck", "sandbox=yes"),
        ("helgrind", "report=yes"),
        ("none", "count=yes:small_fill=both"),
    ],
)
def test_valgrind(build: Build, tool: str, options: str) -> None:
    command = [*VALGRIND, f"--tool={tool}", build("spawner")]
    result = preloaded(command, options)
    assert (result.returncode, result.stdout) == (0, "parent of 3\n"), result.stderr
    assert result.stderr == ""


def test_valgrind_where_the_environment_is_gone(build: Build) -> None:
    result = preloaded([*VALGRIND, "--tool=none", build("environment"), "1"])
    assert (result.returncode, result.stdout, result.stderr) == (0, "fine\n", "")


@pytest.mark.parametrize("options", ["", "count=yes", "on_free=quarantine"])
def test_the_environment_is_the_programs(build: Build, options: str) -> None:
    result = preloaded([build("environment")], options)
    assert (result.returncode, result.stdout, result.stderr) == (0, "fine\n", "")


@pytest.mark.parametrize("options", ["", "count=yes"])
def test_gdb_follows_the_programs_own_children(build: Build, options: str) -> None:
    said = under_gdb(
        build("spawner"),
        "set follow-fork-mode child",
        "break in_child",
        "run",
        options=options,
    )
    assert re.search(r"hit Breakpoint 1, in_child \(\)", said), said
    said = under_gdb(build("spawner"), "catch vfork", "run", options=options)
    assert "parent of 3" in said
    assert said.count("vfork") == 1  # in the name of the catchpoint, which nothing has hit


def test_strace(build: Build) -> None:
    program = build("spawner")
    result = preloaded(["strace", "-f", "-o", "/dev/null", program], "count=yes")
    assert (result.returncode, result.stdout, result.stderr) == (0, "parent of 3\n", "")


@pytest.fixture
def waiting(build: Build, request: pytest.FixtureRequest) -> Iterator[int]:
    """A program that has made its blocks."""
    env = dict(os.environ) | {"LD_PRELOAD": str(library()), "PATALLOC_OPTIONS": request.param}
    with subprocess.Popen([build("spawner"), "wait"], env=env, stdout=subprocess.PIPE) as process:
        assert process.stdout
        assert process.stdout.readline() == b"ready\n"
        yield process.pid
        process.kill()


@pytest.mark.parametrize("waiting", ["without=guard_regions", "guard_pages=0"], indirect=True)
def test_a_dump_by_gdb_has_every_block(waiting: int, tmp_path: Path) -> None:
    """With guard regions it leaves out what lies behind one, as README.md says."""
    command = ["gdb", "-batch", "-nx", "-p", str(waiting), "-ex", f"gcore {tmp_path / 'core'}"]
    subprocess.run(command, capture_output=True, check=True, timeout=120)
    core = (tmp_path / "core").read_bytes()
    assert {int(number) for number in re.findall(rb"block number (\d+)\0", core)} == {*range(64)}


@pytest.mark.parametrize("options", ["", "without=guard_regions", "report=yes:stacks=8"])
def test_scanners_that_ask_for_pages(build: Build, options: str) -> None:
    result = preloaded([build("scanner"), "pages"], options)
    assert (result.returncode, result.stdout, result.stderr) == (0, "fine\n", "")


def test_scanners_that_read_what_is_mapped(build: Build) -> None:
    """By pointers: a guard region faults, which no mapping tells of."""
    result = preloaded([build("scanner"), "pointer"], "without=guard_regions")
    assert (result.returncode, result.stdout, result.stderr) == (0, "fine\n", "")


@pytest.mark.parametrize("options", ["", "threshold=4K", "report=yes"])
def test_a_garbage_collector(build: Build, options: str) -> None:
    result = preloaded([build("collected", "-lgc")], options)
    assert (result.returncode, result.stdout, result.stderr) == (0, "fine\n", "")


def find(name: str) -> Path:
    places = [Path("/usr/lib"), *Path("/usr/lib").glob("*-linux-gnu")]
    return next(path / name for path in places if (path / name).exists())


@pytest.mark.parametrize("name", ["libmemusage.so", "libefence.so"])
def test_a_malloc_underneath_without_sizes(build: Build, name: str) -> None:
    """They have no malloc_usable_size, so that the C library's would be asked of their blocks."""
    other = find(name)
    for order in (f"{library()}:{other}", f"{other}:{library()}"):
        env = dict(os.environ) | {"LD_PRELOAD": order, "PATALLOC_OPTIONS": "guard_small=7"}
        result = subprocess.run([build("spawner")], env=env, capture_output=True, text=True)
        assert (result.returncode, result.stdout) == (0, "parent of 3\n"), (order, result.stderr)
        told = "does not tell how large its blocks are" in result.stderr
        assert told == order.startswith(str(library()))


def test_strace_comes_and_goes(build: Build) -> None:
    """It hung with a child that it took for the program's."""
    env = dict(os.environ) | {"LD_PRELOAD": str(library()), "PATALLOC_OPTIONS": "count=yes"}
    process = subprocess.Popen([build("environment"), "100000"], env=env, stdout=subprocess.PIPE)
    try:
        for _ in range(5):
            command = ["strace", "-f", "-o", "/dev/null", "-p", str(process.pid)]
            tracer = subprocess.Popen(command, stderr=subprocess.DEVNULL)
            time.sleep(0.4)
            tracer.send_signal(signal.SIGINT)
            assert tracer.wait(20) in (0, -signal.SIGINT, 130)
            assert process.poll() is None
            state = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[0]
            assert state in "RS"  # and not T, or D for ever
    finally:
        process.kill()
        process.wait()


def test_what_these_need_is_there() -> None:
    assert all(map(shutil.which, ("valgrind", "gdb", "strace")))
    assert Path("/usr/include/gc.h").exists()
    assert find("libefence.so").exists()
