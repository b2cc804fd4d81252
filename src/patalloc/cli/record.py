"""`patalloc record`."""

import errno
import os
from pathlib import Path

import click

from patalloc.cli.outcome import end_as, not_started
from patalloc.traces import running
from patalloc.traces.recording import Recorded


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
    _try_to_write(output)
    try:
        run = running.record(
            command, output, stacks=stacks, python=python, max_size=max_size, on=not off
        )
    except OSError as error:
        not_started(command, error)
    recorder = run.recorder
    for each in recorder.ended:
        _tell(each)
    for trouble in recorder.troubles:
        click.echo(f"patalloc: {trouble}", err=True)
    if run.has_pools and any(each.has_python for each in recorder.ended):
        click.echo(
            "patalloc: not seen: what CPython's own pool has, which is most objects; see --python",
            err=True,
        )
    if not recorder.ended:
        click.echo(f"patalloc: {command[0]}: nothing was recorded; it calls no malloc", err=True)
    end_as(run.status)
