"""`patalloc compare`."""

import click

from patalloc.cli.experiment import Asked, measure, refusals, with_options
from patalloc.lab import Point


@click.command()
@with_options
@click.argument("baseline")
@click.argument("other")
@click.argument("command", nargs=-1, required=True)
def compare(asked: Asked, baseline: str, other: str, command: tuple[str, ...]) -> None:
    """Measure a program in two ways: BASELINE OTHER -- PROGRAM.

    Each is an allocator, patalloc:OPTIONS, or OPTIONS; see `patalloc sweep`.
    """
    with refusals():
        measure(command, [Point.parse(baseline), Point.parse(other)], asked)
