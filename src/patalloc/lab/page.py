"""Pictures of an experiment, and a page with them that needs nothing else.

They are drawn by matplotlib (the extra `plot`), in colours that colour-blind people tell apart
(Okabe and Ito, https://jfly.uni-koeln.de/color/); each has its table, and its data behind a link.
"""

import base64
import html
import math
from collections.abc import Sequence
from io import StringIO
from typing import TYPE_CHECKING

from patalloc.lab.statistics import Verdict
from patalloc.lab.sweep import Results
from patalloc.lab.texts import TITLES, number, percent
from patalloc.pictures import picture

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_COLOURS = {
    Verdict.BETTER: "#009e73",
    Verdict.WORSE: "#d55e00",
    Verdict.SAME: "#0072b2",
    Verdict.UNKNOWN: "#767676",
}
_MARKERS = {Verdict.BETTER: "v", Verdict.WORSE: "^", Verdict.SAME: "o", Verdict.UNKNOWN: "."}
_SHOWN = ("cpu", "wall", "peak_rss")

_STYLE = """
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 60rem; padding: 0 1rem; }
figure { background: #fff; border-radius: .5rem; margin: 1rem 0; padding: .5rem; }
figure svg { display: block; height: auto; width: 100%; }
.rows { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { border-bottom: 1px solid #8888; padding: .2rem .8rem; text-align: right; }
th:first-child, td:first-child { text-align: left; }
pre { overflow-x: auto; }
"""


def _figure(width: float, height: float) -> "Figure":
    from matplotlib import rcParams
    from matplotlib.figure import Figure

    rcParams["svg.hashsalt"] = "patalloc"  # the same picture of the same data
    rcParams["svg.fonttype"] = "none"  # text stays text
    return Figure(figsize=(width, height), layout="constrained")


def ratios(results: Results, metric: str) -> "Figure":
    """Dots with intervals: each point's median ratio to the baseline."""
    comparisons = results.comparisons(metric)
    names = [name for name in results.points[1:] if name in comparisons]
    figure = _figure(8, 1.2 + 0.35 * len(names))
    axes = figure.add_subplot()
    for row, name in enumerate(names):
        found = comparisons[name]
        interval, colour = found.interval, _COLOURS[found.verdict]
        middle = 100 * (interval.median - 1)
        if not math.isinf(interval.high):
            axes.plot(
                [100 * (interval.low - 1), 100 * (interval.high - 1)], [row, row], color=colour
            )
        axes.plot([middle], [row], _MARKERS[found.verdict], color=colour)
    axes.axvline(0, color="#000000", linewidth=0.8)
    axes.axvspan(-100 * results.margin, 100 * results.margin, color="#00000011")
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.set_xlabel(f"{TITLES.get(metric, metric)} beside {results.baseline}, %")
    return figure


def cost(results: Results, front: Sequence[str] = ()) -> "Figure":
    """CPU time over peak RSS, of each point's medians; of a front's a line, and the names alone."""
    figure = _figure(8, 5)
    axes = figure.add_subplot()
    places = {}
    for name in results.points:
        if not results.values(name, "cpu"):
            continue
        time, memory = results.typical(name, "cpu"), results.typical(name, "peak_rss")
        place = memory.median / (1 << 20), time.median
        colour = "#000000" if name == results.baseline else "#0072b2"
        axes.plot(*place, "s" if name == results.baseline else "o", color=colour)
        places[name] = place
        if not front or name in front:
            axes.annotate(name, place, (5, 3), textcoords="offset points", fontsize=8)
    line = sorted(places[name] for name in front if name in places)
    axes.step([x for x, _ in line], [y for _, y in line], where="post", color="#d55e00")
    axes.set_xlabel("peak RSS, MiB")
    axes.set_ylabel("CPU time, s")
    axes.margins(0.15)
    return figure


def _svg(figure: "Figure", title: str) -> str:
    """To stand inside a page, with a name for who listens to it."""
    text = picture(figure, "svg").decode()
    text = text[text.index("<svg") :]
    return text.replace("<svg ", f'<svg role="img" aria-label="{html.escape(title)}" ', 1)


def _rows(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    def line(kind: str, cells: Sequence[str]) -> str:
        return "<tr>" + "".join(f"<{kind}>{html.escape(each)}</{kind}>" for each in cells) + "</tr>"

    body = "".join(line("td", row) for row in rows)
    return f'<div class="rows"><table>{line("th", heads)}{body}</table></div>'


def _link(data: str, kind: str, name: str) -> str:
    coded = base64.b64encode(data.encode()).decode()
    return f'<a download="{name}" href="data:{kind};base64,{coded}">{name}</a>'


def _section(results: Results, metric: str) -> str:
    title = TITLES.get(metric, metric)
    comparisons = results.comparisons(metric)
    rows = []
    for name in results.points:
        if name in results.left_out or not results.values(name, metric):
            continue
        found = comparisons.get(name)
        beside = [percent(found.interval), found.verdict.value] if found else ["", "baseline"]
        runs = str(len(results.values(name, metric)))
        rows.append([name, runs, number(results.typical(name, metric).median, metric), *beside])
    drawn = _svg(ratios(results, metric), f"{title} of each point beside {results.baseline}")
    table = _rows(["point", "rounds", "median", "beside the baseline", ""], rows)
    return f"<h2>{html.escape(title)}</h2><figure>{drawn}</figure>{table}"


def page(results: Results, title: str, machine: str, files: Sequence[tuple[str, str, str]]) -> str:
    """One file: pictures, tables, and the data.

    Args:
        results: of the experiment.
        title: the command.
        machine: where it was.
        files: data to be had from it: their names, media types and contents.
    """
    out = StringIO()
    out.write(
        f"<!doctype html><html lang=en><meta charset=utf-8><title>{html.escape(title)}</title>"
    )
    out.write('<meta name="viewport" content="width=device-width">')
    out.write(f"<style>{_STYLE}</style><h1>Allocators side by side</h1>")
    out.write(f"<pre>{html.escape(title)}</pre><p>{html.escape(machine)}</p>")
    for metric in _SHOWN:
        if metric in results.metrics:
            out.write(_section(results, metric))
    if {"cpu", "peak_rss"} <= {*results.metrics}:
        drawn = _svg(cost(results), "CPU time over peak RSS, of each point")
        out.write(f"<h2>CPU time over peak RSS</h2><figure>{drawn}</figure>")
    if results.left_out:
        out.write("<h2>Left out</h2>")
        out.write(_rows(["point", "why"], [[*each] for each in results.left_out.items()]))
    links = " ".join(_link(data, kind, name) for name, kind, data in files)
    out.write(f"<h2>Data</h2><p>{links}</p></html>\n")
    return out.getvalue()
