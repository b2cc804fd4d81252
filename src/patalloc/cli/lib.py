"""`patalloc lib`."""

import click

from patalloc.preload import library, operators


@click.command()
@click.option("--operators", "both", is_flag=True, help="And that of C++'s operators, behind it.")
def lib(both: bool) -> None:
    """Print the path of libpatalloc.so, for LD_PRELOAD="$(patalloc lib)".

    Its directory also holds patalloc.h and patalloc.pc, for C programs.
    """
    click.echo(" ".join(map(str, [library(), *([operators()] if both else [])])))
