"""What is shown of a trace: as data, and as text."""

from collections.abc import Iterator, Sequence
from pathlib import PurePath
from typing import Any

import attrs

from patalloc.traces.export import measures
from patalloc.traces.file import Trace
from patalloc.traces.frames import Frames, label
from patalloc.traces.sums import Site, Sums, of_trace
from patalloc.watch.rendering import render_place
from patalloc.watch.symbols import Location

_SITES = 2000  # call stacks whose frames are named: those with most, by each measure
_MOMENTS = 50
_OTHERS = "other call stacks"
_IN_ALL = ("requested", "requests", "live")  # is said of each call stack


def facts(trace: Trace, sums: Sums) -> dict[str, Any]:
    """Of the program, and of all that it asked for."""
    end = trace.end or {}
    seen = sum(site.seen_pages for site in sums.sites)
    written = sum(site.written_pages for site in sums.sites)
    large, large_bytes = sums.over(1 << 16)
    return {
        "command": trace.start.get("command", []),
        "process": trace.start.get("process"),
        "status": end.get("status"),
        "duration": max(sums.duration, end.get("duration", 0)) / 1e6,
        "events": sums.events,
        "requests": sums.allocations,
        "requested": sums.bytes,
        "temporary": sums.temporary,
        "peak": sums.peak_bytes,
        "peak_at": sums.peak_time / 1e6,
        "left": sum(site.left_bytes for site in sums.sites),
        "left_blocks": sum(site.left_blocks for site in sums.sites),
        "seen": seen * sums.page_size,
        "written": written * sums.page_size,
        "large": large,
        "large_bytes": large_bytes,
        "whole": trace.end is not None,
        "cut": bool(end.get("size_limit")),
        "synthetic": trace.start.get("synthetic"),
    }


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f} %" if whole else "none"


def sentences(found: dict[str, Any]) -> Iterator[str]:
    """The same as text."""
    status = found["status"]
    ended = "" if status is None else f", exit status {status}"
    if status is not None and status < 0:
        ended = f", ended by signal {-status}"
    command = " ".join(" ".join(found["command"]).split())[:200]
    yield f"{command}: {found['duration']:.2f} s{ended}"
    if not found["whole"]:
        yield "the trace has no end: who wrote it was killed, or does so still"
    if found["cut"]:
        yield "the trace ends where it reached its size limit; the program went on"
    if made := found["synthetic"]:
        yield f"synthetic: as {made['trace']}, scale {made['scale']:g}, seed {made['seed']}"
    requests, temporary = found["requests"], found["temporary"]
    yield (
        f"requested: {found['requested']:,} bytes in {requests:,} requests; "
        f"{temporary:,} blocks ({_percent(temporary, requests)}) were freed before their thread "
        "asked for another"
    )
    yield (
        f"live: {found['peak']:,} bytes at most, {found['peak_at']:.2f} s from the begin; "
        f"{found['left']:,} in {found['left_blocks']:,} blocks at the end"
    )
    if found["seen"]:
        never = found["seen"] - found["written"]
        yield (
            f"written: {found['written']:,} of {found['seen']:,} bytes in blocks of 1 MiB and "
            f"more; {_percent(never, found['seen'])} never"
        )
    yield (
        f"a threshold of 64 KiB has {found['large']:,} requests of {found['large_bytes']:,} bytes "
        f"({_percent(found['large_bytes'], found['requested'])})"
    )


def by(sums: Sums, measure: str) -> list[Site]:
    """Call stacks with anything of it, most first."""
    figure = measures(sums)[measure][1]
    return sorted(filter(figure, sums.sites), key=lambda site: (-figure(site), site.stack))


def stack_lines(frames: Frames, stack: int, most: int) -> Iterator[str]:
    """A call stack as reports have it, of so many frames at most: the innermost ones.

    In Python of the calls that C makes inside the first one and the last four.
    """
    places = [*frames.of(stack)]
    inside = next((at for at, each in enumerate(places) if frames.is_python(each)), 0)
    skipped = range(1, inside - 4)
    shown = [number for number in range(len(places)) if number not in skipped][:most]
    for number in shown:
        if number == skipped.stop and skipped:
            yield "    ..."
        yield f"    #{number} {render_place(places[number])}"
    if len(places) - len(skipped) > len(shown):
        yield f"    ... {len(places) - len(skipped) - len(shown)} more"


def site_lines(sums: Sums, site: Site, measure: str) -> str:
    """What there is to say of one, which has so much of a measure."""
    title, figure = measures(sums)[measure]
    front = f"{figure(site):,} {title}: " if measure not in _IN_ALL else ""
    written = ""
    if site.seen_pages:
        never = _percent(site.seen_pages - site.written_pages, site.seen_pages)
        written = f"; {never} never written"
    each = "s" if site.allocations != 1 else ""
    return (
        f"{front}{site.bytes:,} bytes in {site.allocations:,} request{each}, the largest of "
        f"{site.largest:,}; {site.then_bytes:,} live at {sums.moment / 1e6:.2f} s{written}"
    )


# For the page


@attrs.define
class _Tree:
    """Frames, each once: of several traces, by their names."""

    frames: dict[tuple[str, str], int] = attrs.field(factory=dict)
    nodes: dict[tuple[int, int], int] = attrs.field(factory=dict)

    def node(self, path: Sequence[tuple[str, str]]) -> int:
        """Of a path, the outermost first."""
        node = -1
        for each in path:
            frame = self.frames.setdefault(each, len(self.frames))
            node = self.nodes.setdefault((node, frame), len(self.nodes))
        return node


def _place(location: Location) -> str:
    if location.file:
        return f"{location.file}:{location.line or '?'}"
    return PurePath(location.module).name if location.module else ""


def _chosen(sums: Sums) -> set[int]:
    found: set[int] = set()
    for measure in measures(sums):
        found |= {site.stack for site in by(sums, measure)[:_SITES]}
    return found


def _sites(trace: Trace, sums: Sums, tree: _Tree) -> dict[str, Any]:
    """Values by node, of each measure and moment."""
    frames, chosen = Frames(trace), _chosen(sums)
    places: dict[int, int] = {}

    def node(stack: int) -> int:
        if stack not in places:
            if stack not in chosen:
                places[stack] = tree.node([(_OTHERS, "")])
            else:
                path = [(label(each), _place(each)) for each in frames.of(stack)]
                places[stack] = tree.node(list(reversed(path)) or [("no call stack", "")])
        return places[stack]

    def gathered(pairs: Iterator[tuple[int, int]]) -> list[list[int]]:
        total: dict[int, int] = {}
        for stack, value in pairs:
            if value:
                total[node(stack)] = total.get(node(stack), 0) + value
        return [[*total.keys()], [*total.values()]]

    values = {
        name: gathered((site.stack, figure(site)) for site in sums.sites)
        for name, (_, figure) in measures(sums).items()
    }
    moments = [[time, gathered(iter(live.items()))] for time, live in sums.moments]
    return {"values": values, "moments": moments}


def document(traces: Sequence[Trace]) -> dict[str, Any]:
    """All that a page shows, of one trace or two: what `patalloc report --json` prints.

    Raises:
        TraceError: one is damaged.
    """
    tree, runs, titles = _Tree(), [], {}
    for trace in traces:
        sums = of_trace(trace, moments=_MOMENTS)
        titles = {name: title for name, (title, _) in measures(sums).items()}
        runs.append(
            {
                "file": str(trace.path),
                "facts": facts(trace, sums),
                "sentences": [*sentences(facts(trace, sums))],
                "sizes": [attrs.asdict(each) for each in sums.sizes],
                "lives": [attrs.asdict(each) for each in sums.lives],
                "times": [attrs.asdict(each) for each in sums.times],
                "samples": trace.samples,
                "heap": [attrs.asdict(each) for each in trace.heap_totals()],
                **_sites(trace, sums, tree),
            }
        )
    return {
        "version": 1,
        "measures": titles,
        "frames": [list(each) for each in tree.frames],
        "nodes": [list(each) for each in tree.nodes],
        "runs": runs,
    }
