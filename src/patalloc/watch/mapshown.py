"""Maps of heaps as data, in a terminal, as a picture, and as a page."""

import csv
import html
import json
from collections.abc import Callable, Iterator, Sequence
from importlib.resources import files
from io import StringIO
from typing import Any

from rich.text import Text

from patalloc.pictures import picture, require_matplotlib
from patalloc.watch.heapmap import Block, Map, Page, State

_SHADES = "░▒▓█"  # by how much is written
_COLOURS = {
    Page.UNTOUCHED: "#e8e8e8",
    Page.READ: "#56b4e9",
    Page.WRITTEN: "#d55e00",
    Page.SWAPPED: "#000000",
    Page.GUARD: "#999999",
    Page.HUGE: "#009e73",
}
_PARTS = 600  # of a block in a picture
_RUNS = 4 << 20  # bytes of all different runs on a page, which become about as many in it
_KEPT, _QUARANTINED = "#f0e442", "#cc79a7"
_STYLE = """:root { color-scheme: light dark; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 75rem; margin: 2rem auto; padding: 0 1rem; }
canvas { width: 100%; display: block; border: 1px solid #8886; }
canvas:focus-visible { outline: 3px solid #0072b2; }
.told { min-height: 3em; font-variant-numeric: tabular-nums; }
.key::before { content: "■ "; color: var(--colour); }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
td, th { padding: .1rem .8rem .1rem 0; text-align: right; border-bottom: 1px solid #8886; }
"""


def data(found: Map) -> dict[str, Any]:
    """All of it, as JSON can have it: what `patalloc map --json` prints."""
    return {
        "version": 1,
        "process": found.pid,
        "page_size": found.page_size,
        "spans": [[hex(start), hex(end)] for start, end in found.spans],
        "blocks": [
            {
                "address": hex(each.address),
                "size": each.size,
                "state": each.state.name,
                "fill": each.fill.name,
                "since": each.since,
                "pages": [[run.page, run.count] for run in each.runs],
            }
            for each in found.blocks
        ],
    }


def as_csv(found: Map) -> str:
    """The blocks, a line each, with how many of their pages are of each kind."""
    out = StringIO()
    writer = csv.writer(out, lineterminator="\n")
    kinds = [kind.name.lower() for kind in Page]
    writer.writerow(["address", "size", "state", "fill", "since", *kinds])
    for each in found.blocks:
        names = [each.state.name, each.fill.name]
        writer.writerow([hex(each.address), each.size, *names, each.since, *each.counts])
    return out.getvalue()


def totals(found: Map) -> list[tuple[str, int]]:
    """Names of kinds, and their bytes."""
    page = found.page_size
    live = [(kind.name.lower(), found.pages(kind) * page) for kind in Page]
    kept = [each for each in found.blocks if each.state == State.KEPT]
    quarantined = [each for each in found.blocks if each.state == State.QUARANTINED]
    return [
        *live,
        ("kept", sum(each.counts[Page.WRITTEN] + each.counts[Page.HUGE] for each in kept) * page),
        ("quarantined", sum(each.end - each.start for each in quarantined)),
    ]


def headline(found: Map) -> str:
    """How much there is."""
    live = sum(each.is_live for each in found.blocks)
    parts = ", ".join(f"{name} {size:,}" for name, size in totals(found) if size)
    requested = found.requested
    spans = f" in {len(found.spans):,} spans" if found.spans else ""
    return f"process {found.pid}: {live:,} blocks of {requested:,} bytes{spans}; {parts or 'none'}"


def _colour(block: Block, page: Page) -> str:
    if block.state == State.QUARANTINED:
        return _QUARANTINED
    is_kept = block.state == State.KEPT and page in (Page.WRITTEN, Page.HUGE)
    return _KEPT if is_kept else _COLOURS[page]


def lines(found: Map, width: int, most: int) -> Iterator[Text]:
    """For a terminal: a line a block, the largest `most` of them, in the order of addresses."""
    largest = sorted(found.blocks, key=lambda block: block.start - block.end)[:most]
    for block in sorted(largest, key=lambda block: block.start):
        name = f"{block.address:#x} {block.size:>14,} {block.state.name.lower():11} "
        line = Text(name)
        for page, share in block.parts(max(width - len(name), 10)):
            shade = _SHADES[min(int(share * 4), 3)] if page == Page.WRITTEN else "·"
            mark = {Page.UNTOUCHED: " ", Page.SWAPPED: "s", Page.GUARD: "g", Page.HUGE: "H"}.get(
                page, shade
            )
            line.append(mark, style=_colour(block, page))
        yield line
    if len(found.blocks) > most:
        yield Text(f"... {len(found.blocks) - most:,} smaller ones")


def svg(found: Map, most: int = 200) -> str:
    """A picture: a bar a block, the largest ones."""
    width, row, left = 1000, 14, 330
    largest = sorted(found.blocks, key=lambda block: block.start - block.end)[:most]
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {row * (len(largest) + 2)}" '
        f'font-family="monospace" font-size="10" role="img">'
        f"<title>{html.escape(headline(found))}</title>"
        f'<text x="0" y="{row - 3}">{html.escape(headline(found))}</text>'
    ]
    for number, block in enumerate(sorted(largest, key=lambda block: block.start), 1):
        y, total = row * number, sum(block.counts) or 1
        name = f"{block.address:#x} {block.size:,} {block.state.name.lower()}"
        out.append(f'<text x="0" y="{y + row - 3}">{name}</text>')
        at = 0
        for each in block.runs:
            x = left + (width - left) * at / total
            wide = (width - left) * each.count / total
            colour = _colour(block, each.page)
            out.append(
                f'<rect x="{x:.2f}" y="{y}" width="{wide:.2f}" height="{row - 2}" fill="{colour}"/>'
            )
            at += each.count
    return "".join([*out, "</svg>\n"])


def png(found: Map, most: int = 100) -> bytes:
    """A picture, too: a bar a block, the largest ones, of what is most of note in each part of it.

    Raises:
        ImportError: matplotlib is not installed.
    """
    require_matplotlib()
    from matplotlib.colors import to_rgb
    from matplotlib.figure import Figure

    largest = sorted(found.blocks, key=lambda block: block.start - block.end)[:most]
    blocks = sorted(largest, key=lambda block: block.start)
    rows = [
        [to_rgb(_colour(block, kind)) for kind, _ in block.parts(_PARTS)] for block in blocks
    ] or [[to_rgb("white")] * _PARTS]
    figure = Figure(figsize=(10, 1 + 0.16 * len(rows)), layout="constrained")
    axes = figure.subplots()
    axes.imshow(rows, aspect="auto", interpolation="nearest")
    axes.set_title(headline(found), fontsize=8, loc="left")
    names = [f"{block.address:#x} {block.size:,} {block.state.name.lower()}" for block in blocks]
    axes.set_yticks(range(len(names)), names, fontsize=6, family="monospace")
    axes.set_xticks([])
    return picture(figure, "png")


def _distinct(
    maps: Sequence[Map], stacks: dict[int, int]
) -> tuple[list[list[Any]], list[list[list[int]]]]:
    """All states that blocks are in, as the page has them; and of each map what goes and comes."""
    numbers: dict[tuple[Any, ...], int] = {}
    states: list[list[Any]] = []
    changes, before = [], set[int]()
    for found in maps:
        now = set()
        for block in found.blocks:
            key = (block.start, block.address, block.size, block.state, block.since, block.packed)
            if key not in numbers:
                numbers[key] = len(states)
                runs = [run.count * len(Page) + run.page for run in block.runs]
                stack = stacks.setdefault(block.stack, len(stacks)) if block.stack else -1
                kinds = [block.state.name, block.fill.name]
                states.append([hex(block.address), block.size, *kinds, block.since, stack, runs])
            now.add(numbers[key])
        changes.append([sorted(before - now), sorted(now - before)])
        before = now
    return states, changes


def evenly(length: int, count: int) -> list[int]:
    """The places of so many at most of a row, the first and the last one among them."""
    count = min(count, length)
    return [number * (length - 1) // max(count - 1, 1) for number in range(count)]


def _chosen(maps: Sequence[tuple[int, Map]], first: int) -> list[tuple[int, Map]]:
    """That one, and evenly so many of the others as a page has room for."""
    count = len(maps)
    while True:
        places = {first, *evenly(len(maps), count)}
        chosen = [maps[place] for place in sorted(places)]
        runs = {each.packed for _, found in chosen for each in found.blocks}
        if count <= 1 or sum(map(len, runs)) <= _RUNS:
            return chosen
        count //= 2


def page(
    maps: Sequence[tuple[int, Map]],
    first: int,
    machine: str,
    names: Callable[[int], list[str]],
) -> str:
    """One file of HTML, which needs no network.

    Args:
        maps: at least one: microseconds from the program's begin, and the heap then.
        first: which is shown first.
        machine: on which it was.
        names: of a call stack's number the frames, the innermost first.
    """
    script = files("patalloc").joinpath("watch", "map.js").read_text()
    chosen, found = _chosen(maps, first), maps[first][1]
    place = chosen.index(maps[first])
    rows = "".join(
        f"<tr><td>{html.escape(name)}</td><td>{size:,}</td></tr>" for name, size in totals(found)
    )
    stacks: dict[int, int] = {}
    states, changes = _distinct([each for _, each in chosen], stacks)
    inner = json.dumps(
        {
            "process": found.pid,
            "page_size": found.page_size,
            "spans": [[start, end] for start, end in found.spans],
            "stacks": [names(stack) for stack in stacks],
            "blocks": states,
            "first": place,
            "maps": [[at, *change] for (at, _), change in zip(chosen, changes, strict=True)],
        },
        separators=(",", ":"),
    ).replace("<", "\\u003c")
    slider = (
        '<p><label>at <input type="range" id="moment" min="0" '
        f'max="{len(chosen) - 1}" value="{place}"></label> <output id="at"></output></p>'
    )
    return (
        "<!doctype html><html lang=en><meta charset=utf-8>"
        f"<title>{html.escape(headline(found))}</title>"
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style>'
        f"<h1>A heap, page by page</h1><p>{html.escape(machine)}</p>"
        f'<p id="headline">{html.escape(headline(found))}</p>'
        f'<p id="key"></p>{slider if len(chosen) > 1 else ""}'
        '<p><button id="nearer">nearer</button> <button id="farther">farther</button></p>'
        '<p class="told" id="told" aria-live="polite"></p>'
        '<canvas id="map" tabindex="0" role="application" aria-label="Pages of all blocks in the '
        "order of their addresses. Arrows go from tile to tile, plus and minus nearer and farther, "
        'Escape shows all."></canvas>'
        "<p>A page that was read is the refpage's still; so are up to 15 around one that was read "
        "or written, which the kernel maps with it.</p>"
        f'<table id="totals"><tr><th>pages</th><th>bytes</th></tr>{rows}</table>'
        f'<script type="application/json" id="data">{inner}</script>'
        f"<script>{script}</script></html>\n"
    )
