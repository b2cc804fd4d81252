"""What processes die of: each program here does so of one thing, which must be told right."""

import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import FLAGS, Build, preloaded
from patalloc import events
from patalloc.watch.rendering import render
from patalloc.watch.symbols import locate

PROGRAMS = Path(__file__).parent
ALL = sorted(path.stem for path in PROGRAMS.glob("*.c"))
QUIET = ["alternate", "handled"]
DEATHS = [name for name in ALL if name not in QUIET]
GUARDED = {"freed_pointer"}  # else glibc's malloc has written to what was freed
CONFINED = {"refused_call"}  # no file may be opened, nor /proc asked
UNGUARDED = {"past_the_heap", "complaint"}


def meant(name: str) -> tuple[str, str]:
    """The kind, and a pattern for the sentence."""
    comment = (PROGRAMS / f"{name}.c").read_text().partition("*/")[0]
    first = re.sub(r"\s*\n \* ", " ", comment).strip("/* ")
    return first.partition(":")[0], first


@pytest.fixture(scope="session")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    directory = tmp_path_factory.mktemp("deaths")
    programs = {name: directory / name for name in ALL}
    for name, program in programs.items():
        source = PROGRAMS / f"{name}.c"
        subprocess.run(["cc", *FLAGS, source, "-o", program, "-lpthread"], check=True)
    return programs


def ways(name: str) -> list[str]:
    all_ways = ["stacks=8", "stacks=8:guard_small=all:slack_check=all"]
    return all_ways[name in GUARDED : 1 if name in UNGUARDED else 2]


def lines(event: events.Event, name: str) -> list[int | None]:
    found = []
    for address in event.stack:
        module = next((each for each in event.modules if each.start <= address < each.end), None)
        found += [
            each.line
            for each in locate(module, address)
            if each.file and Path(each.file).name == f"{name}.c"
        ]
    return found


@pytest.mark.parametrize("name", DEATHS)
def test_each_death_is_told(compiled: dict[str, Path], tmp_path: Path, name: str) -> None:
    source = (PROGRAMS / f"{name}.c").read_text().splitlines()
    here = {number for number, line in enumerate(source, 1) if "HERE" in line}
    kind, sentence = meant(name)
    bare = subprocess.run([compiled[name]], capture_output=True, text=True)
    for number, way in enumerate(ways(name)):
        report = tmp_path / f"report{number}"
        result = preloaded([compiled[name]], f"report={report}:{way}")
        if name in CONFINED:
            assert re.match(f"patalloc: {sentence}\n", result.stderr)
            continue
        (event,) = events.read(report.read_text())
        assert event.kind == kind
        assert result.returncode == (bare.returncode if bare.returncode < 0 else -signal.SIGSEGV)
        assert re.fullmatch(sentence, event.summary), event.summary
        assert here & {*lines(event, name)}
        told = [*bare.stderr.splitlines(), f"patalloc: {event.summary}"]
        assert sorted(result.stderr.splitlines()) == sorted(told)


def test_a_signal_that_is_sent_is_no_call_of_abort(tmp_path: Path) -> None:
    report = tmp_path / "report"
    preloaded(["sh", "-c", "kill -ABRT $$"], f"report={report}")
    (event,) = events.read(report.read_text())
    assert event.summary == "fatal-signal: SIGABRT, which the process sent itself"


@pytest.mark.parametrize("name", ALL)
def test_what_does_the_same_rightly_is_left_alone(compiled: dict[str, Path], name: str) -> None:
    for way in ways(name):
        result = preloaded([compiled[name], "rightly"], f"report=yes:{way}")
        assert (result.returncode, result.stdout.splitlines()[-1:], result.stderr) == (
            0,
            ["fine"],
            "",
        )


def functions(event: events.Event, stack: tuple[int, ...]) -> list[str | None]:
    named = []
    for address in stack:
        module = next((each for each in event.modules if each.start <= address < each.end), None)
        named += [each.function for each in locate(module, address)]
    return named


@pytest.mark.parametrize("name", ["stack_overflow", "stack_overflow_in_a_thread"])
def test_who_began_to_fill_the_stack_is_told(
    compiled: dict[str, Path], tmp_path: Path, name: str
) -> None:
    report = tmp_path / "report"
    preloaded([compiled[name]], f"report={report}")
    (event,) = events.read(report.read_text())
    assert event.left_out > 1000
    inner, outer = event.stack[: event.left_out_before], event.stack[event.left_out_before :]
    assert {*functions(event, inner)} == {"go_down"}
    assert {"go_down", "main" if name == "stack_overflow" else "run"} <= {*functions(event, outer)}
    text = preloaded([compiled[name]], "report=yes").stderr
    assert re.search(rf"    #{event.left_out_before - 1} .*\n    \.\.\. \d+ calls left out\n", text)
    lines = "\n".join(render(event))
    assert f"\n    ... {event.left_out:,} calls left out\n" in lines


def test_who_allocated_what_registers_point_into_is_told(
    compiled: dict[str, Path], tmp_path: Path
) -> None:
    options = "stacks=8:guard_small=all"
    report = tmp_path / "report"
    preloaded([compiled["uninitialised_pointer"]], f"report={report}:{options}")
    (event,) = events.read(report.read_text())
    moments = [each.block.allocated for each in event.registers]
    assert sum(each is not None for each in moments) == 1  # once for a block
    allocated = next(filter(None, moments))
    assert "act" in functions(event, allocated.stack)
    assert any("    allocated by thread " in line for line in render(event))
    text = preloaded([compiled["uninitialised_pointer"]], f"report=yes:{options}").stderr
    assert text.count("    allocated by thread ") == 1


def test_what_a_handler_sends_again_is_the_fault(tmp_path: Path) -> None:
    """Python's faulthandler ends with the same signal, sent to itself."""
    report = tmp_path / "report"
    code = "import ctypes; ctypes.string_at(8)"
    command = [sys.executable, "-X", "faulthandler", "-c", code]
    result = preloaded(command, f"report={report}:stacks=8")
    (event,) = events.read(report.read_text())
    assert event.summary == "null-pointer: SIGSEGV, read at 0x8, 8 bytes from a null pointer"
    assert "pthread_kill" not in str(functions(event, event.stack))
    assert "string_at" in str(functions(event, event.stack)) or event.left_out == 0
    assert result.returncode == -signal.SIGSEGV
    assert "Fatal Python error: Segmentation fault" in result.stderr
    sent = [*command[:-1], "import faulthandler, os; os.kill(os.getpid(), 11)"]
    preloaded(sent, f"report={tmp_path}/sent")
    (event,) = events.read((tmp_path / "sent").read_text())
    assert event.summary == "fatal-signal: SIGSEGV, which the process sent itself"


def test_a_stack_that_ends_within_malloc_is_told(build: Build) -> None:
    """Wherever in it that is."""
    for room in range(16, 16 * 60, 16):
        limited = f"ulimit -s 256; exec {build('deep')} {room}"
        result = preloaded(["sh", "-c", limited], "report=yes:stacks=8:guard_small=all")
        assert result.returncode == -signal.SIGSEGV
        assert result.stderr.startswith("patalloc: stack-overflow: SIGSEGV, "), result.stderr
