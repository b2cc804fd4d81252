"""What commands that read traces have in common: by what call stacks are compared, and when."""

from collections.abc import Callable
from typing import Any

import click

_MEASURES = ("requested", "requests", "live", "left", "temporary", "written", "unwritten")


def _microseconds(
    context: click.Context, parameter: click.Parameter, seconds: float | None
) -> int | None:
    return None if seconds is None else int(seconds * 1e6)


def with_measure(meaning: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Options --by and --at, for a command's `measure` and `moment` (microseconds, or None).

    Args:
        meaning: of the first one.
    """

    def decorated(command: Callable[..., Any]) -> Callable[..., Any]:
        at = click.option(
            "--at",
            "moment",
            type=click.FloatRange(0),
            callback=_microseconds,
            metavar="SECONDS",
            help="From the begin, for --by live; unless given when most bytes were live.",
        )
        by = click.option(
            "--by",
            "measure",
            type=click.Choice(_MEASURES),
            default="requested",
            show_default=True,
            help=meaning,
        )
        return by(at(command))

    return decorated
