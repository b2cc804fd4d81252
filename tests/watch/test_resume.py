"""on_fault=continue: what is reported does not end the program, and the next error is told, too."""

import signal
import sys
from pathlib import Path

import pytest

from conftest import Build, preloaded
from patalloc.watch import read

WAYS = [
    "",
    ":without=guard_regions",
    ":guard_pages=3",
    ":fill=memset",
    ":reserve=64G:without=proc",
    ":on_free=quarantine:without=guard_regions",
]


def kinds(report: Path) -> list[str]:
    return [event.kind for event in read(report.read_text())]


@pytest.mark.parametrize("way", WAYS)
def test_every_error_is_told_and_none_ends_the_program(
    build: Build, tmp_path: Path, way: str
) -> None:
    report = tmp_path / "report"
    free = "" if "on_free" in way else ":on_free=quarantine"
    options = f"report={report}:headlines=no:on_fault=continue:pattern=0x5a{free}{way}"
    done = preloaded([build("resumes"), "kinds"], options)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    lines = done.stdout.splitlines()
    assert lines == ["5a"] * 4 + ["done"]  # not a word of the program's own handler
    expected = ["heap-buffer-overflow"] * 4 + ["use-after-free"] * 2 + ["heap-buffer-underflow"]
    assert kinds(report) == expected


def test_a_place_has_its_guard_again(build: Build, tmp_path: Path) -> None:
    """A block that is freed is handed out again, at the same place."""
    report = tmp_path / "report"
    done = preloaded([build("resumes"), "20"], f"report={report}:on_fault=continue")
    assert done.returncode == 0, done.stderr
    events = [*read(report.read_text())]
    assert len(events) == 20
    assert len({event.address for event in events}) < 20


def test_a_hundred_are_enough(build: Build, tmp_path: Path) -> None:
    report = tmp_path / "report"
    done = preloaded([build("resumes"), "200"], f"report={report}:on_fault=continue")
    assert "the program's own handler was called" in done.stdout
    assert len(done.stdout.splitlines()) > 100


def test_without_it_the_fault_is_the_programs(build: Build, tmp_path: Path) -> None:
    report = tmp_path / "report"
    done = preloaded([build("resumes"), "kinds"], f"report={report}")
    assert done.stdout.startswith("the program's own handler was called\n")
    assert done.returncode in (9, -signal.SIGSEGV)


REDIRECTED = """
import ctypes, os, sys
os.dup2(os.open(sys.argv[1], os.O_CREAT | os.O_WRONLY), 2)
if len(sys.argv) > 2 and os.fork():
    sys.exit(os.wait()[1])
print(sum(int(each) > 100 for each in os.listdir("/proc/self/fd")), flush=True)
malloc = ctypes.CDLL(None).malloc
malloc.restype = ctypes.c_void_p
ctypes.memset(malloc(200_000) + 200_000, 1, 1)
"""


@pytest.mark.parametrize("forked", [False, True])
def test_a_report_goes_where_standard_error_was(tmp_path: Path, forked: bool) -> None:
    """As under a test runner that captures it; in a forked child where it is."""
    captured = tmp_path / "captured"
    command = [sys.executable, "-c", REDIRECTED, captured, *["forked"] * forked]
    done = preloaded(command, "report=yes")
    (shown, elsewhere) = (done.stderr, captured.read_text())
    if forked:
        shown, elsewhere = elsewhere, shown
    assert "ERROR: heap-buffer-overflow" in shown or "heap-buffer-overflow: write" in shown
    assert "heap-buffer-overflow" not in elsewhere
    assert done.stdout == f"{int(not forked)}\n"
