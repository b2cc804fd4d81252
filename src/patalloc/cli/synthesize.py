"""`patalloc synthesize`."""

from pathlib import Path

import click

from patalloc.cli.outputs import writing


@click.command()
@click.argument("trace", type=click.Path(exists=True, dir_okay=False))
@click.option("-o", "--output", type=click.Path(), required=True, metavar="NEW", help="The trace.")
@click.option(
    "--scale", type=float, default=1.0, metavar="K", help="K times the requests and memory [1]."
)
@click.option("--seed", type=int, default=0, metavar="N", help="Another trace for each [0].")
def synthesize(trace: str, output: str, scale: float, seed: int) -> None:
    """Write a trace of the same kind of requests, as many as are wanted.

    It has the sizes, lives, threads and call stacks of TRACE, in the same phases and the same
    time, but K times as many requests and K times as many live bytes: a small model of a large
    program, or a larger one.
    """
    from patalloc.traces import Trace
    from patalloc.traces.synthesis import synthesize as synthesized

    with writing(output, trace), Trace(trace) as found:
        synthesized(found, Path(output), scale=scale, seed=seed)
