"""Heap and Block."""

import copy
import doctest
import gc
import pickle
import re
import resource
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib import metadata
from pathlib import Path

import attrs
import numpy as np
import pytest

import patalloc
from conftest import FALLBACKS
from patalloc import Config, Heap, OptionError, PreloadError, Stats
from patalloc._core import ffi, lib
from patalloc.machine import features
from patalloc.watch import events

LARGE = 1_000_000
PAGE = resource.getpagesize()


@pytest.fixture
def heap() -> Iterator[Heap]:
    with Heap() as heap:
        yield heap


@pytest.mark.parametrize("module", [patalloc.heap.config, patalloc.heap.heap])
def test_docstrings(module: object) -> None:
    tried = doctest.testmod(module)  # type: ignore[arg-type]
    assert tried.attempted
    assert not tried.failed


@pytest.mark.parametrize("options", ["", *FALLBACKS])
@pytest.mark.parametrize("size", [100, LARGE])
def test_fresh_memory_holds_the_pattern(size: int, options: str) -> None:
    config = attrs.evolve(Config.parse(options), pattern=0xDEADBEEF)
    with Heap(config) as heap:
        for _ in range(2):
            with heap.malloc(size) as block:
                words = np.frombuffer(block, "<u4", size // 4 - 1, -block.address % 4)
                assert (words == 0xDEADBEEF).all()
                words[:] = 0
                del words


def test_calloc_is_zero(heap: Heap) -> None:
    for _ in range(2):
        with heap.calloc(1000, 1000) as block:
            assert bytes(block) == bytes(LARGE)
            memoryview(block)[:] = b"x" * LARGE


@pytest.mark.parametrize("alignment", [1, 16, 4096, 1 << 16, 1 << 21, 1 << 30])
@pytest.mark.parametrize("size", [10, LARGE])
def test_alignment(heap: Heap, size: int, alignment: int) -> None:
    with heap.aligned_alloc(alignment, size) as block:
        assert block.address % alignment == 0
        assert bytes(block) == b"\xab" * size


def test_realloc(heap: Heap) -> None:
    block = heap.malloc(100)
    for size in (LARGE, 5 * LARGE, 40 * LARGE, 2 * LARGE, 200):
        memoryview(block)[:] = bytes(range(256)) * (len(block) // 256) + bytes(len(block) % 256)
        before = bytes(block)
        old, block = block, heap.realloc(block, size)
        after = bytes(block)
        kept = min(size, len(before))
        assert after[:kept] == before[:kept]
        assert after[kept:] == b"\xab" * (size - kept)
        with pytest.raises(ValueError, match="freed"):
            memoryview(old)


def test_failed_realloc_keeps_the_block(heap: Heap) -> None:
    block = heap.malloc(LARGE)
    memoryview(block)[:2] = b"ab"
    with pytest.raises(MemoryError):
        heap.realloc(block, 1 << 60)
    assert bytes(memoryview(block)[:3]) == b"ab\xab"
    block.free()


def test_views_keep_a_block_from_being_freed(heap: Heap) -> None:
    block = heap.malloc(LARGE)
    view = memoryview(block)
    array = np.asarray(block)
    for attempt in (block.free, lambda: heap.realloc(block, 10), heap.close):
        with pytest.raises(BufferError):
            attempt()
    array[5] = 7
    assert view[5] == 7
    view.release()
    with pytest.raises(BufferError, match="1 exported"):
        block.free()
    del array
    block.free()


def test_use_after_free_is_an_error(heap: Heap) -> None:
    block = heap.malloc(LARGE)
    block.free()
    for attempt in (
        block.free,
        lambda: heap.free(block),
        lambda: memoryview(block),
        lambda: block.address,
        lambda: block.usable_size,
        lambda: heap.realloc(block, 9),
    ):
        with pytest.raises(ValueError, match="freed"):
            attempt()
    assert repr(block) == "<Block, freed>"


def test_bad_requests(heap: Heap) -> None:
    for attempt in (
        lambda: heap.malloc(-1),
        lambda: heap.calloc(-1, 1),
        lambda: heap.calloc(1, -1),
        lambda: heap.aligned_alloc(48, 1),
        lambda: heap.aligned_alloc(0, 1),
        lambda: heap.aligned_alloc(16, -1),
        lambda: heap.realloc(heap.malloc(1), 0),
    ):
        with pytest.raises(ValueError, match="must"):
            attempt()
    for size in (1 << 48, (1 << 63) - 1, 1 << 63, 1 << 64, 1 << 80):
        with pytest.raises(MemoryError):
            heap.malloc(size)
        with pytest.raises(MemoryError):
            heap.calloc(size, size)
    with pytest.raises(OptionError, match="colour: no such option"):
        Heap(colour=1)
    with pytest.raises(OptionError, match="not both"):
        Heap(Config(), pattern=0)


def test_another_heaps_block(heap: Heap) -> None:
    with Heap() as other, other.malloc(LARGE) as block:
        for attempt in (lambda: heap.free(block), lambda: heap.realloc(block, 1)):
            with pytest.raises(ValueError, match="another heap"):
                attempt()


def test_closed_heap() -> None:
    heap = Heap()
    block = heap.malloc(LARGE)
    heap.close()
    heap.close()
    with pytest.raises(ValueError, match="freed"):
        block.free()
    with pytest.raises(ValueError, match="closed"):
        heap.malloc(1)


def test_forgotten_blocks_are_freed(heap: Heap) -> None:
    for _ in range(10):
        heap.malloc(LARGE)
    gc.collect()
    assert heap.stats().blocks_live == 0
    assert heap.stats().frees == 10


@pytest.mark.parametrize("options", ["", "without=pagemap_scan"])
def test_info(options: str) -> None:
    with Heap(Config.parse(options)) as heap, heap.malloc(LARGE) as block:
        info = block.info
        assert info is not None
        assert (info.fill, info.pages, info.dirty_pages) == ("refpage", 245, 0)
        assert (info.guard_before, info.guard_after) == (4096, 4096)
        with memoryview(block) as view:
            assert sum(view[::4096]) == 0xAB * len(range(0, LARGE, 4096))  # reads dirty nothing
            view[0] = view[-1] = 1
        assert block.info is not None
        assert block.info.dirty_pages == 2
    with Heap(without="proc") as heap, heap.malloc(LARGE) as block:
        assert block.info is not None
        assert block.info.dirty_pages is None
    with Heap() as heap, heap.malloc(10) as block:
        assert block.info is None


@pytest.mark.parametrize(
    ("options", "fill", "counter"),
    [
        ("", "refpage", "blocks_refpage"),
        ("fill=memset", "memset", "blocks_memset"),
        ("without=memfd", "memset", "fallback_no_refpage"),
        ("backend=syscall:100000", "memset", "fallback_no_refpage"),
        ("backend=device", "memset", "fallback_no_refpage"),
        ("backend=wrap:without=mmap_wrap", "memset", "fallback_no_refpage"),
        ("pattern=none", "none", "blocks_unpatterned"),
        ("pattern=zero:backend=zero", "refpage", "blocks_refpage"),
    ],
)
def test_fill_and_why(options: str, fill: str, counter: str) -> None:
    with Heap(Config.parse(options)) as heap, heap.malloc(LARGE) as block:
        assert block.info is not None
        assert block.info.fill == fill
        assert getattr(heap.stats(), counter) == 1


def test_stats() -> None:
    with Heap(pattern=0x3D) as heap:  # its own: a refpage that gets longer spans gives places back
        first, second = heap.malloc(LARGE), heap.malloc(2 * LARGE)
        first.free()
        third = heap.malloc(LARGE)
        stats = heap.stats()
        assert (stats.blocks, stats.blocks_live, stats.blocks_peak) == (3, 2, 2)
        assert (stats.bytes_live, stats.bytes_peak, stats.bytes_refpage) == (
            3 * LARGE,
            3 * LARGE,
            4 * LARGE,
        )
        assert (stats.frees, stats.blocks_reused, stats.backend) == (1, 1, "memfd")
        assert stats.options == str(heap.config)
        assert "memfd" in stats.features
        second.free()
        third.free()


@pytest.mark.parametrize(
    ("options", "calloc", "backend"),
    [
        ("", False, "memfd"),
        ("", True, "none yet"),
        ("fill=memset", False, "none"),
        ("pattern=zero", False, "zero"),
        ("backend=syscall:9999", False, "none"),  # ENOSYS
        ("backend=syscall:319", False, "none"),  # x86-64's memfd_create(2): of an empty file
        ("backend=syscall:290", False, "none"),  # its eventfd2(2): what can't be mapped
    ],
)
def test_stats_name_a_backend_that_supplied_a_block(
    options: str, calloc: bool, backend: str
) -> None:
    with Heap(Config.parse(options)) as heap:
        assert heap.stats().backend == "none yet"
        with heap.calloc(1, LARGE) if calloc else heap.malloc(LARGE) as block:
            view = memoryview(block)
            assert view[0] == view[LARGE - 1] == (0 if calloc or "zero" in options else 0xAB)
            del view
            assert heap.stats().backend == backend


@pytest.mark.parametrize("count", [True, False])
def test_first_accesses_are_counted_by_uffd(count: bool) -> None:
    able = any(each.name == "userfaultfd" and each.available for each in features())
    pattern = 0x40 + count  # heaps with one pattern share its refpage, and so these counters
    config = Config.parse(f"backend=uffd:fill=refpage:slack_check=no:pattern={pattern}")
    with Heap(attrs.evolve(config, count=count)) as heap, heap.malloc(1000 * PAGE) as block:
        view = memoryview(block)
        assert all(view[page * PAGE] == pattern for page in range(300))
        for page in range(100, 500):
            view[page * PAGE] = page % 256
        assert all(view[page * PAGE] == page % 256 for page in range(100, 500))
        del view
        stats = heap.stats()
    found = (stats.pages_read_first, stats.pages_written_first, stats.pages_written_later)
    assert found == ((300, 200, 200 if count else 0) if able else (0, 0, 0))


def test_density() -> None:
    with Heap(count=True) as heap:
        with heap.malloc(409600) as block, memoryview(block) as view:
            view[: 50 * 4096] = bytes(50 * 4096)
        stats = heap.stats()
        assert stats.density == pytest.approx(0.5, abs=0.02)
    assert Heap().stats().density is None


def test_release(heap: Heap) -> None:
    heap.malloc(LARGE).free()
    before = heap.stats().vmas
    assert heap.release() >= LARGE
    assert heap.stats().vmas < before
    assert heap.release() == 0


def test_release_gives_every_run_back(heap: Heap) -> None:
    before = heap.stats().runs
    for size in (LARGE, 10 * LARGE, 100 * LARGE):
        blocks = [heap.malloc(size) for _ in range(5)]
        blocks[0] = heap.realloc(blocks[0], 2 * size)
        for block in blocks:
            block.free()
    assert heap.stats().runs > before
    heap.release()
    assert heap.stats().runs == before
    assert heap.stats().runs_released > 0


def test_reports_and_stats_leave_no_descriptor(tmp_path: Path) -> None:
    """Nor does a heap that is gone. In a process of its own, whose first report it is."""
    code = f"""
import os, patalloc
from patalloc._core import ffi, lib
patalloc.Heap().malloc(10**6).free()
before = os.listdir("/proc/self/fd")
options = {{"report": "{tmp_path}/report", "stats": "{tmp_path}/stats"}}
with patalloc.Heap(**options, on_error="continue", stacks=4) as heap:
    block = heap.malloc(10**6)
    pointer = ffi.cast("void *", block.address)
    block.free()
    lib.patalloc_free(heap._handle(), pointer)
    print(heap.stats().errors, os.listdir("/proc/self/fd") == before)
print(os.listdir("/proc/self/fd") == before)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["1", "True", "True"]
    assert (tmp_path / "stats").stat().st_size
    assert (tmp_path / "report").read_text().count('"double-free"') == 1


def test_stacks_are_as_deep_as_they_are_to_be_now(tmp_path: Path) -> None:
    code = f"""
import ctypes, patalloc
heap = patalloc.Heap(report="{tmp_path}/report", stacks=1)
for round in range(20):
    if round == 10:
        heap.configure(stacks=16)
    block = heap.malloc(1 << 20)
ctypes.memset(block.address + (1 << 20), 1, 1)
"""
    subprocess.run([sys.executable, "-c", code], capture_output=True)
    (event,) = events.read((tmp_path / "report").read_text())
    assert event.block
    assert len(event.block.allocated.stack) > 1


def test_module_functions() -> None:
    block = patalloc.malloc(LARGE)
    assert bytes(memoryview(block)[:4]) == b"\xab" * 4
    patalloc.free(block)


def test_process_heap_is_configured() -> None:
    code = (
        "import patalloc; heap = patalloc.process_heap(); heap.configure(threshold='1M');"
        "b = bytearray(500_000); print(heap.config.threshold, heap.stats().blocks)\n"
        "try: heap.configure(tag=1)\n"
        "except ValueError as error: print(error)"
    )
    command = [sys.executable, "-m", "patalloc", "run", "--threshold=64M", "--guard-small=0"]
    command += ["--", sys.executable, "-c", code]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    first, second = result.stdout.splitlines()
    assert first == "1048576 0"
    assert second.startswith("tag: can't be changed")


def test_process_heap() -> None:
    with pytest.raises(PreloadError, match="patalloc run"):
        patalloc.process_heap()
    code = (
        "import patalloc; b = bytearray(10**6); print(patalloc.process_heap().stats().blocks_live)"
    )
    command = [sys.executable, "-m", "patalloc", "run", "--", sys.executable, "-c", code]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert int(result.stdout) >= 1
    code = "import patalloc; bytearray(10**6); print(patalloc.process_heap().release())"
    result = subprocess.run([*command[:-1], code], capture_output=True, text=True, check=True)
    assert int(result.stdout) >= 10**6


def test_its_own_heaps_under_the_library() -> None:
    code = "import patalloc; h = patalloc.Heap(pattern=0x11); print(bytes(h.malloc(10**6))[:2])"
    command = [sys.executable, "-m", "patalloc", "run", "--", sys.executable, "-c", code]
    assert subprocess.run(command, capture_output=True, text=True).stdout == "b'\\x11\\x11'\n"


@pytest.mark.parametrize("offset", ["-4096 - block.address % 4096 % 4096", "block.usable_size"])
@pytest.mark.parametrize("options", ["", "without=guard_regions"])
def test_guards_fault(offset: str, options: str) -> None:
    code = (
        "import ctypes, patalloc\n"
        f"block = patalloc.Heap(patalloc.Config.parse('{options}')).malloc({LARGE})\n"
        f"ctypes.c_char.from_address(block.address + {offset}).value\n"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == -signal.SIGSEGV


def test_import_is_light() -> None:
    code = "import patalloc, sys; print(*sys.modules)"
    modules = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout
    assert not {"click", "rich", "numpy", "subprocess"} & set(modules.split())


def test_stats_fields_are_the_cores() -> None:
    raw = ffi.new("char[]", 8192)
    handle = lib.patalloc_heap_create(b"", ffi.NULL, 0)
    lib.patalloc_stats(handle, raw, 8192)
    lib.patalloc_heap_destroy(handle)
    Stats.from_json(ffi.string(raw))  # an unknown or a missing name raises


@pytest.mark.parametrize("capacity", [0, 1, 2, 100, 8192])
def test_the_length_of_the_stats_does_not_depend_on_the_room(capacity: int) -> None:
    raw, whole = ffi.new("char[]", 8192), ffi.new("char[]", 8192)
    handle = lib.patalloc_heap_create(b"", ffi.NULL, 0)
    length = lib.patalloc_stats(handle, whole, 8192)
    assert lib.patalloc_stats(handle, raw if capacity else ffi.NULL, capacity) == length
    assert ffi.string(raw) == ffi.string(whole)[: max(capacity - 1, 0)]
    lib.patalloc_heap_destroy(handle)


@pytest.mark.parametrize("pattern", ["none", "zero", 0])
def test_zeros_need_no_file(pattern: object) -> None:
    with Heap(pattern=pattern) as heap:
        assert not any(memoryview(heap.malloc(LARGE)))
        assert heap.stats().backend == "zero"


@pytest.mark.parametrize("tag", ["auto", 5, "off"])
def test_tags_where_there_are_none(tag: object) -> None:
    with Heap(tag=tag, without="mte") as heap:
        block = heap.malloc(1_000_000)
        assert bytes(memoryview(block)) == b"\xab" * 1_000_000
        assert (block.tag, block.address >> 56) == (None, 0)
        assert heap.malloc(100).tag is None


@pytest.mark.parametrize("options", [{"tag": 16}, {"tag": "red"}, {"tag_check": "never"}])
def test_bad_tags(options: dict[str, object]) -> None:
    with pytest.raises(OptionError, match="allowed"):
        Heap(**options)


def test_options_that_can_be_changed() -> None:
    with Heap(on_error="continue") as heap:
        small = heap.malloc(70_000)
        assert small.info is None
        heap.configure(threshold="64K", small_fill="no", stacks="8/2", retain_size=0)
        assert heap.malloc(70_000).info is not None
        small.free()
        assert (heap.config.threshold, heap.config.stacks, heap.config.retain_size) == (
            65536,
            "8/2",
            0,
        )
        assert Config.parse(heap.stats().options) == heap.config
        heap.configure(pattern="0xab", threshold=131072)  # the same pattern
        assert heap.malloc(70_000).info is None


CHECKED = "slack_check=all:small_fill=both:on_error=continue"


@pytest.mark.parametrize(
    "options",
    [
        *("", "fill=refpage", "fill=memset", "backend=none", "on_free=reset", "on_free=quarantine"),
        *(
            "guard_small=all",
            "guard_small=all:delay=0",
            "without=mremap_dontunmap",
            "retain_size=0",
        ),
    ],
)
def test_a_pattern_that_changes(options: str) -> None:
    with Heap(Config.parse(f"{CHECKED}:{options}")) as heap:
        blocks = {size: heap.malloc(size) for size in (100, LARGE, 3 * LARGE)}
        zeros = heap.calloc(1, LARGE)
        for number, pattern in enumerate((0x11, 0x7FFF, 0x11, 0xAB)):
            heap.configure(pattern=pattern)
            fresh = pattern.to_bytes(2 if pattern > 0xFF else 1, sys.byteorder)
            for size in (100, LARGE, 3 * LARGE):
                for block in [heap.malloc(size) for _ in range(5)]:
                    with memoryview(block) as view:
                        assert bytes(view) == (fresh * size)[:size]
                        view[:] = bytes(size)
                    block.free()
            for size, block in blocks.items():
                assert bytes(memoryview(block)) == b"\xab" * size
                with heap.malloc(size) as live:
                    assert bytes(memoryview(live)[:100]) == (fresh * 100)[:100]
            zeros = heap.realloc(zeros, (number + 2) * LARGE)
            assert not any(memoryview(zeros)[:LARGE])
        grown = heap.realloc(blocks.pop(LARGE), 3 * LARGE)
        assert bytes(memoryview(grown)) == b"\xab" * 3 * LARGE
        assert heap.check() == 0
        grown.free()
        zeros.free()
        assert heap.stats().errors == 0
        assert heap.config.pattern == "0xab"


def test_a_pattern_that_changes_in_use() -> None:
    """What other threads allocate meanwhile holds the one or the other, and no error is seen."""
    patterns = (0xABCD, 0x11)
    allowed = [
        each.to_bytes(2, sys.byteorder) if each > 0xFF else bytes([each] * 2) for each in patterns
    ]
    stop = threading.Event()

    def allocate(heap: Heap) -> int:
        rounds = 0
        while not stop.is_set():
            for size in (130, 1000, 200_000):
                with heap.malloc(size) as block:
                    content = bytes(memoryview(block))
                    assert content in [each * (size // 2) for each in allowed]
                    memoryview(block)[:] = bytes(size)
            rounds += 1
        return rounds

    with Heap(Config.parse(f"{CHECKED}:pattern=0xabcd")) as heap, ThreadPoolExecutor(3) as pool:
        running = [pool.submit(allocate, heap) for _ in range(3)]
        for _ in range(300):
            for pattern in patterns[::-1]:
                heap.configure(pattern=pattern)
        stop.set()
        assert all(each.result() for each in running)
        assert heap.stats().errors == 0


@pytest.mark.parametrize("options", ["", "on_free=quarantine", "without=pagemap_scan"])
def test_what_was_written_in_between(options: str) -> None:
    with Heap(Config.parse(f"count=yes:{options}")) as heap:
        live = heap.malloc(LARGE)
        memoryview(live)[:5000] = bytes(5000)
        before = heap.written()
        assert before
        memoryview(live)[0] = memoryview(live)[LARGE - 1] = 1
        with heap.malloc(LARGE) as freed:
            memoryview(freed)[100_000] = 1
        heap.malloc(1000)
        live.free()
        assert heap.written() == before + 2 * PAGE
    with Heap(without="proc") as heap, heap.malloc(LARGE):
        assert heap.written() is None


@pytest.mark.parametrize(
    ("name", "value", "complaint"),
    [
        ("pattern", "none", "pattern=none: can't be changed to, or from, once the heap is made"),
        ("slack_check", "all", "slack_check: can't be changed once the heap is made"),
        ("report", "yes", "report: can't be changed once the heap is made"),
        (
            "guard_pages",
            2,
            "can be: pattern, threshold, delay, small_fill, cache_size, retain_size, on_free",
        ),
        ("threshold", 1, "threshold=1: bad value; allowed: a number of bytes"),
        ("colour", "red", "colour: no such option; allowed: align, backend, "),
    ],
)
def test_options_that_cannot_be_changed(name: str, value: object, complaint: str) -> None:
    with Heap() as heap:
        before = heap.config
        with pytest.raises(OptionError, match=re.escape(complaint)):
            heap.configure(cache_size=0, **{name: value})
        assert heap.config == before
        assert Config.parse(heap.stats().options) == before
    with pytest.raises(ValueError, match="closed"):
        heap.configure(threshold=4096)


def test_a_heap_that_is_cleared(heap: Heap) -> None:
    block = heap.malloc(LARGE)
    with memoryview(block), pytest.raises(BufferError):
        heap.clear()
    assert block.size == LARGE
    heap.clear()
    assert (heap.stats().blocks_live, repr(block)) == (0, "<Block, freed>")
    heap.malloc(LARGE)


@pytest.mark.parametrize("again", [copy.copy, copy.deepcopy, pickle.dumps])
def test_what_owns_memory_is_not_copied(again: Callable[[object], object]) -> None:
    with Heap() as heap, heap.malloc(LARGE) as block:
        for thing in (heap, block):
            with pytest.raises(TypeError, match=r"neither copied nor pickled"):
                again(thing)
        assert bytes(block) == b"\xab" * LARGE


def test_arguments_of_another_type_are_named() -> None:
    with Heap() as heap, heap.malloc(LARGE) as block:
        calls: dict[str, Callable[[], object]] = {
            "config 42": lambda: Heap(42),  # type: ignore[arg-type]
            "config {}": lambda: Heap({}),  # type: ignore[arg-type]
            "config 'count=yes'": lambda: Heap("count=yes"),  # type: ignore[arg-type]
            "options 5": lambda: Config.parse(5),  # type: ignore[arg-type]
            "size '10'": lambda: heap.malloc("10"),  # type: ignore[arg-type]
            "size True": lambda: heap.malloc(True),
            "size 1.5": lambda: heap.calloc(1, 1.5),  # type: ignore[arg-type]
            "count None": lambda: heap.calloc(None, 1),  # type: ignore[arg-type]
            "alignment '64'": lambda: heap.aligned_alloc("64", 1),  # type: ignore[arg-type]
            "size b'1'": lambda: heap.realloc(block, b"1"),  # type: ignore[arg-type]
            "block 5": lambda: heap.free(5),  # type: ignore[arg-type]
            "block None": lambda: heap.realloc(None, 5),  # type: ignore[arg-type]
        }
        for what, call in calls.items():
            with pytest.raises(TypeError, match=rf"^{re.escape(what)}: must be an? \w+, not \w+$"):
                call()
        with heap.malloc(np.int64(LARGE)) as wide:
            assert len(wide) == LARGE


def test_the_version_is_the_packages() -> None:
    assert patalloc.__version__ == metadata.version("patalloc")
