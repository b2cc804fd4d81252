"""Traces as one page of HTML, which needs no network."""

import csv
import html
import json
from collections.abc import Iterable, Sequence
from importlib.resources import files
from io import StringIO
from typing import Any

_WIDTH, _HEIGHT = 1000, 260
_LEFT, _BOTTOM = 90, 30  # of a picture, for its scales


_FLAME = """<h2>Call stacks</h2>{colours}
<div class="bar"><label>by <select id="measure">{options}
<option value="at">bytes live at</option></select></label>
<label>moment <input id="moment" type="range" min="0" max="{last}" value="0"></label>
<output id="when"></output>
<label><input id="inverted" type="checkbox"> innermost first</label>
<label>find <input id="search" type="search"></label> <output id="found"></output></div>
<p class="told" id="told" aria-live="polite"></p>
<canvas id="flame" tabindex="0" role="application" aria-label="Call stacks, wide as their bytes.
Arrows go from frame to frame, Enter shows one alone, Escape all."></canvas>"""


def _escaped(text: object) -> str:
    return html.escape(str(text))


def _rows(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    def line(kind: str, cells: Sequence[object]) -> str:
        return "<tr>" + "".join(f"<{kind}>{_escaped(each)}</{kind}>" for each in cells) + "</tr>"

    body = "".join(line("td", row) for row in rows)
    return f'<div class="rows"><table>{line("th", heads)}{body}</table></div>'


def _bytes(number: float) -> str:
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if number < 1024 or unit == "GiB":
            return f"{number:.0f} {unit}" if unit == "bytes" else f"{number:.1f} {unit}"
        number /= 1024
    raise AssertionError


def _line(points: Sequence[tuple[float, float]], colour: str) -> str:
    """A step line through shares of the picture's width and height."""
    if not points:
        return ""
    parts: list[str] = []
    for x, y in points:
        across = f"{_LEFT + x * (_WIDTH - _LEFT):.1f}"
        up = f"{(1 - y) * (_HEIGHT - _BOTTOM):.1f}"
        parts.append(f"H{across} V{up}" if parts else f"M{across} {up}")
    return f'<path d="{" ".join(parts)}" fill="none" stroke="{colour}" stroke-width="1.6"/>'


_MOMENTS = 20  # of a table

# What is drawn over time: what it is, its colour, and where the numbers are.
_SERIES = (
    ("live, as requested", "one", "times", "start", "bytes"),
    ("anonymous memory of the process", "two", "samples", "time", "anonymous"),
    ("written, of live large blocks", "three", "heap", "time", "written"),
    ("kept, of freed ones", "four", "heap", "time", "kept"),
    ("quarantined (addresses)", "five", "heap", "time", "quarantined"),
)


def _times(shown: dict[tuple[str, str], list[tuple[float, float]]], last: float) -> str:
    """The same in numbers: at some moments what was last known then."""
    rows = []
    for number in range(1, _MOMENTS + 1):
        moment = last * number / _MOMENTS
        known = [[size for time, size in points if time <= moment] for points in shown.values()]
        rows.append([f"{moment / 1e6:.2f}", *(f"{each[-1]:,}" if each else "" for each in known)])
    table = _rows(["s", *(name for name, _ in shown)], rows)
    return f"<details><summary>In numbers</summary>{table}</details>"


def _over_time(run: dict[str, Any]) -> str:
    """Live bytes, what was resident, and what became of large blocks, over time."""
    series = {
        (name, colour): [(each[time], each[size]) for each in run[rows]]
        for name, colour, rows, time, size in _SERIES
    }
    every = [each for points in series.values() for each in points]
    last = max([run["facts"]["duration"] * 1e6, *(time for time, _ in every)]) or 1
    most = max([size for _, size in every], default=0) or 1
    shown = {key: points for key, points in series.items() if any(size for _, size in points)}
    lines = [
        _line([(time / last, size / most) for time, size in points], f"var(--{colour})")
        for (_, colour), points in shown.items()
    ]
    keys = " ".join(
        f'<span class="key" style="color: var(--{colour})">{name}</span>' for name, colour in shown
    )
    scale = "".join(
        f'<text x="{_LEFT - 6}" y="{(1 - share) * (_HEIGHT - _BOTTOM) + 12:.0f}" text-anchor="end" '
        f'font-size="12" fill="currentColor">{_bytes(most * share)}</text>'
        for share in (0.02, 0.5, 1)
    )
    scale += "".join(
        f'<text x="{_LEFT + share * (_WIDTH - _LEFT):.0f}" y="{_HEIGHT - 8}" '
        f'text-anchor="{"start" if share == 0 else "end" if share == 1 else "middle"}" '
        f'font-size="12" fill="currentColor">{last * share / 1e6:.2f} s</text>'
        for share in (0, 0.5, 1)
    )
    title = f"Live bytes over time: at most {run['facts']['peak']:,}"
    return (
        f'<svg role="img" aria-label="{_escaped(title)}" viewBox="0 0 {_WIDTH} {_HEIGHT}">'
        f"{''.join(lines)}{scale}</svg><p>{keys}</p>{_times(shown, last)}"
    )


def _bars(rows: Sequence[tuple[str, int, int]], title: str, key: tuple[str, str]) -> str:
    """A bar a row, and in it a part."""
    most = max((whole for _, whole, _ in rows), default=0) or 1
    out = []
    for place, (name, whole, part) in enumerate(rows):
        y = place * 18
        out.append(
            f'<text x="{_LEFT + 60}" y="{y + 13}" text-anchor="end" font-size="12" '
            f'fill="currentColor">{_escaped(name)}</text>'
        )
        wide = (_WIDTH - _LEFT - 70) * whole / most
        inner = (_WIDTH - _LEFT - 70) * part / most
        out += (
            f'<rect x="{_LEFT + 70}" y="{y + 2}" width="{long:.1f}" height="14" fill="{colour}"/>'
            for long, colour in ((wide, "var(--one)"), (inner, "var(--two)"))
        )
    names = "".join(
        f'<span class="key" style="color: var(--{colour})">{_escaped(name)}</span> '
        for name, colour in zip(key, ("one", "two"), strict=True)
        if name
    )
    return (
        f'<svg role="img" aria-label="{_escaped(title)}" viewBox="0 0 {_WIDTH} {18 * len(rows)}">'
        f"{''.join(out)}</svg><p>{names}</p>"
    )


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f} %" if whole else ""


def _sizes(run: dict[str, Any]) -> str:
    sizes = [each for each in run["sizes"] if each["allocations"]]
    rows = [(f"{each['start']:,}", each["bytes"], 0) for each in sizes]
    for place, each in enumerate(sizes):
        if each["seen_pages"]:
            never = (
                each["bytes"] * (each["seen_pages"] - each["written_pages"]) // each["seen_pages"]
            )
            rows[place] = (rows[place][0], each["bytes"], never)
    picture = _bars(
        rows, "Bytes requested by size", ("requested, by size from", "of that never written")
    )
    table = _rows(
        ["from", "requests", "bytes", "temporary", "written"],
        [
            [
                f"{each['start']:,}", f"{each['allocations']:,}", f"{each['bytes']:,}",
                _share(each["temporary"], each["allocations"]),
                _share(each["written_pages"], each["seen_pages"]),
            ]
            for each in sizes
        ],
    )  # fmt: skip
    return f"{picture}<details><summary>as a table</summary>{table}</details>"


def _lives(run: dict[str, Any]) -> str:
    rows = [(f"{each['start']:,} µs", each["blocks"], 0) for each in run["lives"]]
    picture = _bars(rows, "Blocks by lifetime", ("blocks, by lifetime from", ""))
    table = _rows(
        ["from, µs", "blocks", "bytes"],
        [
            [f"{each['start']:,}", f"{each['blocks']:,}", f"{each['bytes']:,}"]
            for each in run["lives"]
        ],
    )
    return f"{picture}<details><summary>as a table</summary>{table}</details>"


def _stacks(found: dict[str, Any], most: int = 50) -> str:
    """The text twin of the flame graph: functions, with all that they are on the stack of."""
    totals: list[dict[int, int]] = []
    for run in found["runs"]:
        total: dict[int, int] = {}
        for node, value in zip(*run["values"]["requested"], strict=True):
            seen = set()
            while node >= 0:
                node, frame = found["nodes"][node]
                if frame not in seen:
                    seen.add(frame)
                    total[frame] = total.get(frame, 0) + value
        totals.append(total)
    frames = sorted(
        {frame for each in totals for frame in each},
        key=lambda frame: -max(each.get(frame, 0) for each in totals),
    )
    rows = [
        [found["frames"][frame][0], *(f"{each.get(frame, 0):,}" for each in totals)]
        for frame in frames[:most]
    ]
    heads = ["function", *(f"bytes requested, {run['file']}" for run in found["runs"])]
    return _rows(heads, rows)


def as_csv(found: dict[str, Any]) -> str:
    """A line a call stack: the figures of each trace, and its frames, the outermost first."""
    out = StringIO()
    writer = csv.writer(out)
    names = [*found["measures"]]
    writer.writerow(["file", *names, "stack"])
    for run in found["runs"]:
        values = {name: dict(zip(*run["values"][name], strict=True)) for name in names}
        for node in sorted({node for each in values.values() for node in each}):
            path, at = [], node
            while at >= 0:
                at, frame = found["nodes"][at]
                path.append(found["frames"][frame][0])
            row = [values[name].get(node, 0) for name in names]
            writer.writerow([run["file"], *row, ";".join(reversed(path))])
    return out.getvalue()


def page(found: dict[str, Any], machine: str) -> str:
    """One file with all that shown.document has.

    Args:
        found: that.
        machine: where it was.
    """
    style, script = (
        files("patalloc").joinpath("traces", name).read_text() for name in ("page.css", "page.js")
    )
    title = " ".join(found["runs"][0]["facts"]["command"])[:200] or found["runs"][0]["file"]
    options = "".join(
        f'<option value="{name}">{_escaped(meaning)}</option>'
        for name, meaning in found["measures"].items()
    )
    moments = len(found["runs"][0]["moments"])
    out = [
        f"<!doctype html><html lang=en><meta charset=utf-8><title>{_escaped(title)}</title>",
        '<meta name="viewport" content="width=device-width">',
        f"<style>{style}</style><h1>What a program asked of malloc</h1><p>{_escaped(machine)}</p>",
    ]
    for run in found["runs"]:
        lines = "\n".join(run["sentences"])
        out.append(f"<h2>{_escaped(run['file'])}</h2><pre>{_escaped(lines)}</pre>")
        out.append(f"<h3>Over time</h3>{_over_time(run)}")
    colours = (
        "<p>Blue has less in the second trace, orange more.</p>" if len(found["runs"]) > 1 else ""
    )
    out.append(_FLAME.format(colours=colours, options=options, last=max(moments - 1, 0)))
    out.append(f"<details><summary>as a table</summary>{_stacks(found)}</details>")
    for run in found["runs"]:
        out.append(f"<h2>Sizes{_of(found, run)}</h2>{_sizes(run)}")
        out.append(f"<h2>Lifetimes{_of(found, run)}</h2>{_lives(run)}")
    data = json.dumps(found, separators=(",", ":"))
    out.append('<h2>Data</h2><p><a id="json">trace.json</a> <a id="csv">stacks.csv</a></p>')
    inner = data.replace("<", "\\u003c")
    out.append(f'<script type="application/json" id="data">{inner}</script>')
    out.append(f"<script>{script}</script></html>\n")
    return "".join(out)


def _of(found: dict[str, Any], run: dict[str, Any]) -> str:
    return f", {_escaped(run['file'])}" if len(found["runs"]) > 1 else ""
