"""Running other programs under libpatalloc.so."""

import os
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from importlib.resources import as_file, files
from pathlib import Path
from types import FrameType

import attrs

from patalloc.errors import PreloadError
from patalloc.heap import Config, Stats
from patalloc.watch import Event
from patalloc.watch import read as read_events


def library() -> Path:
    """The path of libpatalloc.so, for LD_PRELOAD.

    Raises:
        PreloadError: the package was installed without it.
    """
    with as_file(files("patalloc") / "libpatalloc.so") as path:
        if not path.is_file():
            raise PreloadError(f"{path}: not there; install patalloc again")
        return path


def operators() -> Path:
    """The path of libpatalloc_operators.so, to be preloaded behind `library`: C++'s operators.

    With it, and the option guard_small=all or slack_check=all, blocks are looked at that are given
    back by other functions than they were requested from.
    """
    return library().with_name("libpatalloc_operators.so")


def calls() -> Path:
    """The path of libpatalloc_calls.so, to be preloaded behind `library`: read, write and so on.

    With it, and the option report, calls are told of that fail with EFAULT as their buffer reaches
    a guard.
    """
    return library().with_name("libpatalloc_calls.so")


# What has programs' own pools call malloc for each block: CPython's, PHP's, GLib's (before 2.76),
# those of C++'s runtime (before GCC 4), Arrow's.
WITHOUT_POOLS = {
    "PYTHONMALLOC": "malloc",
    "USE_ZEND_ALLOC": "0",
    "G_SLICE": "always-malloc",
    "GLIBCXX_FORCE_NEW": "1",
    "ARROW_DEFAULT_MEMORY_POOL": "system",
}


def with_site(environ: Mapping[str, str]) -> dict[str, str]:
    """With what Python programs import first: NumPy has no pool there, and reports have lines."""
    with as_file(files("patalloc") / "site") as site:
        paths = [str(site), *filter(None, [environ.get("PYTHONPATH")])]
    return {**environ, "PYTHONPATH": os.pathsep.join(paths)}


def _libraries(config: Config) -> list[str]:
    """Those to preload: that of C++'s operators where blocks are looked at for whose they are."""
    found = [library()]
    hunts = config.trace or config.select
    if (config.guard_small == "all" or config.slack_check == "all") and not hunts:
        found.append(operators())
    if config.report != "no" and not hunts:
        found.append(calls())
    return [*map(str, found)]


def environment(config: Config, base: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment under which a program's malloc is patalloc's.

    Where errors are reported, Python programs are to print their own call stack, too, when they die
    of a signal (faulthandler).

    Args:
        config: the heap's options.
        base: the environment to start from; None for this process's. Libraries that it preloads
            are kept, behind ours: their malloc serves the small requests.
    """
    result = dict(os.environ if base is None else base)
    ours = _libraries(config)
    known = {str(library()), str(operators()), str(calls())}
    preloaded = result.get("LD_PRELOAD", "").replace(":", " ").split()
    others = [name for name in preloaded if name not in known]
    result["LD_PRELOAD"] = " ".join([*ours, *others])
    result["PATALLOC_OPTIONS"] = str(config)
    if config.report != "no":
        result.setdefault("PYTHONFAULTHANDLER", "1")
    return result


@attrs.frozen
class Outcome:
    """How a program ended that ran under the heap.

    Attributes:
        status: its exit status, or minus the number of the signal that killed it.
        pid: its process's number.
        processes: the stats of each process that it consisted of, itself first, where they ended by
            exit(3); one that was killed, or called _exit(2), leaves none.
        events: the errors found in their heaps, in the order in which they were.
    """

    status: int
    pid: int
    processes: tuple[Stats, ...]
    events: tuple[Event, ...]


_FORWARDED = (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
_FROM_TERMINAL = (signal.SIGINT, signal.SIGQUIT)


def _is_in_foreground() -> bool:
    """Whether a terminal sends its signals to this process, and so to the program as well."""
    with suppress(OSError), open("/dev/tty", "rb") as terminal:
        return os.tcgetpgrp(terminal.fileno()) == os.getpgrp()
    return False


@contextmanager
def signals_for(process: "subprocess.Popen[bytes]") -> Iterator[None]:
    """Meanwhile signals to this process go to that one, unless a terminal sends them both."""

    def forward(number: int, frame: FrameType | None) -> None:
        if number in _FROM_TERMINAL and _is_in_foreground():
            return
        with suppress(ProcessLookupError):
            process.send_signal(number)

    before = {number: signal.signal(number, forward) for number in _FORWARDED + _FROM_TERMINAL}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _run(command: Sequence[str], config: Config) -> tuple[int, int]:
    """Its exit status, as Popen has it, and its number."""
    process = subprocess.Popen(command, env=environment(config))
    with signals_for(process):
        return process.wait(), process.pid


def run(command: Sequence[str], config: Config, *, counting: bool = True) -> Outcome:
    """Run a program under the heap, wait for it, and gather stats and events of all its processes.

    Signals that ask this process to end or that it gets as SIGUSR1 or SIGUSR2 go to the program.
    To be called from the main thread.

    Args:
        command: the program and its arguments.
        config: the heap's options. With report="yes" the events are gathered, and nothing is said
            of them; with a path or descriptor they go there.
        counting: whether to gather stats, and to count what costs a little (option `count`).

    Raises:
        OSError: the program can't be started.
        PreloadError: libpatalloc.so is missing.
    """
    with ExitStack() as stack:
        try:
            made = tempfile.TemporaryDirectory(prefix="patalloc-")
            directory = stack.enter_context(made)
        except FileNotFoundError:  # no place for files, or none may be written: nothing is gathered
            return Outcome(*_run(command, config), (), ())
        report = Path(directory) / "report"
        if config.report == "yes":
            config = attrs.evolve(config, report=str(report), headlines=False)
        if counting:
            config = attrs.evolve(config, count=True, stats=f"{directory}/stats.%p")
        status, pid = _run(command, config)
        found = []
        for path in Path(directory).glob("stats.*"):
            with suppress(ValueError):  # cut short by a full disk, or a limit
                found.append(Stats.from_json(path.read_bytes()))
        found.sort(key=lambda stats: (stats.pid != pid, stats.pid))
        written = report.read_text(errors="surrogateescape") if report.exists() else ""
        return Outcome(status, pid, tuple(found), tuple(read_events(written)))
