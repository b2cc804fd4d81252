"""A session of pytest in processes of its own, under the library."""

import io
import os
import signal
import subprocess
import sys
import threading
from contextlib import ExitStack
from pathlib import Path
from typing import IO, TextIO

import attrs
import pytest

from patalloc.heap import Config
from patalloc.preload import WITHOUT_POOLS, environment, signals_for, with_site
from patalloc.pytest import failures
from patalloc.pytest.files import GOES_ON, Journal, Reports, left_over, report_option
from patalloc.pytest.renderer import answering

_DEATHS_MOST = 100
_DEADLY = {
    *(signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT, signal.SIGFPE, signal.SIGILL),
    *(signal.SIGTRAP, signal.SIGSYS),
}
# With the import path of this process, to which the program may have added.
_PROGRAM = "import sys; sys.path[:] = {path!r}; import pytest; sys.exit(pytest.main(sys.argv[1:]))"


def say(text: str) -> None:
    """A line to the user."""
    sys.stderr.write(f"patalloc: {text}\n")


@attrs.frozen(kw_only=True)
class Circumstances:
    """What a session has besides its configuration.

    Attributes:
        arguments: of pytest. variables: of the environment. wrapper: a command that runs it.
        output: a file for what it prints; None for where this process prints.
    """

    arguments: tuple[str, ...] = ()
    variables: dict[str, str] = attrs.field(factory=dict)
    wrapper: tuple[str, ...] = ()
    output: Path | None = None

    def output_text(self) -> str:
        """What it has printed there."""
        return self.output.read_text(errors="replace") if self.output else ""


def arguments_of(config: pytest.Config) -> list[str]:
    """Those that pytest was given."""
    return [os.fspath(each) for each in config.invocation_params.args]


def _command(config: pytest.Config) -> list[str]:
    """This program again, if it is pytest's own, with all that the interpreter was told."""
    arguments = arguments_of(config)
    program = Path(sys.argv[0])
    is_ours = program.name in ("pytest", "py.test") or program.parts[-2:] == (
        "pytest",
        "__main__.py",
    )
    if is_ours and arguments == sys.argv[1:]:
        return [sys.executable, *sys.orig_argv[1:]]
    return [sys.executable, "-c", _PROGRAM.format(path=sys.path), *arguments]


def _is_descriptor(stream: TextIO, number: int) -> bool:
    try:
        return stream.fileno() == number
    except (OSError, AttributeError):
        return False


class Session:
    """A session of pytest in processes of its own."""

    def __init__(
        self,
        config: pytest.Config,
        heap: Config,
        directory: Path,
        circumstances: Circumstances | None = None,
    ) -> None:
        """The session of this configuration, with a directory for its files."""
        self._config = config
        self._heap = heap
        self._directory = directory
        self._circumstances = circumstances or Circumstances()

    def run(self) -> int:
        """Run it to its end."""
        with answering(self._directory):
            return self._run()

    def _run(self) -> int:
        deaths = 0
        while deaths < _DEATHS_MOST:
            report = report_option(self._directory)
            status = self._run_process(report)
            if status == GOES_ON and Journal(self._directory).running is None:
                say("the process may soon make no more reports: another one goes on behind it")
                continue
            if -status not in _DEADLY:
                return self._told_rest(status)
            if not self._note_death(signal.Signals(-status), Reports(Path(report).parent)):
                break
            deaths += 1
        else:
            say(f"{_DEATHS_MOST} tests have ended the process: that was the last")
        return self._told_rest(int(pytest.ExitCode.TESTS_FAILED))

    def _environment(self, report: str) -> dict[str, str]:
        pools = {name: each for name, each in WITHOUT_POOLS.items() if name != "PYTHONMALLOC"}
        base = with_site(pools | dict(os.environ))
        heap = attrs.evolve(self._heap, report=report, headlines=False)
        found = environment(heap, base) | {"PATALLOC_PYTEST": str(self._directory)}
        if "PYTHONFAULTHANDLER" not in base:  # pytest has a plugin for it
            del found["PYTHONFAULTHANDLER"]
        return found

    def _run_process(self, report: str) -> int:
        """Its exit status, as Popen has it."""
        circumstances = self._circumstances
        copied: list[TextIO | None] = [None, None]
        with ExitStack() as stack:
            streams: tuple[int | IO[bytes] | None, ...] = (None, None)
            if circumstances.output:
                streams = (stack.enter_context(circumstances.output.open("ab")), subprocess.STDOUT)
            else:
                both = enumerate((sys.stdout, sys.stderr), 1)
                copied = [None if _is_descriptor(each, number) else each for number, each in both]
                streams = tuple(subprocess.PIPE if each else None for each in copied)
            process = subprocess.Popen(
                [*circumstances.wrapper, *_command(self._config), *circumstances.arguments],
                env=self._environment(report) | circumstances.variables,
                cwd=self._config.invocation_params.dir,
                stdout=streams[0],
                stderr=streams[1],
            )
            if threading.current_thread() is threading.main_thread():
                stack.enter_context(signals_for(process))
            for pipe, stream in zip((process.stdout, process.stderr), copied, strict=True):
                if pipe and stream:
                    thread = threading.Thread(target=_copy, args=(pipe, stream))
                    thread.start()
                    stack.callback(thread.join)
            return process.wait()

    def _note_death(self, number: signal.Signals, reports: Reports) -> bool:
        """Have the journal say how the test died that was running; False for none."""
        found = reports.take()
        section = failures.rendered(found, reports.directory) if found else ""
        journal = Journal(self._directory)
        if journal.running is None:
            say(f"the process died of {number.name} outside of tests\n{section}")
            return False
        name, phase = journal.running
        text = f"the process died of {number.name}"
        message = "\n".join(map(failures.headline, found)) or text
        shown = {"text": text, "message": message, "section": section}
        journal.write(name, died={"phase": phase, "events": len(found), **shown})
        say(f"the process died of {number.name} in {name}: another one goes on behind it")
        return True

    def _told_rest(self, status: int) -> int:
        """Tell what was found when the tests were over; the exit status, as shells have it."""
        if found := left_over(self._directory):
            say("found outside of tests, or at the end:")
            directory = Path(report_option(self._directory)).parent
            sys.stderr.write(failures.rendered(found, directory) + "\n")
        return (128 - status if status < 0 else status) or int(bool(found))


def _copy(pipe: IO[bytes], stream: TextIO) -> None:
    for line in io.TextIOWrapper(pipe, errors="replace"):
        stream.write(line)
