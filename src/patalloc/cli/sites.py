"""`patalloc sites`."""

import re
import sys
from pathlib import Path
from typing import IO

import click

from patalloc.hunt.selection import Part, pack
from patalloc.hunt.trace import Site, Trace, read
from patalloc.watch.rendering import render_stack


def _read(path: str) -> Trace:
    try:
        return read(Path(path), zeros=True)
    except ValueError as error:
        raise click.UsageError(str(error)) from None


def _pattern(
    context: click.Context, parameter: click.Parameter, text: str | None
) -> re.Pattern[str]:
    try:
        return re.compile(text or "")
    except re.error as error:
        raise click.BadParameter(f"{text}: {error}", context, parameter) from None


def _headline(site: Site) -> str:
    count = site.allocations + site.zeros
    return (
        f"{site.identity:016x}  {count:,} allocation{'' if count == 1 else 's'}, "
        f"{site.bytes:,} bytes, the largest {site.largest:,}"
    )


@click.command()
@click.argument("traces", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False))
@click.option("--match", callback=_pattern, metavar="REGEX", help="Those with a frame like that.")
@click.option("--output", type=click.File("wb"), help="A file of them for guard_sites.")
def sites(traces: tuple[str, ...], match: re.Pattern[str], output: IO[bytes] | None) -> None:
    """List the call stacks that allocate, of processes that have run with --trace FILE.

    Most bytes first, each with its identity and its frames: functions, source lines, and the
    programs and libraries that they are in. With --output all that are listed are written to a
    file: `patalloc run --guard-sites FILE` then guards all small requests from there.
    A FILE with %p in its name has each process's in one of its own.
    """
    found = [(site, trace) for trace in map(_read, traces) for site in trace.sites]
    found.sort(key=lambda each: (-each[0].bytes, each[0].identity))
    chosen = []
    for site, trace in found:
        frames = list(render_stack(site.stack, trace.modules))
        if not any(match.search(frame) for frame in frames):
            continue
        chosen.append(Part(site.identity))
        click.echo("\n".join([_headline(site), *frames]))
    if output and chosen:
        # Stacks that were cut have the most frames: what is longer is to be cut there as well.
        depth = max((len(site.stack) for site, _ in found), default=0)
        output.write(pack(sorted({*chosen}), frames=depth))
    if not chosen:
        click.echo(f"patalloc: no such call stack among {len(found)}", err=True)
        sys.exit(1)
