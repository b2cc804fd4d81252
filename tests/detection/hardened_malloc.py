"""hardened_malloc's test/: the errors that it makes on purpose."""

from collections.abc import Iterator
from pathlib import Path

from cases import Case

PREFIXES = (
    "double_free",
    "invalid_",
    "unaligned_",
    "uninitialized_",
    "read_",
    "write_",
    "overflow_",
    "string_overflow",
    "delete_type_size_mismatch",
    "eight_byte_overflow",
)


def cases(checkout: Path) -> Iterator[Case]:
    """All in one group, but those that ask for malloc_object_size, which only it has."""
    flags = ["-D_GNU_SOURCE", "-DSLAB_CANARY=0", "-DCONFIG_EXTENDED_SIZE_CLASSES=0", "-O3"]
    for source in sorted([*(checkout / "test").glob("*.c"), *(checkout / "test").glob("*.cc")]):
        if source.stem.startswith(PREFIXES) and "malloc_object_size" not in source.stem:
            language = ["-std=gnu2x" if source.suffix == ".c" else "-std=c++17"]
            yield Case(source.stem, "errors", [source], [*flags, *language])
