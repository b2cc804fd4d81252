"""`patalloc lib`."""

import click

from patalloc.preload import calls, library, operators


@click.command()
@click.option("--operators", "new", is_flag=True, help="And that of C++'s operators, behind it.")
@click.option("--calls", "kernel", is_flag=True, help="And that of read, write and so on.")
def lib(new: bool, kernel: bool) -> None:
    """Print the path of libpatalloc.so, for LD_PRELOAD="$(patalloc lib)".

    Its directory also holds patalloc.h and patalloc.pc, for C programs.
    """
    others = [*([operators()] if new else []), *([calls()] if kernel else [])]
    click.echo(" ".join(map(str, [library(), *others])))
