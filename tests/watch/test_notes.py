"""Notes, and the lines of Python, in reports."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import patalloc
from conftest import Build, preloaded
from patalloc.watch import Event, read
from patalloc.watch.formats import github, told_of
from patalloc.watch.rendering import render

SITE = Path(patalloc.__file__).parent / "site"
OPTIONS = "headlines=no:on_fault=continue:on_error=continue:slack_check=all:stacks=4"


def test_what_threads_say(build: Build, tmp_path: Path) -> None:
    report = tmp_path / "report"
    program = build("notes")
    done = preloaded([program], f"report={report}:{OPTIONS}")
    assert (done.returncode, done.stdout) == (0, "fine\n"), done.stderr
    said = []
    for event in read(report.read_text()):
        assert event.block
        assert event.block.allocated
        said.append((event.note, event.block.allocated.note))
    assert said == [
        ("", ""),
        ("overrunning", "the first test"),
        ("overrunning", "a request"),
        ("overrunning", "overrunning"),
        ("x" * 2047, "x" * 2047),
        ("", ""),
    ]
    alone = subprocess.run([program], capture_output=True, text=True, check=True)
    assert alone.stdout == "fine\n"


def test_notes_are_in_the_text(build: Build) -> None:
    said = preloaded([build("notes")], f"report=yes:{OPTIONS}").stderr
    assert ", during overrunning:\n" in said
    assert ", during the first test:\n" in said


SCRIPT = """
import ctypes
import numpy as np
import patalloc

def make(size):
    return np.ones(size, dtype=np.uint8)

def overrun(array, offset):
    ctypes.memset(array.ctypes.data + array.size + offset, 7, 1)

def test(size, offset):
    patalloc.note(f"making {size}")
    array = make(size)
    patalloc.note(f"testing {size}")
    overrun(array, offset)

test(200_000, 4096)  # a guard
test(200_003, 3)  # slack, found when it is freed
test(24, 0)  # of a small one
if CHILD:
    import multiprocessing
    child = multiprocessing.get_context(CHILD).Process(target=test, args=(200_000, 4096))
    child.start()
    child.join()
"""


def lines(text: str) -> list[tuple[int, str]]:
    found = []
    for line in text.splitlines():
        _, _, where = line.partition('", line ')
        number, _, name = where.partition(" in ")
        found.append((int(number), name))
    return found


def line_of(text: str) -> int:
    return 1 + SCRIPT[: SCRIPT.index(text)].count("\n")


def run_script(tmp_path: Path, *, child: str = "", **variables: str) -> tuple[str, list[Event]]:
    report, script = tmp_path / "report", tmp_path / "script.py"
    script.write_text(SCRIPT.replace("CHILD", repr(child)))
    options = f"report={report}:{OPTIONS}"
    done = preloaded([sys.executable, script], options, PYTHONPATH=str(SITE), **variables)
    assert done.returncode == 0, done.stderr
    return done.stderr, [*read(report.read_text())]


def test_reports_have_the_lines_of_python(tmp_path: Path) -> None:
    said, (fault, slack, small) = run_script(tmp_path)
    assert said == ""
    assert [each.note for each in (fault, slack, small)] == [
        f"testing {size}" for size in (200_000, 200_003, 24)
    ]
    assert lines(fault.python)[:2] == [
        (line_of("    ctypes.memset"), "overrun"),
        (line_of("    overrun("), "test"),
    ]
    for event, size in ((fault, 200_000), (slack, 200_003), (small, 24)):
        assert event.block
        assert event.block.allocated
        assert event.block.allocated.note == f"making {size}"
        assert (line_of("    return np.ones"), "make") in lines(event.block.allocated.python)
        assert lines(event.python)[-1][1] == "<module>"
    shown = "\n".join(render(fault))
    assert ", during testing 200000:\n  File " in shown
    assert f"line={line_of('    ctypes.memset')}," in github([told_of(fault)])


def test_so_have_those_of_a_forked_child(tmp_path: Path) -> None:
    _, events = run_script(tmp_path, child="fork")
    assert len(events) == 4
    assert (line_of("    ctypes.memset"), "overrun") in lines(events[-1].python)
    assert events[-1].process != events[0].process


def test_faulthandler_tells_its_own_once(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT.replace("CHILD", "''"))
    done = preloaded(
        [sys.executable, "-X", "faulthandler", script], "report=yes", PYTHONPATH=str(SITE)
    )
    assert done.returncode < 0
    assert done.stderr.count("heap-buffer-overflow") == 1
    assert done.stderr.count("Fatal Python error: Segmentation fault") == 1
    assert done.stderr.index("heap-buffer-overflow") < done.stderr.index("Fatal Python error")


def test_lines_that_cannot_be_had_do_not_stop_a_report(tmp_path: Path) -> None:
    """What is asked for them crashes."""
    report = tmp_path / "report"
    code = (
        "import ctypes; library = ctypes.CDLL(None);"
        "library.patalloc_python_lines(8, ctypes.c_void_p(8), 1, 0);"
        "library.malloc.restype = ctypes.c_void_p;"
        "ctypes.memset(library.malloc(200_000) + 200_000, 1, 1); print('fine')"
    )
    done = preloaded([sys.executable, "-c", code], f"report={report}:{OPTIONS}")
    assert (done.returncode, done.stdout) == (0, "fine\n"), done.stderr
    (event,) = read(report.read_text())
    assert (event.kind, event.python) == ("heap-buffer-overflow", "")


def test_signals_and_descriptors_are_the_programs(tmp_path: Path) -> None:
    code = """
import json, os, signal
low = [each for each in map(int, os.listdir("/proc/self/fd")) if each < 1000]
print(json.dumps([len(low), str(signal.getsignal(signal.SIGRTMAX)), os.environ.get("PYTHONPATH")]))
os.kill(os.getpid(), signal.SIGRTMAX)
"""
    done = preloaded([sys.executable, "-c", code], "report=yes:headlines=no", PYTHONPATH=str(SITE))
    bare = dict(os.environ) | {"PYTHONPATH": str(SITE)}
    alone = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=bare)
    assert json.loads(done.stdout) == json.loads(alone.stdout)
    assert done.returncode == alone.returncode < 0


def test_a_note_is_a_string() -> None:
    patalloc.note("nothing happens")
    patalloc.note(None)
    with pytest.raises(TypeError, match="this is int"):
        patalloc.note(1)  # type: ignore[arg-type]


POOLED = """
import ctypes

for name in ("PyMem_Malloc", "PyObject_Malloc"):
    function = getattr(ctypes.pythonapi, name)
    function.restype, function.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
    print(*(ctypes.string_at(function(size), size).strip(b"Z") for size in (1, 100, 512, 513)))
"""


@pytest.mark.parametrize("pool", ["", "malloc"])
def test_what_cpythons_pool_hands_out_holds_the_pattern(pool: str) -> None:
    variables = {"PYTHONPATH": str(SITE)} | ({"PYTHONMALLOC": pool} if pool else {})
    options = "report=yes:pattern=0x5a"  # Z
    done = preloaded([sys.executable, "-c", POOLED], options, **variables)
    assert done.stdout == "b'' b'' b'' b''\n" * 2, done.stderr
    left = preloaded([sys.executable, "-c", POOLED], f"{options}:small_fill=no", **variables)
    assert "b'' b'' b'' b''" not in left.stdout


SMALL = """
import ctypes
import numpy as np

array = np.zeros(24, dtype=np.uint8)
ctypes.memset(array.ctypes.data + 24, 7, 1)
del array
"""


def test_numpys_small_data_is_seen_without_pools(tmp_path: Path) -> None:
    """NumPy keeps such data at hand itself: writes past it show at the end of the process only."""
    script = tmp_path / "script.py"
    script.write_text(SMALL)
    command = [sys.executable, "-m", "patalloc", "run", "--slack-check", "all"]
    kept = subprocess.run([*command, "--", sys.executable, script], capture_output=True, text=True)
    assert "found by free" not in kept.stderr
    command += ["--without-pools", "--", sys.executable]
    seen = subprocess.run([*command, script], capture_output=True, text=True)
    assert "heap-buffer-overflow: found by free: write 1 byte past the end of a 24-byte" in (
        seen.stderr
    )
    assert f'  File "{script}", line 5 in <module>' in seen.stderr
    assert f'  File "{script}", line 7 in <module>' in seen.stderr
