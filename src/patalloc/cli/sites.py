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
        f"{site.bytes:,} bytes, at most {site.largest:,} at once"
    )


@click.command()
@click.argument("trace", type=click.Path(exists=True, dir_okay=False))
@click.option("--match", callback=_pattern, metavar="REGEX", help="Those with a frame like that.")
@click.option("--output", type=click.File("wb"), help="A file of them for guard_sites.")
def sites(trace: str, match: re.Pattern[str], output: IO[bytes] | None) -> None:
    """List the call stacks that allocate, of a program that has run with --trace FILE.

    Most bytes first, each with its identity and its frames: functions, source lines, and the
    programs and libraries that they are in. With --output all that are listed are written to a
    file: `patalloc run --guard-sites FILE` then guards all small requests from there.
    The program must have run with --stacks, 16 to go with guard_sites as it is by default.
    """
    found = _read(trace)
    chosen = []
    for site in sorted(found.sites, key=lambda site: (-site.bytes, site.identity)):
        frames = list(render_stack(site.stack, found.modules))
        if not any(match.search(frame) for frame in frames):
            continue
        chosen.append(site)
        click.echo("\n".join([_headline(site), *frames]))
    if output:
        output.write(pack(0, 1, [Part(site.identity) for site in chosen]))
    if not chosen:
        click.echo(f"patalloc: {trace}: no such call stack among {len(found.sites)}", err=True)
        sys.exit(1)
