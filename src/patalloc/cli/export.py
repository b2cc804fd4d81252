"""`patalloc export`."""

import sys
from contextlib import ExitStack
from typing import IO, cast

import click

from patalloc.cli.measures import with_measure
from patalloc.cli.outputs import writing

_FORMS = ("folded", "speedscope", "heaptrack", "csv", "arrow")


@click.command()
@click.argument("trace", type=click.Path(exists=True, dir_okay=False))
@click.option(
    "--as",
    "form",
    type=click.Choice(_FORMS),
    required=True,
    help="folded, for flamegraph.pl; speedscope; heaptrack, for its own; csv or arrow: events.",
)
@with_measure("What folded and speedscope have of each call stack.")
@click.option("-o", "--output", type=click.Path(), default="-", metavar="FILE", help="Else stdout.")
def export(trace: str, form: str, measure: str, moment: int | None, output: str) -> None:
    """Write a trace for other programs."""
    from patalloc.traces import Trace
    from patalloc.traces import export as exports

    with ExitStack() as stack:
        stack.enter_context(writing(output, trace))
        found = stack.enter_context(Trace(trace))
        mode = "wb" if form == "arrow" else "w"
        out = stack.enter_context(click.open_file(output, mode))
        if form == "folded":
            exports.folded(found, out, measure, moment)
        elif form == "speedscope":
            exports.speedscope(found, out, measure, moment)
        elif form == "heaptrack":
            exports.heaptrack(found, out)
        elif form == "csv":
            exports.events_csv(found, out)
        else:
            try:
                exports.events_arrow(found, cast("IO[bytes]", out))
            except ModuleNotFoundError as error:
                click.echo(f"patalloc: --as arrow: {error.name} is not installed", err=True)
                sys.exit(2)
