"""`patalloc describe`."""

import json
from pathlib import Path

import attrs
import click

from patalloc.cli.processes import refusal


class _Address(click.ParamType[int]):
    name = "address"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> int:
        try:
            address = int(value, 0)
        except ValueError:
            address = -1
        if not 0 <= address < 1 << 64:
            self.fail(f"{value!r}: no address: a number is, as 0x7f0000001000", param, ctx)
        return address


@click.command()
@click.argument("address", type=_Address())
@click.option("--pid", type=click.IntRange(1), help="Of this process, which goes on meanwhile.")
@click.option(
    "--core",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="In this core dump.",
)
@click.option("--memory", type=click.IntRange(0), hidden=True)  # a descriptor: see gdb_command.py
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def describe(
    address: int, pid: int | None, core: Path | None, memory: int | None, as_json: bool
) -> None:
    """Tell which block an address is in, or near: by whom it was allocated and freed, and when.

    Of a process that runs under patalloc, or of a core dump of it. Call stacks and small blocks
    are known where the program's options ask for them, as --preset find does.
    """
    from patalloc.watch.description import adopt
    from patalloc.watch.description import describe as find
    from patalloc.watch.image import of_core, of_process
    from patalloc.watch.rendering import render_description

    if (pid is None) == (core is None):
        raise click.UsageError("one of --pid and --core is needed")
    try:
        image = of_core(core) if core else of_process(pid or 0, memory)
        adopt(image)
        found = find(image, address)
    except (FileNotFoundError, PermissionError, ValueError) as error:
        raise refusal(pid or 0, error) from None
    if as_json:
        click.echo(json.dumps(attrs.asdict(found)))
        return
    for line in render_description(found):
        click.echo(line)
