"""`patalloc options`."""

import json
import sys

import attrs
import click

from patalloc.machine import options as all_options


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def options(as_json: bool) -> None:
    """Print the options of PATALLOC_OPTIONS, `patalloc run` and Config."""
    found = all_options()
    if as_json:
        click.echo(json.dumps([attrs.asdict(option) for option in found], indent=2))
        return
    from patalloc.cli.tables import show, table

    shown = table("option", "default", "allowed", "meaning")
    for option in found:
        shown.add_row(option.name, option.preset or '""', option.allowed, option.meaning)
    show(shown, sys.stdout)
