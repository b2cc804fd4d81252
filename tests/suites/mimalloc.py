"""mimalloc's tests: test/test-api.c and test/test-stress.c on malloc and its kin.

test-stress has a mode for that. test-api calls mi_ names, which shims/mimalloc maps to standard
ones; what those cannot express (an alignment at an offset) fails bare. Its heaps are plain malloc.
"""

from pathlib import Path

from suites.runner import ON_PURPOSE, SHIMS, Program, Suite

NOT_RUN = {
    "test-api-fill": "what mimalloc fills blocks with, by its own names",
    "test-wrong": ON_PURPOSE,
}


def suite(checkout: Path) -> Suite:
    """What a checkout of mimalloc holds."""
    tests = checkout / "test"
    return Suite(
        [
            Program(
                "test-api",
                [tests / "test-api.c"],
                flags=[f"-I{SHIMS}/mimalloc"],
                checks=r"FAILED: (\S+): ",
            ),
            Program(
                "test-stress",
                [tests / "test-stress.c"],
                flags=["-DUSE_STD_MALLOC"],
                arguments=["8", "25", "20"],  # threads, percent of its load, rounds
            ),
            *(Program(name, not_run=why) for name, why in NOT_RUN.items()),
            *(
                Program(path.stem, not_run="includes mimalloc, to see that it replaces malloc")
                for path in sorted(tests.glob("main*.c"))
            ),
        ],
        flags=["-std=gnu11", "-O2", "-D_GNU_SOURCE", "-fno-builtin", "-w"],
    )
