"""`patalloc compare`."""

import click

from patalloc.cli.experiment import Asked, measure, refusals, with_options
from patalloc.lab import Point


class _Divided(click.Command):
    """With -- in front of the program, as its options would be taken for ours."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Raises UsageError where it is not there."""
        if "--" not in args and not {"-h", "--help"} & {*args}:
            raise click.UsageError("-- must be in front of the program", ctx)
        return super().parse_args(ctx, args)


@click.command(cls=_Divided)
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
