"""Running a program again and again, each time with other bytes in its fresh memory."""

import hashlib
import math
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TypeVar

import attrs

from patalloc.heap import Config
from patalloc.hunt import coverage
from patalloc.hunt.coverage import Coverage
from patalloc.hunt.residue import Residue, merged
from patalloc.hunt.residue import read as read_residue
from patalloc.hunt.selection import Part, pack
from patalloc.hunt.server import Fifos, Server
from patalloc.hunt.trace import Trace
from patalloc.hunt.trace import read as read_trace
from patalloc.hunt.waiting import LOOK, wait
from patalloc.preload import WITHOUT_POOLS, environment, with_site
from patalloc.watch import Event
from patalloc.watch import read as read_events

_Read = TypeVar("_Read")
_BY_LINES = ("PYTHONUNBUFFERED=1", "stdbuf", "-oL")  # stdbuf(1), for what uses C's stdio
_FOLLOWED = 1 << 20  # bytes of an output up to which a run is ended at a line
_KEPT = 1 << 22  # bytes of an output that are kept, to be shown and compared by lines
_BLOCK = 1 << 20
_LOOKED_AT = 5000  # names in the working folder
_COARSE = 0.02  # seconds: the times of files are those of the kernel's ticks
# What else than memory makes runs differ: locale, time zone, hashing, arenas chosen by processor.
_FIXED = {"TZ": "UTC0", "LC_ALL": "C.UTF-8", "PYTHONHASHSEED": "0", "MALLOC_ARENA_MAX": "1"}
# Without core dumps; with a selection for this process alone, if there is to be one.
_WRAPPER = 'ulimit -c 0; [ -z "$1" ] || ln "$1" "$1.$$"; shift; exec "$@"'


class TimeIsUp(KeyboardInterrupt):
    """A hunt has taken as long as it may."""


def surroundings(*, pymalloc: bool) -> dict[str, str]:
    """The environment of each run: the user's own choice of pools counts.

    Args:
        pymalloc: whether CPython is left the pool that it has in front of malloc.
    """
    found = WITHOUT_POOLS | dict(os.environ) | _FIXED
    if pymalloc and "PYTHONMALLOC" not in os.environ:
        del found["PYTHONMALLOC"]
    return with_site(found | {"PYTHONFAULTHANDLER": "1"})


@cache
def can_fix_addresses() -> bool:
    """Whether programs can be run without address space randomisation (personality(2))."""
    setarch = shutil.which("setarch")
    return bool(setarch) and subprocess.run([str(setarch), "-R", "true"]).returncode == 0


@attrs.frozen(kw_only=True)
class Program:
    """A program, and what counts as its behaviour.

    Attributes:
        command: its name and arguments.
        stdin: the file that is its standard input; None for an empty one.
        outputs: files that it writes, and that are compared as well.
        check: a shell command whose exit status alone is compared instead, with STATUS, STDOUT and
            STDERR in its environment: the program's exit status, and files of what it wrote.
        filter: a shell command that outputs go through before they are compared.
        masks: what is taken out of each line of them before.
        timeout: seconds after which it is killed, which is a behaviour, too.
        randomised: whether to leave address space randomisation on.
        follow: "all" for its child processes as well, "parent" for itself only.
        ends_early: whether a run may be ended behind the line that is wanted of it: what the
            program does behind that is left undone. It writes by lines then.
    """

    command: tuple[str, ...]
    stdin: Path | None = None
    outputs: tuple[Path, ...] = ()
    check: str | None = None
    filter: str | None = None
    masks: tuple[re.Pattern[bytes], ...] = ()
    timeout: float = 600
    randomised: bool = False
    follow: str = "all"
    ends_early: bool = False


@attrs.frozen
class Output:
    """Something that a program wrote.

    Attributes:
        name: of the file; stdout or stderr.
        digest: of all of it.
        content: its beginning, which can be shown, and compared by lines.
        is_whole: whether that is all.
    """

    name: str
    digest: str
    content: bytes = attrs.field(eq=False, repr=False)
    is_whole: bool = attrs.field(eq=False, default=True)


@attrs.frozen
class Behaviour:
    """What a program did.

    Attributes:
        status: its exit status, or minus the number of the signal that killed it, or of `check`;
            None where it took too long.
        outputs: what it wrote.
        traces: its processes' allocations, its own first; not compared.
        events: what was reported of its heap, if that was asked for; not compared.
        residue: what it never wrote, if that was asked for; not compared.
        coverage: how much of its memory was seen, if that was asked for; not compared.
    """

    status: int | None
    outputs: tuple[Output, ...]
    traces: tuple[Trace, ...] = attrs.field(eq=False, repr=False)
    events: tuple[Event, ...] = attrs.field(eq=False, repr=False, default=())
    residue: Residue | None = attrs.field(eq=False, repr=False, default=None)
    coverage: Coverage | None = attrs.field(eq=False, repr=False, default=None)


def _filtered(program: Program, path: Path, directory: Path) -> Path:
    """The file after the masks and the filter, in that directory; itself where there are none."""
    if program.masks:
        masked = directory / "masked"
        with path.open("rb") as source, masked.open("wb") as target:
            for line in source:
                for mask in program.masks:
                    line = mask.sub(b"", line)
                target.write(line)
        path = masked
    if program.filter:
        filtered = directory / "filtered"
        with path.open("rb") as source, filtered.open("wb") as target:
            subprocess.run(program.filter, shell=True, stdin=source, stdout=target)  # noqa: S602
        path = filtered
    return path


def _begun(read: Callable[[Path], _Read], paths: Iterable[Path]) -> Iterator[_Read]:
    """What processes have left, but for those that were ended when they had hardly begun."""
    for path in paths:
        with suppress(ValueError):
            yield read(path)


def _stamp(path: Path) -> tuple[int, ...] | None:
    """By which it is known whether a file was written; None for no file."""
    with suppress(OSError):
        found = path.stat()
        return found.st_ino, found.st_size, found.st_mtime_ns
    return None


def _output(program: Program, name: str, path: Path, directory: Path) -> Output:
    if not path.is_file():
        return Output(name, "absent", b"")
    digest = hashlib.sha256()
    with _filtered(program, path, directory).open("rb") as file:
        content = file.read(_KEPT)
        digest.update(content)
        while block := file.read(_BLOCK):
            digest.update(block)
        return Output(name, digest.hexdigest(), content, file.tell() == len(content))


def written_since(moment: float, known: Iterable[Path]) -> tuple[Path, ...]:
    """Files in the working folder that were written since, but for those, or in those folders.

    Not below hidden folders, nor far down: a few thousand names are looked at.
    """
    folders, left, found = [Path()], _LOOKED_AT, []
    left_out = {path.absolute() for path in known}
    while folders and left > 0:
        with suppress(OSError), os.scandir(folders.pop(0)) as entries:
            for entry in entries:
                left -= 1
                with suppress(OSError):
                    path = Path(entry.path)
                    if path.absolute() in left_out:
                        continue
                    if entry.is_dir(follow_symlinks=False) and not entry.name.startswith("."):
                        folders.append(path)
                    elif entry.is_file(follow_symlinks=False):
                        new = entry.stat(follow_symlinks=False).st_mtime >= moment - _COARSE
                        found += [path] if new else []
    return tuple(sorted(found))


@attrs.define
class _Line:
    """Whether an output has come so far that it has this line, whole."""

    path: Path
    number: int
    _size: int = 0

    def is_there(self) -> bool:
        size = self.path.stat().st_size
        if size in (self._size, 0) or size > _FOLLOWED:
            return False
        self._size = size
        lines = self.path.read_bytes().splitlines(keepends=True)[self.number :]
        return len(lines) > 1 or any(line.endswith(b"\n") for line in lines)


def _wait(process: "subprocess.Popen[bytes]", timeout: float, line: _Line | None) -> int | None:
    """As its wait(timeout), which sleeps up to 50 ms too long: most programs take less than that.

    None where it goes on behind that line.

    Raises:
        subprocess.TimeoutExpired: it goes on.
    """
    until = time.monotonic() + timeout
    with suppress(OSError, AttributeError):  # before Linux 5.3, or built with older headers
        while (left := until - time.monotonic()) > 0:
            if wait(process.pid, [], min(left, LOOK) if line else left) is not None:
                return process.wait()
            if line and line.is_there():
                return None
        timeout = 0
    return process.wait(timeout)


@attrs.define
class Runner:
    """Runs a program under the heap, each time in the same circumstances.

    Attributes:
        program: the program.
        directory: an empty one for what a run leaves; not shared with another runner.
        base: the pattern that memory holds which is not selected.
        frames: of a call stack that allocations are told apart by.
        runs: how many there were.
        pymalloc: whether CPython is left the pool that it has in front of malloc.
        deadline: when a run is to be ended, by time.monotonic, with TimeIsUp.
        leaves_freed: whether freed blocks keep what they hold.
        seconds: how long the last run took.
        is_stopped: whether another thread has ended all.
    """

    program: Program
    directory: Path
    base: str = "0x00"
    frames: int = 16
    runs: int = 0
    pymalloc: bool = True
    deadline: float = math.inf
    leaves_freed: bool = False
    seconds: float = 0
    is_stopped: bool = False
    _process: "subprocess.Popen[bytes] | None" = None
    _server: Server | None = None

    def options(self, selection: Path, *, report: bool = False) -> Config:
        """The heap's options for a run."""
        one = self.program.follow == "parent"
        return Config(
            pattern=self.base,
            fill="refpage",
            stacks=str(self.frames),
            slack_check="all",  # so that realloc knows how much is the program's
            on_error="continue",
            report=str(self.directory / "report") if report else "no",
            trace=str(self.directory / "trace.%p"),
            select=f"{selection}.%p" if one else str(selection),
        )

    def _command(self, selection: Path, *, report: bool) -> list[str]:
        one = self.program.follow == "parent"
        environ = surroundings(pymalloc=self.pymalloc)
        heap = environment(self.options(selection, report=report), environ)
        names = ("LD_PRELOAD", "PATALLOC_OPTIONS")
        fixed = [] if self.program.randomised or not can_fix_addresses() else ["setarch", "-R"]
        return [
            *("sh", "-c", _WRAPPER, "sh", str(selection) if one else "", *fixed),
            *("env", *(f"{name}={heap[name]}" for name in names)),
            *(_BY_LINES if self.program.ends_early else ()),
            *self.program.command,
        ]

    def run(
        self,
        parts: Iterable[Part] = (),
        *,
        stop: tuple[int, int] = (0, 0),
        report: bool = False,
        salt: int = 0,
        mappings: bool = False,
        until: tuple[str, int] | None = None,
    ) -> Behaviour:
        """Run it once, with other bytes in these parts of its memory.

        Args:
            parts: what is to hold something else than the base.
            stop: an allocation at which it is to abort, by site and number.
            report: whether to gather what is reported of its heap.
            salt: of the code of which the residue is wanted; 0 for none.
            mappings: whether those of its processes are wanted.
            until: a line of an output, behind which the run may be ended: by name and number.

        Raises:
            OSError: the program or a file can't be opened.
        """
        packed = pack(
            parts, stop=stop, salt=salt, mappings=mappings, leaves_freed=self.leaves_freed
        )
        begun = time.monotonic()
        if self._server and not (report or salt or mappings):
            with suppress(EOFError):
                return self._run_served(self._server, packed, self._line(until))
            if self.is_stopped:
                raise TimeIsUp  # by another thread
        self.end_server()
        selection = self._clear(packed)
        before = {str(path): _stamp(path) for path in self.program.outputs}
        status, pid = self._wait_for(self._command(selection, report=report), self._line(until))
        if until is None:
            self.seconds = time.monotonic() - begun
        self.runs += 1
        behaviour = self._behaviour(status, pid, before)
        if salt:
            behaviour = attrs.evolve(behaviour, residue=self._residue(pid))
        if mappings:
            found = sorted(self.directory.glob("trace.*.mappings"))
            behaviour = attrs.evolve(behaviour, coverage=coverage.read(found))
        return behaviour

    def _line(self, until: tuple[str, int] | None) -> _Line | None:
        """None where the outputs are not compared as they are."""
        program = self.program
        if until is None or not program.ends_early or program.filter or program.check:
            return None
        name, number = until
        return _Line(self.directory / name, number) if name in ("stdout", "stderr") else None

    def _clear(self, packed: bytes) -> Path:
        """The selection's file in a directory that has nothing else."""
        for left in self.directory.iterdir():
            left.unlink()
        selection = self.directory / "select"
        selection.write_bytes(packed)
        return selection

    # From where they begin to differ

    def serve(self, parts: Iterable[Part]) -> Behaviour | None:
        """Have the runs from here on begin where the first of these parts would matter.

        For runs with no others; those of which more is wanted than what the program does are whole,
        and end it. None where the program can't be forked there, else what it does without them:
        in the second such run, as what the first one has done for good (a file that it has removed)
        shows then.
        """
        self.end_server()
        one = self.program.follow == "parent"
        if one or self.program.outputs:
            return None
        packed = pack(parts, serves=True, leaves_freed=self.leaves_freed)
        selection = self._clear(packed)
        try:
            fifos = Fifos.beside(selection)
        except OSError:  # as on a file system that has none
            return None
        self._server = server = Server(self._start(self._command(selection, report=False)), fifos)
        if server.is_ready(self._time_left()):
            quiet = pack((), leaves_freed=self.leaves_freed)
            with suppress(EOFError):
                self._run_served(server, quiet)
                return self._run_served(server, quiet)
        self.end_server()
        return None

    def end_server(self) -> None:
        """Have runs begin with the program's start again."""
        if self._server:
            self._server.close()
            self._server = None

    def _run_served(self, server: Server, packed: bytes, line: _Line | None = None) -> Behaviour:
        """The server has emptied what it writes to."""
        for left in self.directory.glob("trace.*"):
            left.unlink()
        (self.directory / "select").write_bytes(packed)
        limit = self._time_left()
        begun = time.monotonic()
        status, pid = server.fork(limit, line.is_there if line else None)
        is_late = status is None and time.monotonic() - begun >= limit < self.program.timeout
        if is_late or self.is_stopped:  # by another thread, whose kill the server may tell of
            raise TimeIsUp
        self.runs += 1
        return self._behaviour(status, pid, {})

    def _residue(self, pid: int) -> Residue:
        one = self.program.follow == "parent"
        files = self.directory.glob(f"trace.{pid}.residue" if one else "trace.*.residue")
        return merged(_begun(read_residue, sorted(files)))

    def stop(self) -> None:
        """End the run that another thread is waiting for, if there is one, and its children."""
        self.is_stopped = True
        self._end()

    def _end(self) -> None:
        server, process = self._server, self._process
        if server:
            server.stop()
        if process:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)

    def _time_left(self) -> float:
        """Seconds, for a run."""
        return max(min(self.program.timeout, self.deadline - time.monotonic()), 0)

    def _start(self, command: list[str]) -> "subprocess.Popen[bytes]":
        with (
            open(self.program.stdin or os.devnull, "rb") as stdin,
            open(self.directory / "stdout", "wb") as out,
            open(self.directory / "stderr", "wb") as error,
        ):
            return subprocess.Popen(
                command,
                stdin=stdin,
                stdout=out,
                stderr=error,
                env=surroundings(pymalloc=self.pymalloc),
                start_new_session=True,
            )

    def _wait_for(self, command: list[str], line: _Line | None) -> tuple[int | None, int]:
        self._process = process = self._start(command)
        limit = self._time_left()
        try:
            return _wait(process, limit, line), process.pid
        except subprocess.TimeoutExpired:
            if limit < self.program.timeout:
                raise TimeIsUp from None
            return None, process.pid
        finally:
            self._end()
            process.wait()
            self._process = None

    def _behaviour(
        self, status: int | None, pid: int, before: Mapping[str, tuple[int, ...] | None]
    ) -> Behaviour:
        paths = {name: self.directory / name for name in ("stdout", "stderr")}
        own = self.directory / f"trace.{pid}"
        found = sorted(self.directory.glob("trace.*[0-9]"), key=lambda path: (path != own, path))
        if self.program.follow == "parent":
            found = [path for path in found if path == own]
        traces = tuple(_begun(read_trace, found))
        report = self.directory / "report"
        written = report.read_text(errors="surrogateescape") if report.exists() else ""
        events = tuple(read_events(written))
        if self.program.check is not None:
            env = dict(os.environ) | {name.upper(): str(path) for name, path in paths.items()}
            env["STATUS"] = "timeout" if status is None else str(status)
            done = subprocess.run(self.program.check, shell=True, env=env)  # noqa: S602
            shown = tuple(
                attrs.evolve(_output(self.program, name, path, self.directory), digest="")
                for name, path in paths.items()
            )
            return Behaviour(done.returncode, shown, traces, events)
        paths |= {str(path): path for path in self.program.outputs}
        outputs = tuple(
            Output(name, "not written", b"")
            if before.get(name) and before[name] == _stamp(path)
            else _output(self.program, name, path, self.directory)
            for name, path in paths.items()
        )
        return Behaviour(status, outputs, traces, events)
