"""Traces for other programs."""

import csv
import json
from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import IO

from patalloc.traces.file import Event, Kind, Trace
from patalloc.traces.frames import Frames
from patalloc.traces.sums import Site, Sums, of_trace


def command_of(trace: Trace) -> str:
    """In a line."""
    return " ".join(" ".join(trace.start.get("command", [])).split())


_TAKES = {Kind.MALLOC, Kind.CALLOC, Kind.ALIGNED, Kind.RESIZE}
_GIVES = {Kind.FREE, Kind.MISSED}


def measures(sums: Sums) -> Mapping[str, tuple[str, Callable[[Site], int]]]:
    """What call stacks are compared by: its meaning, and the figure of a stack."""
    page = sums.page_size
    return {
        "requested": ("bytes requested", lambda site: site.bytes),
        "requests": ("requests", lambda site: site.allocations),
        "live": ("bytes live at the moment", lambda site: site.then_bytes),
        "left": ("bytes live at the end", lambda site: site.left_bytes),
        "temporary": (
            "blocks freed before their thread allocated anything else",
            lambda site: site.temporary,
        ),
        "written": (
            "bytes written, of blocks of 1 MiB and more",
            lambda site: site.written_pages * page,
        ),
        "unwritten": (
            "bytes requested but never written, of blocks of 1 MiB and more",
            lambda site: (site.seen_pages - site.written_pages) * page,
        ),
    }


def _stacks(trace: Trace, sums: Sums, measure: str) -> dict[tuple[str, ...], int]:
    """Call stacks, the outermost first, with a figure each."""
    figure, frames = measures(sums)[measure][1], Frames(trace)
    found: dict[tuple[str, ...], int] = defaultdict(int)
    for site in sums.sites:
        if figure(site):
            found[tuple(reversed(frames.names(site.stack)))] += figure(site)
    return found


def folded(trace: Trace, out: IO[str], measure: str, moment: int | None = None) -> None:
    """A line a call stack, for flamegraph.pl, inferno and others: names, and a figure."""
    for names, value in _stacks(trace, of_trace(trace, moment=moment), measure).items():
        out.write(f"{';'.join(name.replace(';', ':') for name in names)} {value}\n")


def speedscope(trace: Trace, out: IO[str], measure: str, moment: int | None = None) -> None:
    """A profile for https://speedscope.app (its file format's schema)."""
    sums = of_trace(trace, moment=moment)
    frames: dict[str, int] = {}
    samples, weights = [], []
    for names, value in _stacks(trace, sums, measure).items():
        samples.append([frames.setdefault(name, len(frames)) for name in names])
        weights.append(value)
    is_count = measure in ("requests", "temporary")
    profile = {
        "type": "sampled",
        "name": measures(sums)[measure][0],
        "unit": "none" if is_count else "bytes",
        "startValue": 0,
        "endValue": sum(weights),
        "samples": samples,
        "weights": weights,
    }
    document = {
        "$schema": "https://www.speedscope.app/file-format-schema.json",
        "shared": {"frames": [{"name": name} for name in frames]},
        "profiles": [profile],
        "name": command_of(trace),
        "exporter": "patalloc",
    }
    json.dump(document, out)


_COLUMNS = ("time", "thread", "kind", "size", "slot", "stack", "alignment", "first_page")


def _row(event: Event) -> tuple[object, ...]:
    alignment = 1 << event.alignment if event.kind == Kind.ALIGNED else None
    first = event.first if event.kind == Kind.WRITTEN else None
    kind = Kind(event.kind).name.lower()
    return event.time, event.thread, kind, event.size, event.slot, event.stack, alignment, first


def events_csv(trace: Trace, out: IO[str]) -> None:
    """All events, a line each; times in microseconds, sizes in bytes, of pages how many."""
    writer = csv.writer(out)
    writer.writerow(_COLUMNS)
    for batch in trace.batches():
        writer.writerows(map(_row, batch))


def events_arrow(trace: Trace, out: IO[bytes]) -> None:
    """The same as an Arrow IPC file, which is a Feather file, too; needs pyarrow.

    Raises:
        ModuleNotFoundError: pyarrow is not installed.
    """
    import pyarrow  # type: ignore[import-untyped,import-not-found,unused-ignore]

    names = pyarrow.array([kind.name.lower() for kind in Kind])
    fields = {
        "time": pyarrow.uint64(),
        "thread": pyarrow.uint32(),
        "kind": pyarrow.dictionary(pyarrow.int8(), pyarrow.string()),
        "size": pyarrow.uint64(),
        "slot": pyarrow.uint32(),
        "stack": pyarrow.uint32(),
        "alignment": pyarrow.uint32(),
        "first_page": pyarrow.uint32(),
    }
    schema = pyarrow.schema(list(fields.items()))
    with pyarrow.ipc.new_file(out, schema) as file:
        for batch in trace.batches():
            columns: dict[str, list[int]] = {
                "time": [each.time for each in batch],
                "thread": [each.thread for each in batch],
                "size": [each.size for each in batch],
                "slot": [each.slot for each in batch],
                "stack": [each.stack for each in batch],
                "alignment": [each.alignment for each in batch],
                "first_page": [each.first for each in batch],
            }
            kinds = pyarrow.array([each.kind - 1 for each in batch], pyarrow.int8())
            arrays = [
                pyarrow.DictionaryArray.from_arrays(kinds, names)
                if name == "kind"
                else pyarrow.array(columns[name], kind)
                for name, kind in fields.items()
            ]
            file.write_batch(pyarrow.record_batch(arrays, schema=schema))


class _Heaptrack:
    """Writes what heaptrack 1.4 reads, version 3 of its files."""

    def __init__(self, trace: Trace, out: IO[str]) -> None:
        self._trace, self._out = trace, out
        self._frames = Frames(trace)
        self._strings: dict[str, int] = {"": 0}
        self._addresses: dict[int, int] = {}
        self._nodes: dict[tuple[int, int], int] = {}
        self._infos: dict[tuple[int, int], int] = {}

    def _line(self, kind: str, *numbers: int) -> None:
        self._out.write(f"{kind} {' '.join(f'{each:x}' for each in numbers)}\n")

    def _string(self, text: str) -> int:
        if text not in self._strings:
            self._strings[text] = len(self._strings)
            self._out.write(f"s {len(text.encode()):x} {text}\n")
        return self._strings[text]

    def _address(self, address: int) -> int:
        if address not in self._addresses:
            places = self._frames.at(address)
            words = [self._string(places[0].module or "")]
            for place in places:
                words.append(self._string(place.function or ""))
                if place.file or len(places) > 1:
                    words += [self._string(place.file or ""), place.line or 0]
            self._line("i", address, *words)
            self._addresses[address] = len(self._addresses) + 1
        return self._addresses[address]

    def _node(self, stack: int) -> int:
        node = 0
        for address in reversed(self._trace.stacks[stack]):
            key = (self._address(address), node)
            if key not in self._nodes:
                self._line("t", *key)
                self._nodes[key] = len(self._nodes) + 1
            node = self._nodes[key]
        return node

    def _info(self, size: int, stack: int) -> int:
        key = (size, stack)
        if key not in self._infos:
            self._line("a", size, self._node(stack))
            self._infos[key] = len(self._infos)
        return self._infos[key]

    def write(self) -> None:
        self._out.write("v 10400 3\n")
        self._out.write(f"X {command_of(self._trace)}\n")
        self._line("I", self._trace.start.get("page_size", 4096), 0)
        live: dict[int, int] = {}
        time = 0
        for batch in self._trace.batches():
            for event in batch:
                if event.time // 10000 != time:
                    time = event.time // 10000
                    self._line("c", time * 10)
                gone = live.pop(event.slot, None) if event.kind in _TAKES | _GIVES else None
                if gone is not None:
                    self._line("-", gone)
                if event.kind in _TAKES:
                    live[event.slot] = self._info(event.size, event.stack)
                    self._line("+", live[event.slot])
        self._line("c", max((each.last for each, _ in self._trace.chunks), default=0) // 1000)


def heaptrack(trace: Trace, out: IO[str]) -> None:
    """A file for heaptrack_print and heaptrack_gui."""
    _Heaptrack(trace, out).write()
