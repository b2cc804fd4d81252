"""glibc's tests of malloc: malloc/tst-*.c, against the glibc that is installed.

They are linked with the suite's own support/, and with the users of malloc inside glibc that have
tests there (dynarray, scratch_buffer, alloc_buffer). A checkout of the release that is installed
fits best; what it lacks for a newer one isn't built.
"""

import re
from pathlib import Path

from suites.runner import ON_PURPOSE, SHIMS, SIZED, Program, Suite

# What some link beside their own source, and why others are not run.
BESIDE = {
    "tst-interpose-nothread": "tst-interpose-aux-nothread.c",
    "tst-interpose-thread": "tst-interpose-aux-thread.c",
}
DEBUGGED = "needs libc_malloc_debug.so, which wants to be malloc itself"
NOT_RUN = {
    r"tst-interpose-(aux|skeleton).*|tst-aligned_alloc-lib": "a part of other tests",
    r".*-static.*": "linked statically: LD_PRELOAD does not reach it",
    r"tst-compathooks-.*|tst-mallocstate|tst-malloc-(check|usable|usable-tunables)": DEBUGGED,
    r"tst-mtrace|.*-trace": DEBUGGED,
    r"tst-safe-linking": "looks for the links in glibc's own freed chunks",
}
INTERNALS = ("alloc_buffer_*.c", "dynarray_*.c", "scratch_buffer_*.c")


def suite(checkout: Path) -> Suite:
    """What a checkout of glibc holds."""
    malloc, support = checkout / "malloc", checkout / "support"
    return Suite(
        [_program(source) for source in sorted(malloc.glob("tst-*.c"))],
        flags=[
            *("-std=gnu11", "-O2", "-D_GNU_SOURCE", "-DTEST_NO_MALLOPT", "-fno-builtin", "-w"),
            *("-include", f"{SHIMS}/glibc/inside.h", f"-I{SHIMS}/glibc"),
            # Behind the system's: headers of what is installed, and of the checkout what is not.
            *("-idirafter", f"{checkout}", "-idirafter", f"{support}"),
            *("-idirafter", f"{checkout}/include"),
        ],
        helpers=[
            *sorted(support.glob("*.c")),
            *(path for pattern in INTERNALS for path in sorted(malloc.glob(pattern))),
        ],
    )


def _program(source: Path) -> Program:
    name = source.stem
    why = next((why for names, why in NOT_RUN.items() if re.fullmatch(names, name)), "")
    if "EXPECTED_SIGNAL" in source.read_text():
        why = ON_PURPOSE
    beside = [source.with_name(BESIDE[name])] if name in BESIDE else []
    sized = "free-" in name and "sized" in name
    return Program(
        name,
        [source, *beside],
        flags=["./sized.so"] if sized else [],
        modules=SIZED if sized else {},
        env={"TIMEOUTFACTOR": "100"},  # the time is ours to measure
        unsupported=77,
        not_run=why,
    )
