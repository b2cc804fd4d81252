"""What a test writes, and what memory the process has meanwhile."""

import re
from contextlib import suppress
from pathlib import Path

import patalloc


def size(count: int) -> str:
    """So many bytes, for people."""
    return f"{count / 2**20:,.1f} MiB"


def _status(name: str) -> int:
    """A number of bytes in /proc/self/status (proc(5))."""
    found = re.search(rf"^{name}:\s+(\d+) kB", Path("/proc/self/status").read_text(), re.MULTILINE)
    return int(found[1]) * 1024 if found else 0


class Measurement:
    """What is written to the blocks of the heap, from here on."""

    def __init__(self, heap: "patalloc.ProcessHeap") -> None:
        """Begin."""
        self._heap = heap
        self._count = heap.config.count
        heap.configure(count=True)
        self._has_peak = False
        with suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5")  # the peak is what there is now
            self._has_peak = True
        self._resident, self._anonymous = _status("VmRSS"), _status("RssAnon")
        self._written = heap.written()

    def end(self) -> int | None:
        """End; the bytes that were written. None where that can't be told."""
        written = self._heap.written()
        self._heap.configure(count=self._count)
        return None if written is None or self._written is None else written - self._written

    def memory(self) -> str:
        """What memory the process had meanwhile: of its peak the kernel tells the sum only."""
        anonymous = f"{size(self._anonymous)} before, {size(_status('RssAnon'))} behind"
        lines = [f"anonymous memory (RssAnon): {anonymous}"]
        if self._has_peak:
            resident = f"{size(self._resident)} before, {size(_status('VmHWM'))} at its peak"
            lines.append(f"resident memory (VmHWM): {resident}")
        return "\n".join(lines)
