"""`patalloc top`."""

import json
import os
import select
import time
from collections.abc import Callable
from contextlib import closing, suppress

import click
from rich.console import Console, Group
from rich.live import Live

from patalloc.cli.processes import is_there, refusal
from patalloc.watch.heapmap import Attached
from patalloc.watch.top import KEYS, Look, Top
from patalloc.watch.topshown import data, lines

_PARTS = 100  # of the time one may be spent looking
_MISSED = 5  # looks in a row that failed: there is nothing to see any more


def _wait(pid: int, seconds: float) -> None:
    """So long, or until the process has ended."""
    try:
        ended = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    except OSError:  # Linux before 5.3
        time.sleep(seconds)
        return
    try:
        select.select([ended], [], [], seconds)
    finally:
        os.close(ended)


def _watch(pid: int, top: Top, interval: float, show: Callable[[Look, float], None]) -> None:
    """Until it ends. What changes while it is read may be torn, and is read again.

    What the first look takes does not count, as it loads what others find, nor do names.
    """
    every, missed, is_first = interval, 0, True
    while True:
        began = time.process_time() - top.naming
        try:
            look = top.look()
        except (OSError, ValueError) as error:
            missed += 1
            if not is_there(pid):
                return
            if is_first:
                raise
            if missed == _MISSED:  # it may have become another program (execve(2))
                raise ValueError(f"process {pid} can't be read any more: {error}") from None
        else:
            show(look, every)
            if not is_first:
                every = max(interval, (time.process_time() - top.naming - began) * _PARTS)
            missed, is_first = 0, False
        _wait(pid, every)


def _print(console: Console, look: Look, sort: str, rows: int, every: float) -> None:
    shown = lines(look, sort, rows, every)
    if console.is_terminal:
        console.print(Group(*shown))
    else:
        for line in shown:
            click.echo(line.plain)


@click.command()
@click.argument("pid", type=click.IntRange(1))
@click.option("--sort", type=click.Choice(KEYS), default=KEYS[0], show_default=True)
@click.option("--rows", type=click.IntRange(1), default=20, show_default=True, help="At most.")
@click.option(
    "--interval",
    type=click.FloatRange(0.1, 86400),
    default=1.0,
    show_default=True,
    help="Seconds between looks; more where these take more than a hundredth of them.",
)
@click.option("--once", is_flag=True, help="One look, and end.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, a line a look.")
def top(pid: int, sort: str, rows: int, interval: float, once: bool, as_json: bool) -> None:
    """Show a running process's heap by who allocated it, and go on until the process ends.

    The process goes on meanwhile, and nothing of it changes. It must run under this patalloc, and
    be one that this user may trace (ptrace(2)). Blocks are those of the pattern heap: large ones.
    Who allocated them is known with the options report=yes:stacks=16; else they are shown by size.
    Ctrl-C ends this.
    """
    console = Console(highlight=False)

    def show(look: Look, every: float) -> None:
        if as_json:
            click.echo(json.dumps(data(look, sort, rows, every)))
        else:
            _print(console, look, sort, rows, every)

    try:
        with suppress(KeyboardInterrupt), closing(Attached(pid)) as process:
            looks = Top(process)
            if once:
                show(looks.look(), interval)
            elif as_json or not console.is_terminal:
                _watch(pid, looks, interval, show)
            else:
                with Live(console=console, auto_refresh=False, screen=True) as live:
                    _watch(
                        pid,
                        looks,
                        interval,
                        lambda look, every: live.update(
                            Group(*lines(look, sort, rows, every)), refresh=True
                        ),
                    )
    except BrokenPipeError:  # of what is printed
        raise
    except (OSError, ValueError) as error:
        raise refusal(pid, error) from None
