"""`patalloc report`."""

import json
import shlex
from pathlib import Path

import click

from patalloc.cli.experiment import print_results, read_results, refusals, refuse
from patalloc.lab import page, pyperf
from patalloc.lab.texts import as_csv, data


@click.command()
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="A page of HTML, with pictures, tables and data, that needs no network.",
)
@click.option(
    "--pyperf",
    "prefix",
    type=click.Path(path_type=Path),
    help="Write PREFIX-METRIC.json for each metric, as pyperf has them.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--csv", "as_lines", is_flag=True, help="Print CSV: a line a run.")
@click.argument("journal", type=click.Path(exists=True, dir_okay=False, path_type=Path))
def report(
    output: Path | None, prefix: Path | None, as_json: bool, as_lines: bool, journal: Path
) -> None:
    """Tell what a sweep or a comparison has measured, of its journal."""
    with refusals():
        results, found = read_results(journal)
        if prefix:
            for path in pyperf.write(results, prefix, str(found.plan["machine"])):
                click.echo(path)
        if output:
            if not results.metrics:
                refuse(f"{journal}: no run counts yet")
            page.require_matplotlib()
            files = [
                ("results.json", "application/json", json.dumps(data(results), indent=2)),
                ("runs.csv", "text/csv", as_csv(results)),
            ]
            title = shlex.join(found.plan["command"])
            output.write_text(page.page(results, title, str(found.plan["machine"]), files))
        if not prefix and not output:
            print_results(results, json_=as_json, csv_=as_lines)
