"""`patalloc report`."""

import json
import shlex
from contextlib import ExitStack
from pathlib import Path

import click

from patalloc.cli.experiment import print_results, read_results, refusals, refuse
from patalloc.cli.measures import with_measure
from patalloc.cli.outputs import writing
from patalloc.lab import page, pyperf
from patalloc.lab.texts import as_csv, data
from patalloc.machine import describe
from patalloc.pictures import require_matplotlib
from patalloc.traces import is_trace

_LINES = 10  # of a call stack
_STACKS = 5  # that are printed, unless another number is asked for


def _tell_trace(path: Path, measure: str, moment: int | None, stacks: int) -> None:
    from patalloc.traces import Trace
    from patalloc.traces.export import measures
    from patalloc.traces.frames import Frames
    from patalloc.traces.shown import by, facts, sentences, site_lines, stack_lines
    from patalloc.traces.sums import of_trace

    with Trace(path) as trace:
        sums = of_trace(trace, moment=moment)
        for line in sentences(facts(trace, sums)):
            click.echo(line)
        frames = Frames(trace)
        for site in by(sums, measure)[:stacks]:
            click.echo(f"\n{site_lines(sums, site, measure)}")
            click.echo("\n".join(stack_lines(frames, site.stack, _LINES)))
        if stacks and not by(sums, measure):
            click.echo(f"\nno call stack has {measures(sums)[measure][0]}")


def _report_traces(
    paths: tuple[Path, ...], output: Path | None, *, as_json: bool, as_lines: bool
) -> None:
    from patalloc.traces import Trace
    from patalloc.traces import page as pages
    from patalloc.traces.shown import document

    with ExitStack() as stack:
        found = document([stack.enter_context(Trace(path)) for path in paths])
    if output:
        with writing(output, *paths):
            output.write_text(pages.page(found, describe()))
    if as_json:
        click.echo(json.dumps(found, indent=2))
    if as_lines:
        click.echo(pages.as_csv(found), nl=False)


def _report_journal(
    journal: Path, output: Path | None, prefix: Path | None, *, as_json: bool, as_lines: bool
) -> None:
    with refusals():
        results, found = read_results(journal)
        if prefix:
            for path in pyperf.write(results, prefix, str(found.plan["machine"])):
                click.echo(path)
        if output:
            if not results.metrics:
                refuse(f"{journal}: no run counts yet")
            require_matplotlib()
            files = [
                ("results.json", "application/json", json.dumps(data(results), indent=2)),
                ("runs.csv", "text/csv", as_csv(results)),
            ]
            title = shlex.join(found.plan["command"])
            with writing(output, journal):
                output.write_text(page.page(results, title, str(found.plan["machine"]), files))
        if not prefix and not output:
            print_results(results, json_=as_json, csv_=as_lines)


@click.command()
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="A page of HTML, with pictures, tables and data, that needs no network.",
)
@with_measure("Of a trace: what its call stacks are ordered by.")
@click.option(
    "--stacks", type=click.IntRange(0), default=_STACKS, show_default=True, help="So many of them."
)
@click.option(
    "--pyperf",
    "prefix",
    type=click.Path(path_type=Path),
    help="Of a journal: write PREFIX-METRIC.json for each metric, as pyperf has them.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--csv", "as_lines", is_flag=True, help="Print CSV: a line a run, or a call stack.")
@click.argument(
    "files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path)
)
def report(
    output: Path | None,
    measure: str,
    moment: int | None,
    stacks: int,
    prefix: Path | None,
    as_json: bool,
    as_lines: bool,
    files: tuple[Path, ...],
) -> None:
    """Tell what is in a trace, or what an experiment has measured.

    FILES are a trace of `patalloc record`, or two, to be compared on a page; or the journal of a
    sweep or a comparison.
    """
    if len(files) > 2 or (len(files) > 1 and not all(map(is_trace, files))):
        raise click.UsageError("wanted: one file, or two traces")
    if not is_trace(files[0]):
        _report_journal(files[0], output, prefix, as_json=as_json, as_lines=as_lines)
    elif output or as_json or as_lines:
        _report_traces(files, output, as_json=as_json, as_lines=as_lines)
    else:
        for path in files:
            _tell_trace(path, measure, moment, stacks)
