"""`patalloc record`."""

import errno
import os
import resource
import subprocess
import sys
from pathlib import Path

import attrs
import click

from patalloc.cli.outcome import end_as
from patalloc.errors import PreloadError
from patalloc.heap import PRESETS, Config
from patalloc.preload import WITHOUT_POOLS, environment, signals_for, with_site
from patalloc.reach import obstacle
from patalloc.traces.recording import Recorded, Recorder, directory

_CHEAP = "small_fill=no:guard_small=0"  # small requests go on as they come
_NOT_FOUND, _NOT_STARTED = 127, 126  # as shells have it


def _size(context: click.Context, parameter: click.Parameter, text: str | None) -> int:
    if text is None:
        return 0
    units = {"K": 10, "M": 20, "G": 30, "T": 40}
    digits = text.rstrip("KMGT")
    if not digits.isdigit() or len(text) - len(digits) > 1 or not int(digits):
        message = f"{text}: a number of bytes is wanted, with K, M, G or T behind it or without"
        raise click.BadParameter(message, context, parameter)
    return int(digits) << units.get(text[len(digits) :], 0)


def _try_to_write(output: str) -> None:
    """Before the program has run in vain."""
    try:
        if "%p" not in output:
            with open(output, "ab"):
                pass
        elif not Path(output).absolute().parent.is_dir():
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
    except OSError as error:
        raise click.UsageError(f"--output {output}: {error.strerror}") from None


@attrs.define
class _Names:
    """Paths of traces: the program's is FILE, and those of other processes are named after it."""

    output: str
    pid: int = 0
    taken: set[Path] = attrs.field(factory=set)

    def __call__(self, pid: int) -> Path:
        name = self.output.replace("%p", str(pid))
        if pid == self.pid or "%p" in self.output:
            return self._free(Path(name), keep=True)
        path = Path(name)
        return self._free(path.with_name(f"{path.stem}.{pid}{path.suffix}"), keep=False)

    def _free(self, path: Path, *, keep: bool) -> Path:
        """The path; of a process that has become another program another one."""
        number, found = 2, path
        while found in self.taken or (not keep and found.exists()):
            found = path.with_name(f"{path.stem}-{number}{path.suffix}")
            number += 1
        self.taken.add(found)
        return found


def _tell(process: Recorded) -> None:
    size = process.path.stat().st_size if process.path.is_file() else 0
    each = f", {size / process.events:.2f} bytes each" if process.events else ""
    click.echo(
        f"patalloc: {process.path}: process {process.pid}: {process.events:,} events, "
        f"{size:,} bytes{each}",
        err=True,
    )
    for what in process.troubles:
        click.echo(f"patalloc: {process.path}: {what}", err=True)


@click.command(context_settings={"allow_interspersed_args": False})
@click.option(
    "-o",
    "--output",
    metavar="FILE",
    default="patalloc.trace",
    show_default=True,
    help="The trace; of other processes than the first in files named after it; %p is the number.",
)
@click.option(
    "--stacks",
    type=click.IntRange(0, 64),
    default=32,
    show_default=True,
    help="Frames of call stacks; 0 for none, which costs less.",
)
@click.option(
    "--python",
    is_flag=True,
    help="Have CPython, NumPy and others call malloc for each object, which costs more.",
)
@click.option("--max-size", callback=_size, metavar="SIZE", help="Of a file; then it ends.")
@click.option("--off", is_flag=True, help="Record when it is switched on: patalloc_recording(1).")
@click.argument("command", nargs=-1, required=True)
def record(
    output: str, stacks: int, python: bool, max_size: int, off: bool, command: tuple[str, ...]
) -> None:
    """Record all that a program asks of malloc, in a trace.

    Each request of each size, with its call stack and time, by which thread; and of blocks of 1 MiB
    and more which pages were written. Other processes that it starts have traces of their own.
    `patalloc report`, `replay` and `export` read them.
    """
    inherited = os.environ.get("PATALLOC_OPTIONS")
    given = [PRESETS["light"], _CHEAP, *([inherited] if inherited else [])]
    config = Config.parse(":".join(given))
    if config.trace or config.select:
        raise click.UsageError("PATALLOC_OPTIONS: trace and select are for hunts, and not recorded")
    if in_the_way := obstacle(command):
        raise PreloadError(f"{in_the_way}: it can't be recorded")
    _try_to_write(output)
    with directory(on=not off) as where:
        config = attrs.evolve(config, record=str(where), stacks=str(stacks), report="no")
        environ = environment(config)
        if python:
            environ = with_site({**WITHOUT_POOLS, **environ})
        names = _Names(output)
        recorder = Recorder(where, names, max_size)
        try:
            process = subprocess.Popen(command, env=environ)
        except OSError as error:
            click.echo(f"patalloc: {command[0]}: {error.strerror}", err=True)
            sys.exit(_NOT_FOUND if isinstance(error, FileNotFoundError) else _NOT_STARTED)
        recorder.pid = names.pid = process.pid
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # each thread's ring is a file
        with signals_for(process):
            try:
                while process.poll() is None:
                    recorder.look()
                    recorder.sleep()
                used = resource.getrusage(resource.RUSAGE_CHILDREN)
                recorder.end(process.returncode, used.ru_utime + used.ru_stime)
            except Exception:
                recorder.stop()
                process.wait()
                raise
    for each in recorder.ended:
        _tell(each)
    for trouble in recorder.troubles:
        click.echo(f"patalloc: {trouble}", err=True)
    if any(each.has_python for each in recorder.ended) and "PYTHONMALLOC" not in environ:
        click.echo(
            "patalloc: not seen: what CPython's own pool has, which is most objects; see --python",
            err=True,
        )
    if not recorder.ended:
        click.echo(f"patalloc: {command[0]}: nothing was recorded; it calls no malloc", err=True)
    end_as(process.returncode)
