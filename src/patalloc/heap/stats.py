"""Stats: what a heap has done so far."""

import json
from typing import Any, Self

import attrs


@attrs.frozen(kw_only=True)
class Stats:
    """Counters of one heap. Blocks are its large allocations; sizes are as requested, in bytes.

    Attributes:
        options: the heap's option string.
        backend: what has supplied the pattern: zero, memfd, device, syscall, wrap or uffd; none, or
            "none yet" before the first such block.
        features: the kernel features in use; empty before the first block.
        pid: the process.
        blocks_live: blocks that the program has now; blocks_peak: the most it had at one time.
        bytes_live: their bytes; bytes_peak: the most at one time.
        blocks: all so far; of them blocks_refpage, blocks_memset and blocks_zero (calloc) by how
            they got their content, and blocks_unpatterned, which hold zeros instead.
        bytes_refpage: the bytes patterned by refpages; bytes_memset: by stores.
        bytes_retained: bytes of pages kept in freed blocks now.
        bytes_quarantined: bytes of address space of the blocks in quarantine now.
        blocks_reused: those in a place that was ready, left by a freed block or set up together
            with another's; blocks_kept: of these, with pages kept;
            blocks_dense: those memset as blocks of their size are written throughout.
        frees: blocks freed: frees_reset with all pages dropped, frees_kept with pages kept and
            rewritten; frees_scanned: of these, the ones whose written pages were searched for.
        reallocs_in_place: blocks resized where they were; reallocs_moved: by moving their pages;
            reallocs_copied: by copying.
        fallback_no_refpage: blocks memset for want of a refpage; fallback_no_span: as no span could
            be mapped; fallback_no_memory: left zero, as a memset would not have fitted in memory;
            fallback_primary: taken from the malloc underneath for want of address space.
        runs: mapped pieces of address space now; runs_released: those given back.
        guards_missing: guards that could not be set up.
        pages_counted: with count=yes, the pages of freed blocks; pages_dirtied: those written.
        small_requests: with count=yes, those passed to the malloc underneath; small_bytes: theirs.
        small_guarded: small blocks that got a guard each (guard_small).
        new_requests: with count=yes, requests of any size by C++'s operator new and its kin, where
            those are interposed (`patalloc lib --operators`).
        errors: misuses reported.
        pages_read_first: with backend=uffd, the pages that were read before anything was stored
            there; pages_written_first: the others that were touched; pages_written_later: of those
            read first the ones that were stored to afterwards. The process's heaps with one pattern
            share them, and the last is counted if the first of these heaps had count=yes.
        vmas: mappings that all heaps of the process use; vmas_allowed: how many they may.
    """

    options: str
    backend: str
    features: tuple[str, ...] = attrs.field(converter=tuple)
    pid: int
    blocks_live: int
    blocks_peak: int
    bytes_live: int
    bytes_peak: int
    bytes_retained: int
    bytes_quarantined: int
    blocks: int
    blocks_refpage: int
    blocks_memset: int
    blocks_zero: int
    blocks_unpatterned: int
    bytes_refpage: int
    bytes_memset: int
    blocks_reused: int
    blocks_kept: int
    blocks_dense: int
    frees: int
    frees_reset: int
    frees_kept: int
    frees_scanned: int
    reallocs_in_place: int
    reallocs_moved: int
    reallocs_copied: int
    fallback_no_refpage: int
    fallback_no_span: int
    fallback_no_memory: int
    fallback_primary: int
    runs: int
    runs_released: int
    guards_missing: int
    pages_counted: int
    pages_dirtied: int
    small_requests: int
    small_bytes: int
    small_guarded: int
    new_requests: int
    errors: int
    pages_read_first: int
    pages_written_first: int
    pages_written_later: int
    vmas: int
    vmas_allowed: int

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """The stats that a process wrote at its end (option `stats`), or patalloc_stats() gave."""
        values: dict[str, Any] = json.loads(text)
        return cls(**values)

    @property
    def density(self) -> float | None:
        """The share of freed blocks' pages that the program wrote; None where none was counted."""
        return self.pages_dirtied / self.pages_counted if self.pages_counted else None
