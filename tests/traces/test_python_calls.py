"""Python's calls in the call stacks of traces."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from patalloc.traces import Kind, Trace
from patalloc.traces.frames import Frames

HERE = Path(__file__).parent
PATALLOC = (sys.executable, "-m", "patalloc")
FRAMES = 32


def pythons() -> list[str]:
    """One of each version that can be had here, from 3.11 on: this one, Debian's, pyenv's."""
    of_pyenv = Path.home().glob(".pyenv/versions/*/bin/python3")
    names = [sys.executable, "/usr/bin/python3", *map(str, of_pyenv)]
    found = {}
    for name in filter(shutil.which, names):
        asked = subprocess.run([name, "-c", "import sys; print(sys.version)"], capture_output=True)
        version = asked.stdout.decode()
        if re.match(r"3\.1[1-9]", version):
            found.setdefault(version, name)
    return [*found.values()]


def record(cwd: Path, *arguments: str | Path) -> str:
    command = [*PATALLOC, "record", "-o", "t.trace", *map(str, arguments)]
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=200)
    assert not done.returncode, done.stderr
    return done.stderr


def calls_by_size(path: Path) -> dict[int, tuple[list[list[object]], list[str | None]]]:
    """Of the blocks of about a million bytes what they have of Python, and what of C."""
    found = {}
    with Trace(path) as trace:
        frames = Frames(trace)
        for event in trace.events():
            if event.kind == Kind.MALLOC and 1_000_000 < event.size < 1_001_000:
                places = [*frames.of(event.stack)]
                assert len(trace.stacks[event.stack]) <= FRAMES
                of_python = [each for each in places if each.module is None]
                of_c = [each.function for each in places[: -len(of_python)]]
                found[event.size] = [[x.file, x.function, x.line] for x in of_python], of_c
    return found


@pytest.mark.parametrize("python", pythons())
def test_they_are_what_python_says(python: str, tmp_path: Path) -> None:
    record(tmp_path, "--", python, HERE / "python_calls.py")
    for told, trace in (("told", "t.trace"), ("child", None)):
        expected = json.loads((tmp_path / told).read_text())
        path = tmp_path / trace if trace else next(tmp_path.glob("t.*.trace"))
        found = calls_by_size(path)
        assert found
        if trace:
            assert len(found) == len(expected) > 100
        for size, (calls, of_c) in found.items():
            truth = expected[str(size)]
            assert calls == truth[: len(calls)], size
            room = FRAMES - FRAMES // 2  # what calls of C's leave at least
            assert len(calls) >= min(len(truth), room // 2), (size, len(calls), len(truth))
            assert "_PyEval_EvalFrameDefault" not in of_c


def test_other_programs_have_none(tmp_path: Path) -> None:
    record(tmp_path, "--", "/bin/ls")
    with Trace(tmp_path / "t.trace") as trace:
        assert not trace.names
    record(tmp_path, "--stacks", "0", "--", sys.executable, "-c", "pass")
    with Trace(tmp_path / "t.trace") as trace:
        assert not trace.names
        assert len(trace.stacks) == 1


def test_numpy_is_between(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(
        "import numpy\ndef make():\n    return numpy.empty(125_001)\nkept = make()\n"
    )
    record(tmp_path, "--", sys.executable, "program.py")
    calls, of_c = calls_by_size(tmp_path / "t.trace")[1_000_008]
    path = str(tmp_path / "program.py")
    assert [call[1:] for call in calls] == [["make", 3], ["<module>", 4]], path
    assert "array_empty" in of_c or "PyDataMem_UserNEW" in of_c


def test_pythons_errors_and_finalizers_are_its_own(tmp_path: Path) -> None:
    """What reads its frames meanwhile changes nothing, with all of its objects from malloc."""
    text = (
        "import gc, sys, weakref\n"
        "class A:\n    def __del__(self): bytearray(100000)\n"
        "def f(n):\n    a = A(); a.self = a\n    try: f(n - 1) if n else [][1]\n"
        "    finally: gc.collect() if not n else None\n"
        "for i in range(30):\n"
        "    try: f(i)\n    except IndexError as e: print(len(str(e.__traceback__.tb_lineno)))\n"
        "try: (lambda f: f(f))(lambda f: f(f))\nexcept RecursionError: print('deep')\n"
    )
    (tmp_path / "program.py").write_text(text)
    bare = subprocess.run([sys.executable, "program.py"], cwd=tmp_path, capture_output=True)
    command = [*PATALLOC, "record", "--python", "-o", "t.trace", "--", sys.executable, "program.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True)
    assert (done.returncode, done.stdout) == (0, bare.stdout)


def test_reports_and_exports_have_them(tmp_path: Path) -> None:
    record(tmp_path, "--", sys.executable, HERE / "python_calls.py")
    report = subprocess.run(
        [*PATALLOC, "report", "t.trace", "--json"], cwd=tmp_path, capture_output=True, text=True
    )
    assert "Thing.method" in report.stdout
    export = [*PATALLOC, "export", "t.trace", "--as", "folded", "-o", "t.folded"]
    subprocess.run(export, cwd=tmp_path, check=True)
    folded = (tmp_path / "t.folded").read_text()
    assert re.search(r"^<module>;main;Thing\.method;.*größe_人;.* \d+$", folded, re.M)


def test_they_are_known_as_soon_as_recording_is_on(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(
        "import patalloc\ndef make():\n    return bytearray(1_000_100)\n"
        "patalloc.recording(on=True)\nkept = make()\n"
    )
    record(tmp_path, "--off", "--", sys.executable, "program.py")
    calls, _ = calls_by_size(tmp_path / "t.trace")[1_000_101]
    assert [call[1:] for call in calls] == [["make", 3], ["<module>", 5]]


def test_a_report_shows_them_behind_some_of_c(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(
        "import numpy\ndef make():\n    return numpy.empty(1_000_000)\nkept = make()\n"
    )
    record(tmp_path, "--", sys.executable, "program.py")
    command = [*PATALLOC, "report", "t.trace", "--by", "unwritten"]
    shown = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    (_, first, *_) = shown.stdout.split("\n\n")
    lines = first.splitlines()
    assert re.match(
        r"8,[\d,]+ bytes requested but never written.*: 8,000,000 bytes in 1 r", lines[0]
    )
    assert lines[1].startswith("    #0 ")
    assert any("make at " in line for line in lines)
    assert "<module> at " in lines[-1]
