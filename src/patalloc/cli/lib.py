"""`patalloc lib`."""

import click

from patalloc.preload import calls, library, operators


@click.command()
@click.option("--operators", "new", is_flag=True, help="And that of C++'s operators, behind it.")
@click.option("--calls", "kernel", is_flag=True, help="And that of read, write and so on.")
@click.option("--gdb", is_flag=True, help="That of the command for gdb, instead: gdb -x FILE.")
def lib(new: bool, kernel: bool, gdb: bool) -> None:
    """Print the path of libpatalloc.so, for LD_PRELOAD="$(patalloc lib)".

    Its directory also holds patalloc.h and patalloc.pc, for C programs.
    """
    if gdb:
        click.echo(library().with_name("gdb_command.py"))
        return
    others = [*([operators()] if new else []), *([calls()] if kernel else [])]
    click.echo(" ".join(map(str, [library(), *others])))
