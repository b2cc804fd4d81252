"""`patalloc machine`."""

import math
import sys

import click

from patalloc.cli.experiment import Asked, measure, refusals, with_options
from patalloc.lab import Interval, Point, Results

_PROGRAM = (sys.executable, "-c", "import json; print(len(json.dumps([{}] * 200_000)))")


def _told(results: Results, metric: str) -> str:
    ratios = [each for found in results.ratios(metric).values() for each in found]
    found = Interval.of(ratios or [1])
    if math.isinf(found.high):
        return f"{metric}: too few rounds to tell"
    smallest = 100 * max(found.high - 1, 1 - found.low)
    return f"{metric}: differences of {smallest:.1f} % and more, after {len(ratios)} rounds"


@click.command(context_settings={"allow_interspersed_args": False})
@with_options
@click.argument("command", nargs=-1)
def machine(asked: Asked, command: tuple[str, ...]) -> None:
    """Tell what differences this machine can show: one setting is measured as two.

    Of the program, or of a small one of our own.
    """
    with refusals():
        point = Point("glibc")
        results = measure(command or _PROGRAM, [point, point], asked)
        if not asked.as_json and not asked.as_csv:
            for metric in ("wall", "cpu", "peak_rss"):
                click.echo(_told(results, metric))
