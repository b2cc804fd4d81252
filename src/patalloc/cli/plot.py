"""`patalloc plot`."""

from pathlib import Path

import click

from patalloc.cli.experiment import picture_form, read_results, refusals, refuse
from patalloc.lab import METRICS, page
from patalloc.pictures import picture, require_matplotlib


@click.command()
@click.option(
    "--metric",
    type=click.Choice([*METRICS]),
    default="cpu",
    show_default=True,
    help="Of which dots and intervals are drawn.",
)
@click.option("--cost", is_flag=True, help="Draw CPU time over peak RSS instead.")
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    required=True,
    help="The picture: NAME.svg or NAME.png.",
)
@click.argument("journal", type=click.Path(exists=True, dir_okay=False, path_type=Path))
def plot(metric: str, cost: bool, output: Path, journal: Path) -> None:
    """Draw what a sweep or a comparison has measured, of its journal."""
    form = picture_form(output)
    with refusals():
        results, _ = read_results(journal)
        if metric not in results.metrics:
            refuse(f"{journal}: no run that counts has {metric}")
        require_matplotlib()
        figure = page.cost(results) if cost else page.ratios(results, metric)
        output.write_bytes(picture(figure, form))
