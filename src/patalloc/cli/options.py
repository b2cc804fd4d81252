"""`patalloc options`."""

import json
import sys

import attrs
import click

from patalloc.heap import PRESETS
from patalloc.machine import options as all_options


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option(
    "--preset",
    type=click.Choice([*PRESETS]),
    help="Print the option string that it stands for, for PATALLOC_OPTIONS and Config.parse.",
)
def options(as_json: bool, preset: str | None) -> None:
    """Print the options of PATALLOC_OPTIONS, `patalloc run` and Config."""
    if preset:
        click.echo(json.dumps(PRESETS[preset]) if as_json else PRESETS[preset])
        return
    found = all_options()
    if as_json:
        click.echo(json.dumps([attrs.asdict(option) for option in found], indent=2))
        return
    from patalloc.cli.tables import show, table

    shown = table("option", "default", "allowed", "meaning")
    for option in found:
        shown.add_row(option.name, option.preset or '""', option.allowed, option.meaning)
    show(shown, sys.stdout)
