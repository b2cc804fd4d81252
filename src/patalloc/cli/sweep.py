"""`patalloc sweep`."""

import tomllib
from pathlib import Path
from typing import Any

import click

from patalloc.cli.experiment import Asked, measure, refusals, refuse, with_options
from patalloc.lab import ALLOCATORS, Point, PointError, grid, points

_KEYS = {"command", "grid", "allocators", "points", "baseline"}


def _read(path: Path) -> dict[str, Any]:
    """What a file says that the command line has not said.

    Raises:
        PointError: it says something else.
    """
    try:
        found = tomllib.loads(path.read_text())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise PointError(f"{path}: {error}") from None
    for key in found.keys() - _KEYS:
        raise PointError(f"{path}: {key}: must be one of {', '.join(sorted(_KEYS))}")
    return found


def _lines(path: Path, found: dict[str, Any]) -> list[str]:
    table = found.get("grid", {})
    if not isinstance(table, dict) or not all(isinstance(each, list) for each in table.values()):
        raise PointError(f"{path}: grid: must be a table of lists")
    words = {True: "yes", False: "no"}
    return [
        f"{name}={','.join(words[each] if type(each) is bool else str(each) for each in values)}"
        for name, values in table.items()
    ]


def _strings(path: Path, found: dict[str, Any], key: str) -> list[str]:
    value = found.get(key, [])
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise PointError(f"{path}: {key}: must be a list of strings")
    return value


@click.command(context_settings={"allow_interspersed_args": False})
@click.option(
    "--grid",
    "lines",
    multiple=True,
    metavar="NAME=VALUE,...",
    help="An option of the heap's, and the values to try; with others each combination.",
)
@click.option(
    "--allocator",
    "allocators",
    metavar="NAME,...",
    help=f"Of {', '.join(ALLOCATORS)}, or paths of libraries. [patalloc; with --grid or --point "
    "none else]",
)
@click.option(
    "--point",
    "given",
    multiple=True,
    metavar="POINT",
    help="One more: an allocator, patalloc:OPTIONS, or OPTIONS; may be given again.",
)
@click.option(
    "--baseline", metavar="POINT", help="What the others are compared with. [glibc; it is added]"
)
@click.option(
    "--file",
    "path",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="TOML with command, grid, allocators, points, baseline.",
)
@with_options
@click.argument("command", nargs=-1)
def sweep(
    lines: tuple[str, ...],
    allocators: str | None,
    given: tuple[str, ...],
    baseline: str | None,
    path: Path | None,
    asked: Asked,
    command: tuple[str, ...],
) -> None:
    """Measure a program under several allocators and settings.

    All run once a round, in another order each time. What is shown beside a median is the median of
    the ratios to the baseline of the same round, with its 95 % interval, and what that says: better
    or worse, the same within --margin, or not known yet.
    """
    with refusals():
        found = _read(path) if path else {}
        if path:
            lines = (*lines, *_lines(path, found))
            given = (*given, *_strings(path, found, "points"))
            command = command or tuple(_strings(path, found, "command"))
        named = allocators.split(",") if allocators else []
        named += _strings(path, found, "allocators") if path else []
        if lines and "patalloc" not in named:
            named.append("patalloc")
        first = Point.parse(str(baseline or found.get("baseline", "glibc")))
        made = [first, *points(grid(lines), named), *map(Point.parse, given)]
        made = [*dict.fromkeys(made)]
        if len(made) == 1:
            made.append(Point("patalloc"))
        if not command:
            refuse("no program is given")
        measure(command, made, asked)
