"""Points of an experiment: an allocator, and how it is configured."""

import itertools
import os
import platform
import re
from collections.abc import Iterable, Mapping, Sequence
from glob import glob
from pathlib import Path

import attrs

from patalloc.errors import OptionError
from patalloc.heap import Config
from patalloc.machine import options as heap_options
from patalloc.preload import environment, library

# Other packages' libraries, which are looked for where distributions put them.
_LIBRARIES = {
    "jemalloc": "libjemalloc.so.2",
    "mimalloc": "libmimalloc.so.2*",
    "tcmalloc": "libtcmalloc_minimal.so.4",
    "scudo": f"libclang_rt.scudo_standalone-{platform.machine()}.so",
    "hardened": "libhardened_malloc.so",
}
_FOLDERS = (
    "/usr/local/lib",
    f"/usr/lib/{platform.machine()}-linux-gnu",
    "/usr/lib64",
    "/usr/lib",
    "/usr/lib/llvm-*/lib/clang/*/lib/linux",
)
ALLOCATORS = ("patalloc", "glibc", *_LIBRARIES)


class PointError(ValueError):
    """What was asked for can't be a point."""


def _find(allocator: str) -> str:
    """The path of its library; empty for the C library's own."""
    if allocator == "glibc":
        return ""
    if allocator == "patalloc":
        return str(library())
    if "/" in allocator:
        if not Path(allocator).is_file():
            raise PointError(f"allocator {allocator}: no such file")
        return str(Path(allocator).absolute())
    if allocator not in _LIBRARIES:
        allowed = ", ".join(ALLOCATORS)
        raise PointError(f"allocator {allocator}: must be {allowed}, or the path of a library")
    name = _LIBRARIES[allocator]
    folders = [*filter(None, os.environ.get("LD_LIBRARY_PATH", "").split(":")), *_FOLDERS]
    found = next((path for each in folders for path in sorted(glob(f"{each}/{name}"))), None)
    if found is None:
        raise PointError(f"allocator {allocator}: {name} is not installed")
    return found


@attrs.frozen
class Point:
    """One way of allocating.

    Attributes:
        allocator: a name of ALLOCATORS, or the path of a library.
        options: patalloc's, as PATALLOC_OPTIONS has them; "" for its defaults.
        library: the file that is preloaded; "" for none.
    """

    allocator: str
    options: str = ""
    library: str = attrs.field(init=False, eq=False, default="")

    def __attrs_post_init__(self) -> None:
        """Raises PointError where there is no such allocator, or option."""
        if self.options and self.allocator != "patalloc":
            raise PointError(f"{self.allocator}: has none of patalloc's options ({self.options})")
        try:
            Config.parse(self.options)
        except OptionError as error:
            raise PointError(str(error)) from None
        object.__setattr__(self, "library", _find(self.allocator))

    @classmethod
    def parse(cls, text: str) -> "Point":
        """An allocator, patalloc:OPTIONS, or its OPTIONS alone.

        Raises:
            PointError: it is none of these.
        """
        allocator, colon, options = text.partition(":")
        if "=" in allocator and "/" not in allocator:
            return cls("patalloc", text)
        return cls(allocator, options) if colon and "/" not in allocator else cls(text)

    @property
    def name(self) -> str:
        """By which it is known, and parsed again."""
        return f"{self.allocator}:{self.options}" if self.options else self.allocator

    def environment(self, base: Mapping[str, str], stats: Path | None = None) -> dict[str, str]:
        """What a program is to have in its environment for it.

        Args:
            base: the environment to start from.
            stats: the directory where patalloc's heaps are to leave theirs.
        """
        if self.allocator == "patalloc":
            config = Config.parse(self.options)
            if stats:
                config = attrs.evolve(config, stats=f"{stats}/stats.%p")
            return environment(config, base)
        kept = {name: value for name, value in base.items() if name != "PATALLOC_OPTIONS"}
        preloaded = " ".join(filter(None, [self.library, base.get("LD_PRELOAD")]))
        return kept | ({"LD_PRELOAD": preloaded} if preloaded else {})


def grid(lines: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Options of the heap's and the values that each is to have, of lines as "fill=auto,memset".

    Raises:
        PointError: one is no option, is there twice, or has no such value.
    """
    known = {option.name: option for option in heap_options()}
    found: dict[str, tuple[str, ...]] = {}
    for line in lines:
        name, equals, values = line.partition("=")
        if name not in known:
            raise PointError(f"grid {line}: {name} is none of the heap's options")
        if name in found:
            raise PointError(f"grid {line}: {name} is there twice")
        found[name] = tuple(re.split(r",", values)) if equals else ()
        if not found[name] or not all(found[name]):
            raise PointError(f"grid {line}: must be NAME=VALUE,VALUE,... ({known[name].allowed})")
        for value in found[name]:
            Point("patalloc", f"{name}={value}")
    return found


def points(values: Mapping[str, Sequence[str]], allocators: Iterable[str]) -> list[Point]:
    """Each allocator, and patalloc with each combination of the values.

    Raises:
        PointError: there is no such allocator, or an option has no such value.
    """
    combined = [
        ":".join(f"{name}={value}" for name, value in zip(values, chosen, strict=True))
        for chosen in itertools.product(*values.values())
    ]
    made = [
        Point(allocator, options)
        for allocator in allocators
        for options in (combined if allocator == "patalloc" else [""])
    ]
    return [*dict.fromkeys(made)]
