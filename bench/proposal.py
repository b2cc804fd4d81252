"""The microbenchmark of the linux-mm proposal (v5, 2021), as bare mappings and as malloc.

1000 times: take 4,096,000 bytes, with the pattern by memset or by a reference page; store one byte
in every page of the first 4096, 2,048,000 or 4,096,000; give them back. The published figures are
the time saved against memset, and the maximal RSS in KiB of memset and reference page.
"""

from measure import (
    BARE,
    Variant,
    arguments,
    build,
    finish,
    improvement,
    measure,
    patterned,
    table,
    with_spread,
)

SIZE = 4_096_000
PUBLISHED = {
    4096: ("98.8015 %", "6656 / 3448"),
    2_048_000: ("61.8271 %", "6696 / 4580"),
    4_096_000: ("15.1205 %", "6716 / 6684"),
}
BARE_MAPPINGS = [("anon", {}), ("memset", {}), ("refpage", patterned("threshold=1T"))]
MALLOCS = [
    ("anon", BARE),
    ("memset", patterned("fill=memset")),
    ("refpage", patterned("fill=refpage")),
    ("auto", patterned()),
    ("auto, nothing kept", patterned("retain_size=0")),
]


def main() -> None:
    """Measure, and print beside the published figures."""
    options = arguments(__doc__)
    rounds, cycles = (1, 20) if options.short else (options.rounds, 1000)
    program, groups = build(), {}
    for touch, (published, published_rss) in PUBLISHED.items():
        for kind, chosen in (("mapped", BARE_MAPPINGS), ("malloc", MALLOCS)):
            variants = [
                Variant(
                    name,
                    [
                        program,
                        name if kind == "mapped" else "malloc",
                        str(SIZE),
                        str(touch),
                        str(cycles),
                        "1",
                    ],
                    env,
                )
                for name, env in chosen
            ]
            results = measure(variants, rounds)
            groups[f"{kind} {touch}"] = results
            memset = next(result for result in results if result.variant == "memset")
            rows = []
            for result in results:
                less, low, high = improvement(result, memset)
                rows.append(
                    (
                        result.variant,
                        with_spread(result),
                        f"{less:.2f} % ({low:.2f} to {high:.2f})",
                        f"{result.rss_kib:,}",
                    )
                )
            rows.append(("published: refpage", "", published, published_rss))
            title = f"{kind}: first {touch:,} of {SIZE:,} bytes written"
            table(title, ("", "us a cycle", "less time than memset", "peak RSS, KiB"), rows)
    finish(options.output, groups)


main()
