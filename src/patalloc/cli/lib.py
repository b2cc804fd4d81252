"""`patalloc lib`."""

import click

from patalloc.preload import library


@click.command()
def lib() -> None:
    """Print the path of libpatalloc.so, for LD_PRELOAD="$(patalloc lib)".

    Its directory also holds patalloc.h and patalloc.pc, for C programs.
    """
    click.echo(str(library()))
