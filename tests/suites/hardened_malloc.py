"""hardened_malloc's tests: of test/, the programs that are correct.

Most of that directory are errors on purpose, to be detected; they are listed, not run. A few ask
for what hardened_malloc alone has.
"""

import re
from pathlib import Path

from suites.runner import ON_PURPOSE, SIZED, Program, Suite

ERRORS = re.compile(
    "double_free|invalid_|unaligned_|uninitialized_|(read|write)_after_free|(read|write)_zero_size|"
    "overflow_|string_overflow|delete_type_size_mismatch"
)
OWN = re.compile("malloc_object_size")
C23 = re.compile("free_sized|free_aligned_sized")


def suite(checkout: Path) -> Suite:
    """What a checkout of hardened_malloc holds."""
    tests = checkout / "test"
    return Suite(
        [_program(source) for source in sorted([*tests.glob("*.c"), *tests.glob("*.cc")])],
        flags=["-D_GNU_SOURCE", "-DSLAB_CANARY=0", "-DCONFIG_EXTENDED_SIZE_CLASSES=0", "-O3", "-w"],
    )


def _program(source: Path) -> Program:
    text = source.read_text()
    why = ""
    if ERRORS.match(source.stem):
        why = ON_PURPOSE
    elif OWN.search(text):
        why = "malloc_object_size is hardened_malloc's own"
    sized = bool(C23.search(text))
    return Program(
        source.stem,
        [source],
        flags=["-std=gnu2x" if source.suffix == ".c" else "-std=c++17"]
        + (["./sized.so"] if sized else []),
        modules=SIZED if sized else {},
        not_run=why,
    )
