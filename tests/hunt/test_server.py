"""Runs that go on from where a process stands are as those that begin with its start."""

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Timer

import attrs
import pytest

from conftest import Build
from patalloc.hunt import Program, Runner
from patalloc.hunt.runs import Behaviour, TimeIsUp
from patalloc.hunt.selection import Fill, Part

FILL = Fill(1)


@pytest.fixture
def program(build: Build) -> str:
    return str(build("forked"))


@pytest.fixture
def runner(program: str, tmp_path: Path) -> Iterator[Runner]:
    directory = tmp_path / "runner"
    directory.mkdir()
    yield (made := Runner(Program(command=(program,)), directory))
    made.end_server()


def arguments(runner: Runner, *added: str) -> None:
    command = (*runner.program.command[:1], *added)
    runner.program = attrs.evolve(runner.program, command=command)


def block(baseline: Behaviour) -> list[Part]:
    """The one that the program itself allocates, with all that it holds."""
    (site,) = (each for each in baseline.traces[0].sites if each.largest == 100)
    return [Part(site.identity, fill=FILL)]


@pytest.mark.parametrize("what", ["", "joined", "buffered", "status", "signal"])
def test_served_runs_are_as_whole_ones(runner: Runner, what: str) -> None:
    arguments(runner, what)
    whole = runner.run()
    parts = block(whole)
    filled = runner.run(parts)
    assert filled != whole
    assert runner.serve(parts) == whole
    assert [runner.run(each) for each in (parts, (), parts)] == [filled, whole, filled]
    assert runner.run(parts, salt=1).residue is not None  # a whole one, and the end of that
    assert runner.run(parts) == filled


def test_files_are_read_on_in_each(runner: Runner, tmp_path: Path) -> None:
    (tmp_path / "lines").write_text("x" * 90 + "\n" + "y" * 90 + "\n")
    arguments(runner, "file", str(tmp_path / "lines"))
    whole = runner.run()
    assert b"y" in whole.outputs[0].content
    assert runner.serve(block(whole)) == whole
    assert [runner.run() for _ in range(3)] == [whole] * 3


@pytest.mark.parametrize(
    "what", ["thread", "socket", "pipe", "child", "written", "shared", "timer"]
)
def test_what_a_fork_would_share_is_not_served(runner: Runner, what: str, tmp_path: Path) -> None:
    arguments(runner, what, str(tmp_path / "new"))
    whole = runner.run()
    assert runner.serve(block(whole)) is None
    assert runner.run(block(whole)) == runner.run(block(whole))


def test_what_is_never_made_is_not_waited_for(runner: Runner) -> None:
    assert runner.serve([Part(12345)]) is None


def test_no_child_process_serves(runner: Runner) -> None:
    """Its parent would wait for it."""
    (own,) = runner.program.command
    parts = block(runner.run())
    runner.program = attrs.evolve(runner.program, command=("sh", "-c", f"{own}; echo done"))
    assert runner.serve(parts) is None


def test_a_served_run_takes_no_longer_than_it_may(runner: Runner) -> None:
    arguments(runner, "slow")
    runner.program = attrs.evolve(runner.program, timeout=2)
    whole = runner.run()
    parts = block(whole)
    assert runner.serve(parts) == whole
    assert runner.run(parts).status is None
    assert runner.run() == whole  # by the same server
    assert runner._server
    runner.deadline = time.monotonic() + 1
    with pytest.raises(TimeIsUp):
        runner.run(parts)


def runs(command: str) -> bool:
    listed = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True)
    return command in listed.stdout.splitlines()


def wait_for_end(command: str) -> None:
    until = time.monotonic() + 60
    while runs(command) and time.monotonic() < until:
        time.sleep(0.01)
    assert not runs(command)


def test_nothing_is_left_running(runner: Runner, program: str) -> None:
    arguments(runner, "leaves", "86413")
    parts = block(runner.run())
    assert runner.serve(parts) is not None
    runner.run(parts)
    wait_for_end("sleep 86413")
    assert runs(f"{program} leaves 86413")
    runner.end_server()
    wait_for_end(f"{program} leaves 86413")


def test_an_interrupt_ends_the_fork(runner: Runner, program: str) -> None:
    """It leads a session of its own."""
    arguments(runner, "slow", "58213")
    parts = block(runner.run())
    assert runner.serve(parts) is not None
    main = threading.get_ident()
    Timer(1, signal.pthread_kill, (main, signal.SIGINT)).start()
    with pytest.raises(KeyboardInterrupt):
        runner.run(parts)
    runner.end_server()
    wait_for_end(f"{program} slow 58213")


def test_an_end_from_another_thread_ends_all(runner: Runner, program: str) -> None:
    arguments(runner, "slow", "58214")
    parts = block(runner.run())
    assert runner.serve(parts) is not None
    Timer(1, runner.stop).start()
    with pytest.raises(TimeIsUp):
        runner.run(parts)
    wait_for_end(f"{program} slow 58214")


def test_what_is_removed_for_good_is_no_place_to_stand(runner: Runner, tmp_path: Path) -> None:
    code = f"""
import atexit, os, sys
sys.path.insert(0, {str(tmp_path)!r})
open({str(tmp_path / "own.py")!r}, "w").write("value = 1")
data = bytearray(b"x") * 300_000
import own
os.remove({str(tmp_path / "own.py")!r})
print(own.value)
"""
    command = (sys.executable, "-B", "-c", code)
    runner.program = attrs.evolve(runner.program, command=command)
    whole = runner.run()
    (site,) = (each for each in whole.traces[0].sites if each.largest in (300_000, 300_001))
    assert runner.serve([Part(site.identity)]) != whole
    runner.end_server()
    assert runner.run() == whole


KILLED = """
import os, signal, sys
from pathlib import Path
from patalloc.hunt import Program, Runner
from patalloc.hunt.selection import Part
runner = Runner(Program(command=(sys.argv[1], "", "36417")), Path(sys.argv[2]))
(site,) = (each for each in runner.run().traces[0].sites if each.largest == 100)
assert runner.serve([Part(site.identity)]) is not None
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_server_ends_with_the_hunt(program: str, tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", KILLED, program, tmp_path])
    assert done.returncode == -signal.SIGKILL
    wait_for_end(f"{program}  36417")


NUMPY = """
import numpy as np
a = np.ones((300, 300))
print((a @ a).sum())
print(np.empty(1000)[-1] if np.empty is not None else 0)
"""


def test_threads_that_a_library_ends_before_a_fork_are_no_obstacle(
    runner: Runner, tmp_path: Path
) -> None:
    """OpenBLAS starts as many as there are processors."""
    runner.program = attrs.evolve(runner.program, command=(sys.executable, "-c", NUMPY))
    whole = runner.run()
    site = max(whole.traces[0].sites, key=lambda site: (site.largest == 8000, site.identity))
    parts = [Part(site.identity, fill=FILL)]
    assert runner.serve(parts) == whole
    filled = runner.run(parts)
    runner.end_server()
    assert runner.run(parts) == filled
