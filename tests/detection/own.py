"""The errors of tests/watch, with blocks of a size."""

from collections.abc import Iterator
from pathlib import Path

from cases import Case

HERE = Path(__file__).parent.parent / "watch"
ERRORS = [
    "overflow_write",
    "overflow_read",
    "overflow_by_a_page",
    "overflow_in_memcpy",
    "overflow_in_a_thread",
    "slack_overflow",
    "slack_at_realloc",
    "underflow_write",
    "underflow_read",
    "underflow_by_a_page",
    "slack_underflow",
    "use_after_free_write",
    "use_after_free_read",
    "use_after_many_frees",
    "use_after_realloc",
    "double_free",
    "interior_free",
    "wild_free",
]
FLAGS = ["-std=gnu11", "-D_GNU_SOURCE", "-g", "-O1", "-fno-builtin"]


def cases(size: int) -> Iterator[Case]:
    """A row of the table each."""
    for name in ERRORS:
        yield Case(name, name.replace("_", " "), [HERE / f"{name}.c"], [*FLAGS, f"-DSIZE={size}"])
