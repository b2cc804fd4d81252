"""What the commands share that measure programs: their options, progress, and tables."""

import csv
import json
import math
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from io import StringIO
from pathlib import Path
from typing import Any, NoReturn

import attrs
import click
from rich.console import Console
from rich.progress import BarColumn, SpinnerColumn, TextColumn
from rich.progress import Progress as Bar

from patalloc.cli.tables import show, table
from patalloc.lab import (
    METRICS,
    Comparison,
    ExperimentError,
    Interval,
    JournalError,
    Point,
    PointError,
    Program,
    Progress,
    Results,
    Sweep,
    Verdict,
)
from patalloc.lab.workloads import command as workload

_EVERY = 10  # seconds, after which a line tells how far it is, where there is no terminal
_SHOWN = ("wall", "cpu", "peak_rss", "instructions")
_HEADS = {"wall": "wall time", "cpu": "CPU time", "peak_rss": "peak RSS"}


@attrs.frozen(kw_only=True)
class Asked:
    """What the options of a measurement say; see `with_options`."""

    metric: str
    width: float
    budget: float
    rounds: int | None
    margin: float
    seed: int
    check: str | None
    any_output: bool
    timeout: float
    journal: Path | None
    resume: bool
    as_json: bool
    as_csv: bool


_POSITIVE = click.FloatRange(0, min_open=True)
_OPTIONS = (
    click.option(
        "--metric",
        type=click.Choice([*METRICS]),
        default="cpu",
        show_default=True,
        help="Whose intervals decide when it is enough.",
    ),
    click.option(
        "--width",
        type=_POSITIVE,
        default=2,
        show_default=True,
        metavar="PERCENT",
        help="How wide they may be then.",
    ),
    click.option(
        "--budget",
        type=_POSITIVE,
        default=120,
        show_default=True,
        metavar="SECONDS",
        help="When it ends in any case.",
    ),
    click.option("--rounds", type=click.IntRange(1), help="Rounds at most."),
    click.option(
        "--margin",
        type=_POSITIVE,
        default=1,
        show_default=True,
        metavar="PERCENT",
        help="What difference does not matter.",
    ),
    click.option("--seed", type=int, default=1, show_default=True, help="Of the orders."),
    click.option("--check", help="A shell command that must succeed after each run."),
    click.option("--any-output", is_flag=True, help="Runs may print what they like."),
    click.option(
        "--timeout", type=_POSITIVE, default=600, show_default=True, help="Seconds a run."
    ),
    click.option(
        "-o",
        "--output",
        "journal",
        type=click.Path(dir_okay=False, path_type=Path),
        help="The journal: a line a run, on the disk before the next one.",
    ),
    click.option("--resume", is_flag=True, help="Go on with the journal that is there."),
    click.option("--json", "as_json", is_flag=True, help="Print JSON."),
    click.option("--csv", "as_csv", is_flag=True, help="Print CSV: a line a run."),
)


def with_options(command: Callable[..., None]) -> Callable[..., None]:
    """Those of a measurement, which the command gets as `asked`."""
    names = [field.name for field in attrs.fields(Asked)]

    @wraps(command)
    def gather(**given: Any) -> None:  # noqa: ANN401
        asked = Asked(**{name: given.pop(name) for name in names})
        command(asked=asked, **given)

    for option in reversed(_OPTIONS):
        gather = option(gather)
    return gather


def refuse(message: str) -> NoReturn:
    """End with that line, and status 2."""
    click.echo(f"patalloc: {message}", err=True)
    sys.exit(2)


@contextmanager
def refusals() -> Iterator[None]:
    """What can't be measured ends with one line."""
    try:
        yield
    except (PointError, ExperimentError, JournalError, OSError) as error:
        refuse(str(error))


def _program(command: Sequence[str], asked: Asked) -> Program:
    """It must be there."""
    command = workload(tuple(command))
    path = shutil.which(command[0])
    if path is None:
        what = "not executable" if Path(command[0]).is_file() else "not found"
        refuse(f"{command[0]}: {what}")
    return Program((str(path), *command[1:]), asked.check, asked.timeout)


def measure(command: Sequence[str], points: Sequence[Point], asked: Asked) -> Results:
    """Make the experiment, tell how far it is, and print what came of it."""
    path = asked.journal
    if path and not asked.resume and path.exists() and path.stat().st_size:
        refuse(f"{path}: is there already: --resume goes on with it")
    sweep = Sweep(
        _program(command, asked),
        points,
        metric=asked.metric,
        width=asked.width / 100,
        budget=asked.budget,
        rounds=asked.rounds,
        seed=asked.seed,
        margin=asked.margin / 100,
        journal=path,
        same_output=not (asked.any_output or asked.check),
    )
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn())
    console = Console(stderr=True)
    with Bar(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=None)
        told = time.monotonic()

        def tell(progress: Progress) -> None:
            nonlocal told
            what = f"round {progress.round}" if progress.round else "each point once"
            doing = f"{what}, {max(progress.seconds_left, 0):.0f} s left"
            bar.update(task, description=doing, completed=progress.done, total=progress.of)
            if not console.is_terminal and time.monotonic() - told > _EVERY:
                told = time.monotonic()
                click.echo(f"patalloc: {doing}", err=True)

        sweep.progress = tell
        results = sweep.run()
    print_results(results, json_=asked.as_json, csv_=asked.as_csv)
    return results


def number(value: float, metric: str) -> str:
    """With its unit."""
    unit = METRICS[metric]
    if unit == "s":
        return f"{value:.3f} s" if value >= 1 else f"{value * 1000:.2f} ms"
    if unit == "B":
        return f"{value / (1 << 20):,.1f} MiB"
    return f"{value:,.0f}"


def percent(interval: Interval) -> str:
    """How much more or less than the baseline it is."""
    high = "?" if math.isinf(interval.high) else f"{100 * (interval.high - 1):+.1f}"
    low = "?" if math.isinf(interval.high) else f"{100 * (interval.low - 1):+.1f}"
    return f"{100 * (interval.median - 1):+.1f} % ({low} to {high})"


def data(results: Results) -> dict[str, Any]:
    """All of it."""
    found: dict[str, Any] = {
        "version": 1,
        "baseline": results.baseline,
        "interrupted": results.interrupted,
        "left_out": dict(results.left_out),
        "points": {},
    }
    for point in results.points:
        if point in results.left_out:
            continue
        found["points"][point] = {
            metric: _metric(results, point, metric) for metric in results.metrics
        }
    return found


def _metric(results: Results, point: str, metric: str) -> dict[str, Any]:
    typical = results.typical(point, metric)
    made: dict[str, Any] = {
        "median": typical.median,
        "interval": _finite(typical),
        "runs": len(results.values(point, metric)),
    }
    comparison = results.comparisons(metric).get(point)
    if comparison:
        made["ratio"] = {
            "median": comparison.interval.median,
            "interval": _finite(comparison.interval),
            "rounds": len(comparison.ratios),
            "chance": comparison.chance,
            "verdict": comparison.verdict.value,
            "rounds_needed": comparison.rounds_needed,
        }
    return made


def _finite(interval: Interval) -> list[float] | None:
    return None if math.isinf(interval.high) else [interval.low, interval.high]


def as_csv(results: Results) -> str:
    """A line a run, also of those that do not count."""
    text = StringIO()
    names = [*METRICS]
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["round", "point", *names, "failure"])
    for entry in results.entries:
        values = [entry.metrics.get(name, "") for name in names]
        writer.writerow([entry.round, entry.point, *values, entry.failure])
    return text.getvalue()


def print_results(results: Results, *, json_: bool = False, csv_: bool = False) -> None:
    """As a table, or as data."""
    if csv_:
        click.echo(as_csv(results), nl=False)
        return
    if json_:
        click.echo(json.dumps(data(results), indent=2))
        return
    for name, why in results.left_out.items():
        click.echo(f"patalloc: {name} is left out: {why}", err=True)
    if results.interrupted:
        click.echo("patalloc: cut short: this is what ran", err=True)
    shown = [name for name in _SHOWN if name in results.metrics]
    if not shown:
        click.echo("patalloc: no run counts yet", err=True)
        return
    heads = [_HEADS.get(name, name) for name in shown]
    view = table(
        "point", "rounds", *(part for head in heads for part in (head, "beside the baseline"))
    )
    comparisons = {metric: results.comparisons(metric) for metric in shown}
    for point in results.points:
        if point in results.left_out or not results.values(point, shown[0]):
            continue
        row = [point, str(len(results.values(point, shown[0])))]
        for metric in shown:
            row.append(number(results.typical(point, metric).median, metric))
            comparison = comparisons[metric].get(point)
            row.append(_told(comparison) if comparison else "")
        view.add_row(*row)
    show(view, sys.stdout)


def _told(comparison: Comparison) -> str:
    verdict = comparison.verdict
    told = f"{percent(comparison.interval)}: {verdict.value}"
    if verdict == Verdict.UNKNOWN:
        told += f", about {comparison.rounds_needed} more rounds"
    return told
