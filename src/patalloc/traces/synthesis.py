"""Synthetic traces: of the same kind of requests as a trace, as many as are wanted.

What is drawn are the histories of whole blocks: what they were requested with and resized to, by
which threads, for how many requests they lived. So every block is freed once and after its
request, and what belongs together stays together. A scale of 4 are four layers, one above the
other, each of them the whole trace, stretched to four times the requests: four times as many
blocks at a time, each of which lives four times as long. A layer of less than 1, as of a scale of
0.25, has as large a share of the histories.

In a layer requests that follow one another stay together, and such blocks of them come in another
order, near to where they were: a local block bootstrap (Paparoditis and Politis 2002), but without
replacement. With it some histories would come twice and others not at all, and the most live bytes
would be a matter of luck wherever few blocks make them up. So they would be if each history was
moved for itself, wherever short-lived blocks come one after the other.

Of a layer that has a share of them, histories are drawn by stratified resampling (Kitagawa 1996):
in order of size, life, resizes and thread, one in each stretch of 1 / share. What weighs too much
to be left to that, a hundredth of the most live bytes or a five-hundredth of the requests, is in
each layer, its sizes smaller by the share; where such blocks are many and live briefly, one after
the other, a share of them is, each of which lives as many requests as it did. Heavy ones do not
change places.
"""

import heapq
import math
import random
import struct
from array import array
from collections import defaultdict
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import attrs

from patalloc._core import ffi, lib
from patalloc.errors import OptionError
from patalloc.traces.file import Kind, Trace, Writer

SCALE_LEAST, SCALE_MOST = 1e-6, 1000
_EVENT = struct.Struct("<IIQQIIII")  # struct trace_event
_TAKES = (Kind.MALLOC, Kind.CALLOC, Kind.ALIGNED)
_REQUESTS = (*_TAKES, Kind.RESIZE)
_FREES = (Kind.FREE, Kind.MISSED)
_RESIZED, _WRITTEN = 6, 7  # in a ring (csrc/watch/ring.h), where others are as here
_STACKS = 4096  # that are written at a time
_TOGETHER = 32  # requests that stay together at most
_NEAR = 300  # they stay within such a part of the trace
_HEAVY_BYTES, _HEAVY_REQUESTS = 100, 500  # parts of the most live bytes, and of the requests
_MANY = 8  # such blocks that are drawn, and a part of the requests that they live at most


@attrs.frozen
class Model:
    """The histories of a trace's blocks; a place is counted in requests.

    Attributes:
        requests: how many, realloc's among them. peak: the most live bytes.
        times: of each request, and of the end.
        events: as struct trace_event (codec.h); the first one is none. kinds: of each.
        places: of each; following: the next one of the same block, or 0.
        firsts: of each history its first event; largest: that of its largest size.
        sizes: that size. counts: how many requests it has. lives: for how many it was live.
    """

    requests: int
    peak: int
    times: "array[int]"
    events: bytearray
    kinds: bytearray
    places: "array[int]"
    following: "array[int]"
    firsts: "array[int]"
    largest: "array[int]"
    sizes: "array[int]"
    counts: "array[int]"
    lives: "array[int]"

    def event(self, number: int) -> tuple[int, ...]:
        """Kind, thread, time, size, slot, stack, alignment, first."""
        return _EVENT.unpack_from(self.events, number * _EVENT.size)

    def time(self, number: int, place: int) -> int:
        """Of an event at another place: as long behind its request, and before the next one."""
        place = min(place, self.requests - 1)
        behind = self.event(number)[2] - self.times[self.places[number]]
        return min(self.times[place] + behind, self.times[place + 1])


@attrs.frozen
class _Copy:
    """A history as it is drawn: where, how much slower, how much smaller, how often resized."""

    history: int
    place: float
    stretch: float
    sizes: float = 1.0
    resizes: float = 1.0


@attrs.frozen
class _Drawn:
    """What a layer has: of light histories whether it does, and heavy ones (see above).

    Of those that are many it has one in the place of each stretch of them.
    """

    light: bytearray
    heavy: list[int]
    many: list[tuple[int, int]]


def fit(trace: Trace) -> Model:
    """Learn the histories of a trace's blocks. Blocks that it has not are left out.

    Raises:
        TraceError: it is damaged.
    """
    peak = max((summary.peak_bytes for summary, _ in trace.chunks), default=0)
    columns = (array("Q") for _ in range(8))
    times, places, following, firsts, largest, sizes, counts, lives = columns
    places.append(0)
    following.append(0)
    events, kinds = bytearray(_EVENT.size), bytearray(1)
    live: dict[int, tuple[int, int]] = {}  # by slot: the history, and its last event
    number = place = 0
    for batch in trace.batches():
        data = bytes(ffi.buffer(batch))
        events += data
        for kind, _, time, size, slot, *_ in _EVENT.iter_unpack(data):
            number += 1
            kinds.append(kind)
            if kind in _REQUESTS:
                place = len(times)
                times.append(time)
            places.append(place)
            following.append(0)
            if kind in _TAKES:
                live[slot] = (len(firsts), number)
                firsts.append(number)
                largest.append(number)
                sizes.append(size)
                counts.append(1)
                lives.append(0)
            elif slot in live and kind != Kind.STRANGE:
                history, last = live[slot]
                following[last] = number
                live[slot] = (history, number)
                if kind == Kind.RESIZE:
                    counts[history] += 1
                    if size > sizes[history]:
                        largest[history], sizes[history] = number, size
                elif kind in _FREES:
                    lives[history] = place - places[firsts[history]]
                    del live[slot]
    for history, _ in live.values():
        lives[history] = len(times) - places[firsts[history]]
    requests = len(times)
    times.append(max((summary.last for summary, _ in trace.chunks), default=0))
    return Model(
        *(requests, peak, times, events, kinds, places, following, firsts),
        *(largest, sizes, counts, lives),
    )


def _class(size: int) -> int:
    """Four to a power of two."""
    log = max(size.bit_length() - 3, 0)
    return log * 4 + (size >> log)


def _is_long(model: Model, history: int) -> bool:
    """Whether it has so many requests that it is heavy for them."""
    return model.counts[history] * _HEAVY_REQUESTS > model.requests


def _drawn_of(
    histories: list[int], share: float, chance: random.Random
) -> Iterator[tuple[int, int]]:
    """One in each stretch of them, behind the stretch's first; of the last one perhaps none."""
    count = math.ceil(len(histories) * share)
    ends = [math.ceil(number / share) for number in range(count + 1)]
    for begin, end in pairwise(ends):
        place = begin + int(chance.random() * (end - begin))
        if place < len(histories):
            yield histories[begin], histories[place]


def _draw(model: Model, share: float, chance: random.Random) -> _Drawn:
    light: list[int] = []
    heavy: list[int] = []
    brief: dict[int, list[int]] = defaultdict(list)
    for history, size in enumerate(model.sizes):
        is_long = _is_long(model, history)
        if not is_long and size * _HEAVY_BYTES <= model.peak:
            light.append(history)
        elif share < 1 and not is_long and model.lives[history] * _MANY <= model.requests * share:
            brief[_class(size)].append(history)
        else:
            heavy.append(history)
    often: list[int] = []
    for found in brief.values():
        (often if len(found) * share >= _MANY else heavy).extend(found)
    many = [*_drawn_of(sorted(often), share, chance)]
    flags = bytearray(len(model.firsts))
    for history in light if share == 1 else _draw_light(model, share, light, heavy, many, chance):
        flags[history] = 1
    return _Drawn(flags, sorted(heavy), many)


def _draw_light(
    model: Model,
    share: float,
    light: list[int],
    heavy: list[int],
    many: list[tuple[int, int]],
    chance: random.Random,
) -> list[int]:
    """As many as there are requests left for."""

    def alike(history: int) -> tuple[int, ...]:
        kind, thread, *_ = model.event(model.firsts[history])
        life, resizes = model.lives[history].bit_length(), model.counts[history].bit_length()
        return _class(model.sizes[history]), life, resizes, kind, thread, history

    taken = sum(1 + (model.counts[each] - 1) * _resizes(model, each, share) for each in heavy)
    taken += sum(model.counts[each] for _, each in many)
    there = sum(model.counts[each] for each in light)
    wanted = (model.requests * share - taken) / max(there, 1)
    if wanted <= 0:
        return []
    return [each for _, each in _drawn_of(sorted(light, key=alike), wanted, chance)]


def _resizes(model: Model, history: int, share: float) -> float:
    """The share of its resizes that a heavy history has."""
    return share if _is_long(model, history) else 1.0


def _shuffled(model: Model, chance: random.Random) -> Iterator[tuple[int, range]]:
    """All histories, in the order that they get; and by how many requests they are moved."""
    together = min(max(model.requests // 1000, 1), _TOGETHER)
    count = -(-model.requests // together)
    reach = model.requests / _NEAR / together
    begins, history = [], 0
    for number in range(count + 1):
        while (
            history < len(model.firsts) and model.places[model.firsts[history]] < number * together
        ):
            history += 1
        begins.append(history)
    place = 0
    for _, number in sorted((number + chance.random() * reach, number) for number in range(count)):
        begin = number * together
        yield place - begin, range(begins[number], begins[number + 1])
        place += min(together, model.requests - begin)


def _copies(model: Model, scale: float, seed: int) -> Iterator[_Copy]:
    """All histories that are drawn, in order."""
    chance = random.Random(f"{seed}")  # noqa: S311
    shares = [1.0] * int(scale) + ([scale % 1] if scale % 1 else [])
    drawn = {share: _draw(model, share, chance) for share in dict.fromkeys(shares)}

    def place(history: int, layer: int, moved: int = 0) -> float:
        return scale * (model.places[model.firsts[history]] + moved + layer / len(shares))

    def light(layer: int) -> Iterator[_Copy]:
        chosen = drawn[shares[layer]].light
        order = _shuffled(model, random.Random(f"{seed} {layer}"))  # noqa: S311
        for moved, histories in order:
            for history in histories:
                if chosen[history]:
                    yield _Copy(history, place(history, layer, moved), scale)

    def heavy(layer: int) -> Iterator[_Copy]:
        share = shares[layer]
        for history in drawn[share].heavy:
            resizes = _resizes(model, history, share)
            yield _Copy(history, place(history, layer), scale, share, resizes)

    def many(layer: int) -> Iterator[_Copy]:
        share = shares[layer]
        for first, history in drawn[share].many:
            yield _Copy(history, place(first, layer), scale / share, share)

    layers = [of(layer) for layer in range(len(shares)) for of in (light, heavy, many)]
    return heapq.merge(*layers, key=lambda copy: copy.place)


def _steps(model: Model, scale: float, seed: int) -> Iterator[tuple[float, int, int, _Copy]]:
    """The new trace's events, in order: the place, the block's number, the old event's."""
    chance = random.Random(f"{seed} resizes")  # noqa: S311
    later: list[tuple[float, int, int, _Copy]] = []

    def follow(block: int, step: int, copy: _Copy) -> Iterator[tuple[float, int, int, _Copy]]:
        """An event, and those of its block behind it and before any other request."""
        places = model.places
        begin, at = places[model.firsts[copy.history]], places[step]
        while step and places[step] == at:
            if (
                copy.resizes == 1
                or model.kinds[step] != Kind.RESIZE
                or step == model.largest[copy.history]
                or chance.random() < copy.resizes
            ):
                yield copy.place + copy.stretch * (at - begin), block, step, copy
            step = model.following[step]
        if step:
            behind = 0 if model.kinds[step] in _REQUESTS else 0.5  # the request of that place
            place = copy.place + copy.stretch * (places[step] - begin + behind)
            heapq.heappush(later, (place, block, step, copy))

    for block, copy in enumerate(_copies(model, scale, seed), 1):
        while later and later[0][0] < copy.place:
            yield from follow(*heapq.heappop(later)[1:])
        yield from follow(block, model.firsts[copy.history], copy)
    while later:
        yield from follow(*heapq.heappop(later)[1:])


class _Output:
    """Notes events, and writes them and the call stacks that they have."""

    def __init__(self, trace: Trace, file: Writer) -> None:
        self._trace = trace
        self._file = file
        self._writer: Any = ffi.gc(lib.trace_writer_new(), lib.trace_writer_free)
        self._event = ffi.new("struct trace_event *")
        self._pending = 0
        self.events = 0

    def note(self, kind: int, block: int, time: int, size: int, old: tuple[int, ...]) -> None:
        event = self._event
        event.thread, event.time, event.size = old[1], time, size
        event.stack, event.alignment = old[5], old[6]
        if not lib.trace_writer_note(self._writer, kind, block, event):
            raise MemoryError
        self._pending += 1
        if self._pending == lib.TRACE_CHUNK:
            self.write()

    def write(self) -> None:
        known = self._trace.stacks
        numbers = ffi.new(f"uint32_t[{_STACKS}]")
        while count := lib.trace_writer_stacks(self._writer, numbers, _STACKS):
            self._file.stacks(
                [known[each] if each < len(known) else () for each in numbers[0:count]]
            )
        count = lib.trace_writer_pending(self._writer)
        if count:
            chunk = ffi.new("uint8_t const **")
            size = lib.trace_writer_chunk(self._writer, chunk)
            if not size:
                raise MemoryError
            self._file.events(ffi.buffer(chunk[0], size)[:])
        self.events += count
        self._pending = 0


def _smaller(number: int, share: float) -> int:
    return number if share == 1 else max(round(number * share), min(number, 1))


def synthesize(trace: Trace, path: Path | str, *, scale: float = 1.0, seed: int = 0) -> None:
    """Write a trace of the same kind of requests as another one has.

    Args:
        trace: the other one.
        path: of the new one.
        scale: so many times as many requests, and live bytes, in the same time.
        seed: another trace for each.

    Raises:
        OptionError: of the scale.
        TraceError: the trace is damaged.
        OSError: the new one can't be written.
    """
    if not SCALE_LEAST <= scale <= SCALE_MOST:
        raise OptionError(f"scale {scale:g}: must be from {SCALE_LEAST:f} to {SCALE_MOST:,}")
    model = fit(trace)
    fitted = {"trace": trace.path.name, "scale": scale, "seed": seed}
    with Path(path).open("wb", buffering=0) as opened:
        file = Writer(opened, {**trace.start, "synthetic": fitted})
        output = _Output(trace, file)
        file.modules(trace.modules)
        file.names(trace.names)
        for place, block, step, copy in _steps(model, scale, seed):
            old = model.event(step)
            kind, size, first = old[0], old[3], old[7]
            time = model.time(step, int(place / scale))
            if kind == Kind.WRITTEN:
                kind = _WRITTEN
                size = _smaller(size, copy.sizes) << 32 | int(first * copy.sizes)
            elif kind in _REQUESTS:
                size = _smaller(size, copy.sizes)
            if kind in _FREES:
                kind = Kind.FREE
            output.note(kind, block, time, size, old)
            if kind == Kind.RESIZE:
                output.note(_RESIZED, block, time, size, old)
        output.write()
        file.json("ENDS", {"status": None, "cpu": None, "events": output.events})
