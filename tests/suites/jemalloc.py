"""jemalloc's integration tests: test/integration/**, with its own harness in test/src.

Those that call mallocx and its kin, or ask mallctl about jemalloc's insides, are listed and not
run. Where mallctl is beside the point (give memory back; how large may a request be)
shims/jemalloc answers it.
"""

import re
from pathlib import Path

from suites.runner import SHIMS, Program, Suite

OWN = re.compile(r"\b([a-z]+allocx|mallctl\w*)\b")
ANSWERED = {"aligned_alloc", "overflow", "posix_memalign"}


def suite(checkout: Path) -> Suite:
    """What a checkout of jemalloc holds."""
    tests = checkout / "test"
    integration = tests / "integration"
    sources = sorted([*integration.glob("*.c"), *integration.glob("cpp/*.cpp")])
    return Suite(
        [_program(source) for source in sources],
        flags=[
            *("-O2", "-D_GNU_SOURCE", "-fno-builtin", "-w"),
            *(f"-I{SHIMS}/jemalloc", f"-I{tests}/include"),
        ],
        helpers=[tests / "src" / "test.c", tests / "src" / "thd.c"],
    )


def _program(source: Path) -> Program:
    own = source.stem not in ANSWERED and OWN.search(source.read_text())
    why = "calls what jemalloc alone has: mallocx and its kin, or mallctl" if own else ""
    return Program(source.stem, [source], unsupported=1, not_run=why)
