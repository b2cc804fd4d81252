"""Builds the programs of a suite, runs each under tools, and tells what goes wrong.

A suite is a list of programs; a tool is a name and an environment to run them in. A module of this
directory a suite says what its programs are, and nothing here knows one of them.
"""

import os
import re
import resource
import shlex
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

SHIMS = Path(__file__).parent / "shims"  # what stands in for what a suite's own build makes
SIZED = {"sized.so": SHIMS / "sized.c"}  # C23's free_sized, for modules
ON_PURPOSE = "an error on purpose, to be detected"
TRIES = 5  # some tests are races that are lost now and then
LIBRARIES = ("-pthread", "-ldl", "-lm")
CXX = {".cc", ".cpp"}


@dataclass(frozen=True)
class Program:
    """One program of a suite.

    Attributes:
        sources: what it is compiled from; flags come on top of the suite's.
        modules: shared libraries, by the path from the program's directory; it runs there.
        unsupported: the exit status by which it says that it has nothing to test here.
        checks: what names a failed check in its output, as a group; without it, or where nothing
            is named, the exit status alone tells.
        stack: the size in bytes of its stack; 0 for this process's.
        not_run: why it is listed, and not built.
    """

    name: str
    sources: Sequence[Path] = ()
    flags: Sequence[str] = ()
    modules: Mapping[str, Path] = field(default_factory=dict)
    arguments: Sequence[str] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    unsupported: int | None = None
    checks: str = ""
    stack: int = 0
    not_run: str = ""


@dataclass(frozen=True)
class Suite:
    """Programs, and the helpers that they share: those of `helpers` that compile are linked."""

    programs: Sequence[Program]
    flags: Sequence[str] = ()
    helpers: Sequence[Path] = ()


@dataclass(frozen=True)
class Tool:
    """A way to run a program: its name, and what it has in the environment."""

    name: str
    env: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Result:
    """What became of a run: nothing wrong where `problems` is empty."""

    problems: frozenset[str]
    output: str = ""

    def __str__(self) -> str:
        return ", ".join(sorted(self.problems)) or "passes"


UNSUPPORTED = frozenset({"unsupported"})


class Builder:
    """Compiles the programs of a suite in a directory, one each a directory of its own."""

    def __init__(self, suite: Suite, directory: Path) -> None:
        """Build the helpers."""
        self._suite = suite
        self._directory = directory
        self._helpers = self._archive()

    def build(self, program: Program) -> tuple[Path | None, str]:
        """The built program, or None and why it isn't."""
        if program.not_run:
            return None, program.not_run
        place = self._directory / program.name.replace("/", "+")
        place.mkdir()
        for name, source in program.modules.items():
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            if errors := self._compile(source, "-shared", "-fPIC", source, "-o", name, place=place):
                return None, f"{name}: {errors}"
        linked = [*program.flags, *map(str, self._helpers), *LIBRARIES, "-o", "program"]
        errors = self._compile(program.sources[0], *program.sources, *linked, place=place)
        return (None, errors) if errors else (place / "program", "")

    def _archive(self) -> list[Path]:
        objects = self._directory / "helpers"
        objects.mkdir()
        for source in self._suite.helpers:
            self._compile(source, "-c", source, "-o", f"{source.stem}.o", place=objects)
        made = sorted(objects.glob("*.o"))
        if not made:
            return []
        archive = objects / "helpers.a"
        subprocess.run(["ar", "rc", archive, *made], check=True)
        return [archive]

    def _compile(self, source: Path, *arguments: str | Path, place: Path) -> str:
        """Run the compiler in `place`; the first of its errors, if any."""
        compiler = os.environ.get("CXX", "c++") if source.suffix in CXX else ""
        compiler = compiler or os.environ.get("CC", "cc")
        command = [*shlex.split(compiler), *self._suite.flags, *arguments]
        done = subprocess.run(command, cwd=place, capture_output=True, text=True, errors="replace")
        if done.returncode == 0:
            return ""
        found = re.search(r"(?:error: |undefined reference to )(.*)", done.stderr)
        return found[0] if found else done.stderr.strip()


def run(program: Program, built: Path, tool: Tool, timeout: float) -> Result:
    """Run a built program once, and end whatever it leaves running."""
    env = {**os.environ, **program.env, **tool.env}
    log = built.parent / "output"

    def limit() -> None:
        if program.stack:
            hard = resource.getrlimit(resource.RLIMIT_STACK)[1]
            resource.setrlimit(resource.RLIMIT_STACK, (program.stack, hard))

    with log.open("wb") as output:
        process = subprocess.Popen(
            [built, *program.arguments],
            cwd=built.parent,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=limit,
        )
        status = None
        with suppress(subprocess.TimeoutExpired):
            status = process.wait(timeout)
        end_session(process.pid)
        process.wait()
    text = log.read_bytes().decode(errors="replace")
    return Result(problems(program, status, text, timeout), text)


def problems(program: Program, status: int | None, output: str, timeout: float) -> frozenset[str]:
    """What a run's end says; a status of None is one that had to be ended."""
    if status is None:
        return frozenset({f"longer than {timeout:g} s"})
    if status < 0:
        number = -status  # those from 35 on have no names
        known = number in signal.valid_signals() and number < signal.SIGRTMIN
        return frozenset({signal.Signals(number).name if known else f"signal {number}"})
    if status == 0:
        return frozenset()
    if status == program.unsupported:
        return UNSUPPORTED
    checks = re.findall(program.checks, output, re.MULTILINE) if program.checks else []
    return frozenset(checks or {f"exit {status}"})


def end_session(leader: int) -> None:
    """Kill every process of a session: programs put children into groups of their own."""
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            _, _, _, session = stat.read_text().rpartition(")")[2].split()[:4]
            if int(session) == leader:
                os.kill(int(stat.parent.name), signal.SIGKILL)


@dataclass(frozen=True)
class Row:
    """A program and its results, one a tool; none where it wasn't built, and `why`."""

    program: Program
    results: Sequence[Result] = ()
    why: str = ""

    def worse(self) -> list[int]:
        """Which of the tools have a problem that the first has not."""
        return [
            number
            for number, result in enumerate(self.results)
            if result.problems - self.results[0].problems - UNSUPPORTED
        ]


def run_suite(
    suite: Suite,
    tools: Sequence[Tool],
    directory: Path,
    timeout: float,
    tell: Callable[[str], object] = lambda text: None,
) -> list[Row]:
    """Build and run all programs of a suite, telling which is at it."""
    rows = []
    builder = Builder(suite, directory)
    for program in suite.programs:
        tell(program.name)
        built, why = builder.build(program)
        results = run_under_all(program, built, tools, timeout) if built else []
        rows.append(Row(program, results, why))
    return rows


def run_under_all(
    program: Program, built: Path, tools: Sequence[Tool], timeout: float
) -> list[Result]:
    """A result a tool; the first gets more tries to show a problem that only others showed."""
    results = [run(program, built, tool, timeout) for tool in tools]
    for _ in range(TRIES):
        if not Row(program, results).worse():
            break
        again = run(program, built, tools[0], timeout)
        results[0] = Result(results[0].problems | again.problems, again.output)
    return results
