"""Heap and Block: memory that comes filled with a pattern, for Python programs and experiments."""

import errno
import operator
from collections.abc import Iterable, Mapping
from contextlib import suppress
from types import TracebackType
from typing import Any, NoReturn, Self, SupportsIndex
from weakref import WeakSet

import attrs

from patalloc import standard_error
from patalloc._core import ffi, lib
from patalloc._exporter import Exporter
from patalloc.errors import OptionError, PreloadError
from patalloc.heap.config import Config
from patalloc.heap.stats import Stats

_SIZE_MAX = int(ffi.cast("size_t", -1))
_FILLS = {
    lib.PATALLOC_FILL_REFPAGE: "refpage",
    lib.PATALLOC_FILL_MEMSET: "memset",
    lib.PATALLOC_FILL_ZERO: "zero",
    lib.PATALLOC_FILL_NONE: "none",
    lib.PATALLOC_FILL_FAILED: "failed",
}


@attrs.frozen
class BlockInfo:
    """What the heap knows of a large block.

    Attributes:
        fill: how it got its content: refpage, memset, zero (calloc), none, or failed (zeros).
        guard_before: bytes before its first page that are certain to be inaccessible.
        guard_after: the same after its last page.
        pages: that it spans.
        dirty_pages: how many of them were written, and so take memory (PAGEMAP_SCAN, or the entries
            of /proc/self/pagemap; both in proc(5)); None where that cannot be told.
        tag: its Arm memory tag, 0 to 15 (arch/arm64/memory-tagging-extension in the kernel's
            documentation); None where blocks have none.
    """

    fill: str
    guard_before: int
    guard_after: int
    pages: int
    dirty_pages: int | None
    tag: int | None


class _Unique:
    """What owns memory of the core's, which a second object must not own as well."""

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        """Refuse copy.copy, copy.deepcopy and pickle."""
        raise TypeError(f"a {type(self).__name__} can be neither copied nor pickled")


class Block(_Unique, Exporter):
    """One allocation; an object with the buffer protocol: memoryview(block), numpy.asarray(block).

    It is freed by `free`, by its heap, at the end of a with statement, or when nothing refers to it
    any more; but never while views of it exist.
    """

    def __init__(self, heap: "Heap", address: int, size: int) -> None:
        """Made by Heap's methods only."""
        super().__init__(address, size)
        self._heap = heap
        self._address = address
        self._size = size
        self._freed = False

    def _live(self) -> Any:  # noqa: ANN401 (cffi has no types)
        if self._freed:
            raise ValueError("the block has been freed")
        return ffi.cast("void *", self._address)

    @property
    def address(self) -> int:
        """Where it starts, with its tag if it has one. Raises ValueError once it is freed."""
        self._live()
        return self._address

    @property
    def size(self) -> int:
        """The bytes requested. Raises ValueError once it is freed."""
        self._live()
        return self._size

    @property
    def usable_size(self) -> int:
        """The bytes that may be used: for a large block without a tag, to its last page's end."""
        return int(lib.patalloc_usable_size(self._heap._handle(), self._live()))

    @property
    def tag(self) -> int | None:
        """Its Arm memory tag, which its address carries; None for a block without."""
        return self.info.tag if self.info else None

    @property
    def info(self) -> BlockInfo | None:
        """What the heap knows of it; None for a small one, of which it keeps no record."""
        found = ffi.new("struct patalloc_block *")
        if lib.patalloc_inspect(self._heap._handle(), self._live(), found):
            return None
        return BlockInfo(
            fill=_FILLS[found.fill],
            guard_before=found.guard_before,
            guard_after=found.guard_after,
            pages=found.pages,
            dirty_pages=None if found.dirty_pages < 0 else found.dirty_pages,
            tag=None if found.tag < 0 else found.tag,
        )

    def _withdraw(self) -> int:
        address = self.withdraw()
        self._freed = True
        return address

    def free(self) -> None:
        """Give it back to its heap.

        Raises:
            BufferError: views of it exist.
            ValueError: it has been freed.
        """
        self._live()
        handle = self._heap._handle()
        lib.patalloc_free(handle, ffi.cast("void *", self._withdraw()))

    def __len__(self) -> int:
        """The bytes requested."""
        return self.size

    def __enter__(self) -> Self:
        """The block itself, freed at the end of the with statement."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Free it, unless that has been done."""
        if not self._freed:
            self.free()

    def __del__(self) -> None:
        """Free what nobody refers to any more."""
        if not getattr(self, "_freed", True) and self._heap._pointer is not None:
            self.free()

    def __repr__(self) -> str:
        """Its address and size, or that it was freed."""
        if self._freed:
            return "<Block, freed>"
        return f"<Block of {self._size} bytes at {self._address:#x}>"


def _check_names(options: Iterable[str]) -> None:
    known = {field.name for field in attrs.fields(Config)}
    for name in set(options) - known:
        raise OptionError(f"{name}: no such option; allowed: {', '.join(sorted(known))}")


def _configure(
    function: Any,  # noqa: ANN401 (cffi has no types)
    heap: Any,  # noqa: ANN401
    config: Config,
    options: Mapping[str, Any],
) -> Config:
    _check_names(options)
    changed = attrs.evolve(config, **options)
    capacity = 8192
    complaint = ffi.new("char[]", capacity)
    if function(heap, str(changed).encode(), complaint, capacity):
        if ffi.errno == errno.ENOMEM:
            raise MemoryError("no memory for blocks with another pattern")
        raise OptionError(ffi.string(complaint).decode())
    return changed


def _integer(value: int, what: str) -> int:
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise TypeError(f"{what} {value!r}: must be an int, not {type(value).__name__}")
    return operator.index(value)


def _size(value: int, what: str) -> int:
    number = _integer(value, what)
    if number < 0:
        raise ValueError(f"{what} {number}: must not be negative")
    return min(number, _SIZE_MAX)  # the core refuses what no address space holds


class Heap(_Unique):
    """A heap whose memory holds a pattern until the program writes it.

    Takes a Config, or the options of one by keyword.

    >>> with Heap(pattern=0x5A) as heap:
    ...     block = heap.malloc(1_000_000)
    ...     bytes(memoryview(block)[:4]).hex()
    '5a5a5a5a'

    All methods are thread-safe but `close`, which no other thread may be in the middle of another
    method for.

    Raises:
        OptionError: (a ValueError) an option is bad; the message says what is allowed.
        MemoryError: there is no memory for the heap itself.
        TypeError: what is given is no Config.
    """

    def __init__(self, config: Config | None = None, /, **options: Any) -> None:  # noqa: ANN401
        """Start the heap; see the class."""
        self._pointer: Any = None
        self._blocks: WeakSet[Block] = WeakSet()
        _check_names(options)
        if config is not None and not isinstance(config, Config):
            raise TypeError(f"config {config!r}: must be a Config, not {type(config).__name__}")
        if config is not None and options:
            raise OptionError("give a Config or options by keyword, not both")
        self.config = Config(**options) if config is None else config
        lib.report_to(standard_error.descriptor())
        pointer = lib.patalloc_heap_create(str(self.config).encode(), ffi.NULL, 0)
        if pointer == ffi.NULL:
            raise MemoryError("no memory for a heap")
        self._pointer = pointer

    def _handle(self) -> Any:  # noqa: ANN401 (cffi has no types)
        if self._pointer is None:
            raise ValueError("the heap is closed")
        return self._pointer

    def _block(self, pointer: Any, size: int) -> Block:  # noqa: ANN401 (cffi has no types)
        if pointer == ffi.NULL:
            raise MemoryError(f"{size} bytes could not be allocated")
        block = Block(self, int(ffi.cast("uintptr_t", pointer)), size)
        self._blocks.add(block)
        return block

    def malloc(self, size: int) -> Block:
        """A block of `size` bytes, all holding the pattern, at a multiple of 16.

        Raises:
            MemoryError: there is no address space or memory for it.
            TypeError: the size is no int.
            ValueError: the size is negative, or the heap is closed.
        """
        size = _size(size, "size")
        return self._block(lib.patalloc_malloc(self._handle(), size), size)

    def calloc(self, count: int, size: int) -> Block:
        """A block of `count` times `size` bytes of zeros. Raises as `malloc` does."""
        count, size = _size(count, "count"), _size(size, "size")
        pointer = lib.patalloc_calloc(self._handle(), count, size)
        return self._block(pointer, count * size)

    def aligned_alloc(self, alignment: int, size: int) -> Block:
        """A block as `malloc` gives it, at a multiple of `alignment` bytes.

        Raises:
            MemoryError: as `malloc`.
            ValueError: as `malloc`, or the alignment is not a power of two.
        """
        alignment, size = _integer(alignment, "alignment"), _size(size, "size")
        if alignment <= 0 or alignment & (alignment - 1):
            raise ValueError(f"alignment {alignment}: must be a power of two")
        pointer = lib.patalloc_aligned_alloc(self._handle(), min(alignment, _SIZE_MAX), size)
        return self._block(pointer, size)

    def realloc(self, block: Block, size: int) -> Block:
        """A block of `size` bytes with the content of `block`, which is used up.

        What it has grown by holds the pattern.

        Raises:
            BufferError: views of `block` exist.
            MemoryError: there is no room; `block` is as it was.
            ValueError: `block` has been freed or is another heap's, or `size` is not positive.
        """
        size = _integer(size, "size")
        if size <= 0:
            raise ValueError(f"size {size}: must be positive; use free for 0")
        size = min(size, _SIZE_MAX)
        self._own(block)
        handle, before = self._handle(), block.size
        address = block._withdraw()
        pointer = lib.patalloc_realloc(handle, ffi.cast("void *", address), size)
        if pointer == ffi.NULL:
            block.__init__(self, address, before)  # type: ignore[misc]
        return self._block(pointer, size)

    def free(self, block: Block) -> None:
        """Free a block of this heap's. Raises as Block.free does."""
        self._own(block)
        block.free()

    def _own(self, block: Block) -> None:
        if not isinstance(block, Block):
            raise TypeError(f"block {block!r}: must be a Block, not {type(block).__name__}")
        if block._heap is not self:
            raise ValueError(f"{block!r} belongs to another heap")

    def configure(self, **options: Any) -> None:  # noqa: ANN401
        """Change options from now on; what was allocated before stays as it is.

        Those that can be changed: pattern (but not to or from none), threshold, delay, small_fill,
        cache_size, retain_size, on_free, quarantine_size, quarantine_blocks, release_interval,
        stacks, on_error and count.

        >>> heap = Heap()
        >>> heap.configure(threshold="64K", on_free="quarantine")
        >>> heap.config.threshold
        65536

        Raises:
            MemoryError: there is no memory for blocks with another pattern; none is changed.
            OptionError: (a ValueError) an option is bad, or can't be changed any more; likewise.
            ValueError: the heap is closed.
        """
        function = lib.patalloc_configure
        self.config = _configure(function, self._handle(), self.config, options)

    def check(self) -> int:
        """Look for what was written around live blocks, and to freed ones that wait.

        As far as slack_check has blocks looked at, of all heaps of this process. What is found is
        reported; with on_error=abort (the default) the process ends then. Returns how many errors
        were found.
        """
        return int(lib.patalloc_check(self._handle()))

    def release(self) -> int:
        """Unmap what freed blocks have left mapped; returns the bytes of address space."""
        return int(lib.patalloc_release(self._handle()))

    def written(self) -> int | None:
        """The bytes of large blocks' pages that were written, wherever blocks were freed.

        Those of live blocks are looked at now, those of freed ones count with count=yes: so the
        difference of two calls is what was written in between. Whole pages count, each once a
        block; also those that the heap itself has filled, made or kept for its next blocks. None
        where it can't be told (see BlockInfo.dirty_pages).

        >>> with Heap(count=True) as heap:
        ...     before = heap.written()
        ...     with heap.malloc(1_000_000) as block:
        ...         memoryview(block)[500_000] = 1
        ...     heap.written() - before
        4096
        """
        return _written(lib.patalloc_written, self._handle())

    def stats(self) -> Stats:
        """The heap's counters now."""
        return _read_stats(lib.patalloc_stats, self._handle())

    def clear(self) -> None:
        """Free all blocks.

        Raises:
            BufferError: views of a block exist; no block is freed then.
        """
        blocks = [block for block in self._blocks if not block._freed]
        viewed = [block for block in blocks if block.exports]
        if viewed:
            raise BufferError(f"{viewed[0]!r} has exported views; release them first")
        for block in blocks:
            block.free()

    def close(self) -> None:
        """Free all blocks and end the heap; a second time does nothing.

        Raises:
            BufferError: as clear.
        """
        if self._pointer is None:
            return
        self.clear()
        pointer, self._pointer = self._pointer, None
        lib.patalloc_heap_destroy(pointer)

    def __enter__(self) -> Self:
        """The heap itself, closed at the end of the with statement."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close it."""
        self.close()

    def __del__(self) -> None:
        """Close it; blocks keep their heap alive, so none is left but at interpreter exit."""
        with suppress(BufferError):
            self.close()


def _read_stats(function: Any, heap: Any) -> Stats:  # noqa: ANN401 (cffi has no types)
    capacity = 8192
    buffer = ffi.new("char[]", capacity)
    function(heap, buffer, capacity)
    return Stats.from_json(ffi.string(buffer))


def _written(function: Any, heap: Any) -> int | None:  # noqa: ANN401 (cffi has no types)
    written = int(function(heap))
    return None if written < 0 else written


class ProcessHeap:
    """The heap behind malloc(3) in a process that runs under libpatalloc.so."""

    def __init__(self) -> None:
        """Find it; raises PreloadError where this process has none."""
        find = lib.dlsym(ffi.NULL, b"patalloc_process_heap")
        self._stats = ffi.cast(
            "size_t (*)(patalloc_heap *, char *, size_t)", lib.dlsym(ffi.NULL, b"patalloc_stats")
        )
        self._release = ffi.cast(
            "size_t (*)(patalloc_heap *)", lib.dlsym(ffi.NULL, b"patalloc_release")
        )
        self._check = ffi.cast(
            "size_t (*)(patalloc_heap *)", lib.dlsym(ffi.NULL, b"patalloc_check")
        )
        self._written = ffi.cast(
            "int64_t (*)(patalloc_heap *)", lib.dlsym(ffi.NULL, b"patalloc_written")
        )
        self._change = ffi.cast(
            "int (*)(patalloc_heap *, const char *, char *, size_t)",
            lib.dlsym(ffi.NULL, b"patalloc_configure"),
        )
        if find == ffi.NULL:
            raise PreloadError(
                "this process does not run under libpatalloc.so; start it with `patalloc run`"
            )
        self._pointer = ffi.cast("patalloc_heap *(*)(void)", find)()

    def written(self) -> int | None:
        """The bytes of its large blocks' pages that were written; as Heap.written."""
        return _written(self._written, self._pointer)

    def stats(self) -> Stats:
        """Its counters now."""
        return _read_stats(self._stats, self._pointer)

    @property
    def config(self) -> Config:
        """Its options now."""
        return Config.parse(self.stats().options)

    def configure(self, **options: Any) -> None:  # noqa: ANN401
        """Change options from now on; as Heap.configure."""
        _configure(self._change, self._pointer, self.config, options)

    def check(self) -> int:
        """Look at all blocks now; as Heap.check."""
        return int(self._check(self._pointer))

    def release(self) -> int:
        """Unmap what freed blocks have left mapped; returns the bytes of address space."""
        return int(self._release(self._pointer))


def process_heap() -> ProcessHeap:
    """The heap behind malloc(3) in this process.

    Raises:
        PreloadError: the process does not run under libpatalloc.so.
    """
    return ProcessHeap()


def fresh(memory: Any) -> None:  # noqa: ANN401 (a buffer; no type before Python 3.12)
    """Mark memory that a pool of the program's own hands out, and that nobody has written.

    It holds the pattern of the heap behind malloc(3) from here on, and `patalloc hunt` looks at it
    as at a block of malloc's. Nothing happens in a process that does not run under libpatalloc.so.

    Args:
        memory: writable; all bytes of it are meant.

    Raises:
        TypeError, ValueError, BufferError: it is no such buffer.
    """
    with memoryview(memory) as view:
        if view.readonly:
            raise ValueError("memory that is read-only can't be fresh")
        mark = lib.dlsym(ffi.NULL, b"patalloc_process_fresh")
        if mark:
            ffi.cast("void (*)(void *, size_t)", mark)(ffi.from_buffer(view), view.nbytes)


def note(text: str | None) -> None:
    """Say what the calling thread is at from here on: a test, a request.

    It is kept with each allocation and free, and told in reports: "during test_b; allocated during
    test_a". What the first thread says holds for threads that have said nothing. Nothing happens in
    a process that does not run under libpatalloc.so.

    Args:
        text: of it the first 2,047 bytes; None for nothing.

    Raises:
        TypeError: it is no string.
    """
    if text is not None and not isinstance(text, str):
        raise TypeError(f"a note is a string, or None; this is {type(text).__name__}")
    say = lib.dlsym(ffi.NULL, b"patalloc_process_note")
    if say:
        said = (
            ffi.NULL if text is None else text.replace("\0", "").encode(errors="backslashreplace")
        )
        ffi.cast("void (*)(const char *)", say)(said)


def recording(*, on: bool) -> bool:
    """Under `patalloc record`: have what is requested recorded from here on, or no more.

    Blocks that are freed meanwhile count as live until their address is used again.

    Returns:
        Whether it was recorded before; False in a process that is not recorded.
    """
    switch = lib.dlsym(ffi.NULL, b"patalloc_process_recording")
    return bool(switch and ffi.cast("int (*)(int)", switch)(on))


_default: Heap | None = None


def default_heap() -> Heap:
    """The heap of the module-level functions, made on first use with the default options."""
    global _default
    if _default is None:
        _default = Heap()
    return _default


def malloc(size: int) -> Block:
    """A block of the default heap's; see Heap.malloc."""
    return default_heap().malloc(size)


def free(block: Block) -> None:
    """Free a block of the default heap's; see Heap.free."""
    default_heap().free(block)
