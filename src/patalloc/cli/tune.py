"""`patalloc tune`."""

import json
import sys
from pathlib import Path

import click

from patalloc.cli.experiment import (
    picture_form,
    print_results,
    program,
    refusals,
    showing,
    with_run_options,
)
from patalloc.cli.tables import show, table
from patalloc.lab import Interval, Tuned, Tuning, Verdict, page
from patalloc.lab.texts import data, percent
from patalloc.lab.tuning import blocks
from patalloc.pictures import picture, require_matplotlib

_METRICS = {"time": "cpu", "rss": "peak_rss"}


def _times(text: str | None) -> float | None:
    """1.05 or 1.05x."""
    if text is None:
        return None
    try:
        value = float(text.removesuffix("x"))
    except ValueError:
        value = 0
    if value <= 0:
        raise click.BadParameter(f"--rss-at-most {text}: must be a number of times, as 1.05x")
    return value


def _print_front(tuned: Tuned) -> None:
    times, memory = tuned.searched.ratios("cpu"), tuned.searched.ratios("peak_rss")
    view = table(
        "point", "rounds", "CPU time beside the default's", "peak RSS beside the default's"
    )
    for name in tuned.front:
        if name == tuned.searched.baseline:
            view.add_row(name, str(len(tuned.searched.values(name, "cpu"))), "", "")
        else:
            row = (percent(Interval.of(each[name])) for each in (times, memory))
            view.add_row(name, str(len(times[name])), *row)
    show(view, sys.stdout)
    click.echo(
        "patalloc: of the search itself; where the ends are not known it takes more --budget",
        err=True,
    )


@click.command(context_settings={"allow_interspersed_args": False})
@click.option(
    "--minimise",
    type=click.Choice([*_METRICS]),
    help="What is to be small: CPU time, or peak RSS. Else those are shown beside which no other "
    "is better in both.",
)
@click.option("--rss-at-most", metavar="TIMES", help="Of the peak RSS with the defaults, as 1.05x.")
@click.option(
    "--budget",
    type=click.FloatRange(1),
    default=300,
    show_default=True,
    metavar="SECONDS",
    help="A fifth of it measures what was found anew.",
)
@with_run_options
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="A picture of the search: NAME.svg or NAME.png.",
)
@click.argument("command", nargs=-1, required=True)
def tune(
    minimise: str | None,
    rss_at_most: str | None,
    budget: float,
    seed: int,
    check: str | None,
    any_output: bool,
    timeout: float,
    as_json: bool,
    output: Path | None,
    command: tuple[str, ...],
) -> None:
    """Find options of the heap's that suit a program.

    Thresholds, fills, and how much is kept are tried in rounds; what is worse than the best one is
    dropped. What is told of the winner is from runs made when it was chosen.
    """
    most_rss = _times(rss_at_most)
    form = picture_form(output) if output else ""
    with refusals():
        if output:
            require_matplotlib()
        measured = program(command, check, timeout)
        count, seconds = blocks(measured)
        if count == 0:
            click.echo("patalloc: 0 blocks of 64 KiB or more: nothing to tune")
            return
        tuning = Tuning(
            measured,
            seconds,
            metric=_METRICS[minimise] if minimise else None,
            most_rss=most_rss,
            budget=budget,
            seed=seed,
            same_output=not (any_output or check),
        )
        with showing(tuning):
            tuned = tuning.run()
        if output:
            output.write_bytes(picture(page.cost(tuned.searched, tuned.front), form))
    if as_json:
        told = {"winner": tuned.winner, "front": [*tuned.front], "searched": data(tuned.searched)}
        confirmed = data(tuned.confirmed) if tuned.confirmed else None
        click.echo(json.dumps(told | {"confirmed": confirmed}, indent=2))
        return
    if tuned.searched.interrupted and tuned.confirmed is None:
        click.echo("patalloc: cut short: nothing was measured anew", err=True)
        sys.exit(3)
    if minimise is None:
        _print_front(tuned)
    elif tuned.confirmed is None:
        click.echo("patalloc: none was better than the defaults")
    else:
        print_results(tuned.confirmed)
        found = tuned.confirmed.comparisons(_METRICS[minimise]).get(tuned.winner)
        options = tuned.winner.removeprefix("patalloc:")
        memory = tuned.confirmed.ratios("peak_rss").get(tuned.winner)
        fits = most_rss is None or (memory and Interval.of(memory).median <= most_rss)
        if not fits:
            click.echo(f"patalloc: measured anew, the best one takes more than {rss_at_most}")
        elif found and found.verdict == Verdict.BETTER:
            click.echo(f"patalloc: measured anew; to have it: PATALLOC_OPTIONS={options}")
        else:
            click.echo("patalloc: measured anew, the best one is not surely better")
