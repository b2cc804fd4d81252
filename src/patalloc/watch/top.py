"""Looks at a running heap: its live blocks by who allocated them, or else by their size.

What a look finds is of that moment; blocks that come and go between two looks are not seen.
"""

import re
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import attrs

from patalloc.watch.description import call_stack
from patalloc.watch.heapmap import Attached, Block, Map, Page
from patalloc.watch.symbols import Location, locate_in


@attrs.frozen
class Row:
    """Live blocks that belong together; bytes.

    Attributes:
        key: the call that asked for them, by its line where that is known, or else by its place;
            None where there is no call stack. Or the least size of their class, which ends at twice
            of it.
        blocks: how many. size: of them together, as requested.
        written: of their pages, those that were written, swapped ones among them.
        unwritten: of their pages, the others. Both are 0 where that is not known.
        since: of the oldest, milliseconds from the program's begin.
    """

    key: Location | int | None
    blocks: int
    size: int
    written: int
    unwritten: int
    since: int

    @property
    def share(self) -> float:
        """How much of them was never written, from 0 to 1."""
        return self.unwritten / (self.written + self.unwritten or 1)


_KEYS: dict[str, Callable[[Row], int]] = {
    "bytes": lambda row: row.size,
    "blocks": lambda row: row.blocks,
    "written": lambda row: row.written,
    "unwritten": lambda row: row.unwritten,
    "age": lambda row: -row.since,
}
KEYS = tuple(_KEYS)


@attrs.frozen
class Look:
    """A process at a moment.

    Attributes:
        map: its heap. command: its arguments.
        resident: bytes of it in memory; anonymous: of these, those that are of no file.
        is_known: which pages were written.
        new: live blocks that the last look did not find; None for the first one.
        seconds: since the last look.
        by_site: whether rows are by call stack, and not by size.
        rows: in no order.
    """

    map: Map
    command: str
    resident: int
    anonymous: int
    is_known: bool
    new: int | None
    seconds: float
    by_site: bool
    rows: tuple[Row, ...]

    def sorted(self, key: str) -> list[Row]:
        """Its rows, most of this (one of KEYS) first."""
        return sorted(self.rows, key=lambda row: (-_KEYS[key](row), -row.size))


# What asks for memory on others' behalf, in C++, Rust, Python and NumPy: functions, and the sources
# of libraries whose inlined functions have short names.
_FUNCTIONS = re.compile(
    r"operator new|(?:std|__gnu_cxx|alloc)::|__rust_|__rdl_"
    r"|_?Py(?:Mem|Object|DataMem)_\w*(?:Malloc|Calloc|Realloc|NEW|RENEW)"
    r"|pymalloc_|allocate_from_new_pool$|new_arena$|arena_map_|default_(?:malloc|calloc|realloc)$"
)
_SOURCES = re.compile(r"/include/c\+\+/|/rustc/\w+/library/")


def _passes_on(location: Location) -> bool:
    return bool(_FUNCTIONS.match(location.function or "") or _SOURCES.search(location.file or ""))


class Sites:
    """Where call stacks of a process asked for memory, each looked up once."""

    def __init__(self, process: Attached) -> None:
        """Of this process."""
        self._process = process
        self._known: dict[int, Location | None] = {0: None}

    def learn(self, numbers: Iterable[int]) -> None:
        """Look up those of call stacks that are not known yet."""
        for number in numbers:
            if number not in self._known:
                self._known[number] = self._look_up(call_stack(number))

    def _look_up(self, stack: tuple[int, ...]) -> Location | None:
        modules = self._process.image.modules
        if not all(any(each.start <= at < each.end for each in modules) for at in stack):
            modules = self._process.mapped().modules  # it has loaded another library since
        places = list(locate_in(stack, modules))
        wanted = (each for each in places if not _passes_on(each))
        found = next(wanted, places[0] if places else None)
        return attrs.evolve(found, offset=0) if found and found.line else found

    def of(self, number: int) -> Location | None:
        """That of a call stack that was learnt."""
        return self._known[number]


def _class(block: Block) -> int:
    return 1 << max(block.size.bit_length() - 1, 0)


def _rows(
    blocks: Iterable[Block], key_of: Callable[[Block], Location | int | None], page_size: int
) -> Iterator[Row]:
    groups: dict[Location | int | None, list[Block]] = {}
    for block in blocks:
        groups.setdefault(key_of(block), []).append(block)
    for key, members in groups.items():
        pages = [sum(counts) for counts in zip(*(each.counts for each in members), strict=True)]
        yield Row(
            key,
            len(members),
            sum(each.size for each in members),
            (pages[Page.WRITTEN] + pages[Page.HUGE] + pages[Page.SWAPPED]) * page_size,
            (pages[Page.UNTOUCHED] + pages[Page.READ]) * page_size,
            min(each.since for each in members),
        )


@attrs.define
class Top:
    """Looks at a process, one after the other.

    Attributes:
        process: it.
        naming: seconds of processor time that names took so far, which are looked up once.
    """

    process: Attached
    naming: float = attrs.field(default=0.0, init=False)
    _sites: Sites = attrs.field(
        default=attrs.Factory(lambda self: Sites(self.process), takes_self=True), init=False
    )
    _last: tuple[float, set[tuple[int, int, int]]] | None = attrs.field(default=None, init=False)

    def _name(self, blocks: Iterable[Block]) -> None:
        began = time.process_time()
        self._sites.learn({each.stack for each in blocks})
        self.naming += time.process_time() - began

    def look(self) -> Look:
        """At its heap now.

        Raises:
            OSError, ValueError: as Attached.read.
        """
        found, now = self.process.read(), time.monotonic()
        live = [each for each in found.blocks if each.is_live]
        by_site = any(each.stack for each in live)
        if by_site:
            self._name(live)
        rows = _rows(
            live,
            (lambda block: self._sites.of(block.stack)) if by_site else _class,
            found.page_size,
        )
        blocks = {(each.address, each.size, each.since) for each in live}
        then, before = self._last or (now, blocks)
        new = len(blocks - before) if self._last else None
        self._last = now, blocks
        folder = Path("/proc", str(found.pid))
        command = (folder / "cmdline").read_bytes().rstrip(b"\0").replace(b"\0", b" ")
        _, resident, shared, *_ = map(int, (folder / "statm").read_text().split())
        return Look(
            found,
            command.decode(errors="backslashreplace"),
            resident * found.page_size,
            (resident - shared) * found.page_size,
            self.process.blind is None,
            new,
            now - then,
            by_site,
            tuple(rows),
        )
