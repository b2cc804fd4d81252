"""The touch cycle under each peer allocator that fills memory, and under patalloc."""

from pathlib import Path

from measure import BARE, Variant, arguments, build, finish, measure, patterned, table, with_spread

LIBRARIES = Path("/usr/lib")
PEERS = [
    ("anonymous, no pattern", BARE),
    ("anonymous + memset", BARE | {"MALLOC_PERTURB_": "85"}),
    ("glibc, no pattern", {}),
    ("glibc perturb", {"MALLOC_PERTURB_": "85"}),
    ("scudo pattern_fill", {"LD_PRELOAD": "scudo", "SCUDO_OPTIONS": "pattern_fill_contents=1"}),
    ("jemalloc junk:alloc", {"LD_PRELOAD": "libjemalloc.so.2", "MALLOC_CONF": "junk:alloc"}),
    ("mimalloc, no pattern", {"LD_PRELOAD": "libmimalloc.so.2"}),
    ("patalloc", patterned()),
    ("patalloc, nothing kept", patterned("retain_size=0")),
    ("patalloc, nothing cached", patterned("retain_size=0:cache_size=0")),
]


def installed(env: dict[str, str]) -> dict[str, str] | None:
    """The environment with the library's path; None where it is not installed."""
    if "LD_PRELOAD" not in env or env["LD_PRELOAD"].startswith("/"):
        return env
    name = env["LD_PRELOAD"].replace("scudo", "libclang_rt.scudo_standalone-*.so")
    found = sorted(LIBRARIES.glob(f"**/{name}"))
    return env | {"LD_PRELOAD": str(found[-1])} if found else None


def main() -> None:
    """Measure, and print a table a size."""
    options = arguments(__doc__)
    rounds = 1 if options.short else options.rounds
    program, groups = build(), {}
    for size, cycles in ((4_096_000, 1000), (33_554_432, 100)):
        cycles = 3 if options.short else cycles
        columns = []
        for touch in (4096, size // 2, size):
            variants = [
                Variant(name, [program, "malloc", str(size), str(touch), str(cycles), "1"], found)
                for name, env in PEERS
                if (found := installed(env)) is not None
            ]
            groups[f"{size} {touch}"] = results = measure(variants, rounds)
            columns.append(results)
        rows = [
            (one.variant, *(f"{with_spread(r)}  {r.rss_kib:,}" for r in (one, half, full)))
            for one, half, full in zip(*columns, strict=True)
        ]
        title = f"{size:,} bytes, {cycles} cycles, {rounds} processes: us a cycle, peak RSS in KiB"
        table(title, ("", "1 page written", "half", "all"), rows)
    finish(options.output, groups)


if __name__ == "__main__":
    main()
