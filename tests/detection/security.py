"""mimalloc-bench's bench/security: each program in three sizes, as its CMakeLists.txt has it."""

from collections.abc import Iterator
from pathlib import Path

from cases import Case

SIZES = {"small": "8", "medium": "4096", "large": "256*1024"}
FLAGS = ["-O2", "-fno-inline", "-fno-inline-small-functions", "-fno-ipa-pure-const"]
CXX_FLAGS = ["-std=c++17", "-fsized-deallocation", "-DALLOCATION_SIZE=4096"]
GROUPS = {
    "overflow": "overflow, underflow",
    "underflow": "overflow, underflow",
    "after_free": "use after free",
    "zero_size": "blocks of no size",
    "free": "double and invalid free",
    "delete": "mismatched delete",
}


def _group(stem: str) -> str:
    return next((group for word, group in GROUPS.items() if word in stem), "other")


def cases(checkout: Path) -> Iterator[Case]:
    """Caught is what does not print NOT_CAUGHT."""
    directory = checkout / "bench" / "security"
    for source in sorted(directory.glob("*.c")):
        for size, number in SIZES.items():
            flags = [*FLAGS, f"-DALLOCATION_SIZE={number}"]
            name = f"{source.stem}, {size}"
            yield Case(name, _group(source.stem), [source], flags, went_on="NOT_CAUGHT")
    for source in sorted(directory.glob("*.cc")):
        group = _group(source.stem)
        yield Case(source.stem, group, [source], CXX_FLAGS, went_on="NOT_CAUGHT")
