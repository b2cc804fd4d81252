"""PDFium renders pages of a large PDF: the headline of the proposal (v3).

Published for pages 1 to 100: 2.237081 s and 107088 KiB without a pattern, 2.252241 and 112180 with
memset, 2.243786 and 107128 with a reference page: 44 % of the memset's overhead in time.
"""

import json
import os
import sys
import tempfile
import time
from pathlib import Path

from measure import (
    BARE,
    Variant,
    arguments,
    console,
    finish,
    measure,
    patterned,
    table,
    with_spread,
)

from patalloc.lab.pdfium import largest
from patalloc.lab.pdfium import render as render_pages

PUBLISHED = {
    "anon": (2.237081, 107088),
    "memset": (2.252241, 112180),
    "refpage": (2.243786, 107128),
}


def render(path: str, pages: int) -> None:
    """Render the first pages, and print the time and the peak RSS."""
    import pypdfium2  # noqa: F401 (its loading is not rendering)

    start = time.perf_counter()
    render_pages(Path(path), pages)
    microseconds = (time.perf_counter() - start) * 1e6
    status = Path("/proc/self/status").read_text()
    peak = int(status.partition("VmHWM:")[2].split()[0])
    print(json.dumps({"us": microseconds, "rss_kib": peak}))


def large_bytes(path: str, pages: int) -> str:
    """How much of what PDFium allocates comes through malloc, and in large blocks."""
    from patalloc import Config
    from patalloc.preload import run

    null = os.open(os.devnull, os.O_WRONLY)
    saved = os.dup(1)
    os.dup2(null, 1)
    outcome = run([sys.executable, __file__, "--render", path, str(pages)], Config())
    os.dup2(saved, 1)
    stats = outcome.processes[0]
    total = stats.small_bytes + stats.bytes_refpage + stats.bytes_memset
    share = (stats.bytes_refpage + stats.bytes_memset) / total
    return (
        f"{total / 1e6:,.0f} MB came through malloc, "
        f"{share:.0%} of it in {stats.blocks:,} large blocks"
    )


def main() -> None:
    """Measure, and print beside the published figures."""
    options = arguments(__doc__)
    rounds, pages = (1, 2) if options.short else (options.rounds, 100)
    directory = tempfile.TemporaryDirectory(prefix="patalloc-bench-")
    path = largest(Path(directory.name))
    if path is None:
        console.print(
            "no PDF found under /usr/share/doc: install one, e.g. Debian's fpc-docs or maxima-doc"
        )
        return
    variants = [
        Variant(name, [sys.executable, __file__, "--render", str(path), str(pages)], env)
        for name, env in (
            ("anon", BARE),
            ("memset", patterned("fill=memset")),
            ("refpage", patterned("fill=refpage")),
            ("auto", patterned()),
        )
    ]
    results = measure(variants, rounds)
    anon, memset = results[0], results[1]
    rows = []
    for result in results:
        overhead = (result.us - anon.us) / (memset.us - anon.us) if memset.us > anon.us else 0
        time_published, rss_published = PUBLISHED.get(result.variant, (0, 0))
        published = f"{time_published:.6f} / {rss_published}" if time_published else ""
        rows.append(
            (
                result.variant,
                f"{with_spread(result)}",
                f"{result.us / anon.us:.4f}",
                f"{overhead:.0%}",
                f"{result.rss_kib:,}",
                published,
            )
        )
    columns = ("", "us", "of anon", "of memset's overhead", "peak RSS, KiB", "published: s / KiB")
    table(f"PDFium, {pages} pages of {path.name}, {rounds} processes", columns, rows)
    console.print(large_bytes(str(path), pages))
    finish(options.output, {"pdfium": results})


if sys.argv[1:2] == ["--render"]:
    render(sys.argv[2], int(sys.argv[3]))
else:
    main()
