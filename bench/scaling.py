"""How the cycle scales: with size, density, threads, live blocks and growth."""

from measure import BARE, Variant, arguments, build, finish, measure, patterned, table, with_spread

ALLOCATORS = [("glibc, no pattern", BARE), ("patalloc", patterned())]


def main() -> None:
    """Measure each curve, and print it."""
    options = arguments(__doc__)
    rounds, short = (1, True) if options.short else (options.rounds, False)
    program, groups = build(), {}

    def curve(title: str, points: dict[str, list[str]]) -> None:
        rows = []
        for point, command in points.items():
            variants = [Variant(name, [program, *command], env) for name, env in ALLOCATORS]
            groups[f"{title} {point}"] = results = measure(variants, rounds)
            ratio = results[1].us / results[0].us
            rows.append((point, *(with_spread(result) for result in results), f"{ratio:.2f}"))
        table(title, ("", *(name for name, _ in ALLOCATORS), "ratio"), rows)

    def cycle(size: int, touch: int, threads: int = 1, most: int = 5000) -> list[str]:
        wanted = 2 if short else max(30, min(most, 2_000_000_000 // (touch + 20_000)))
        return ["malloc", str(size), str(touch), str(wanted), str(threads)]

    sizes = {f"{kib:,} KiB": kib << 10 for kib in (128, 512, 2048, 8192, 32768)}
    sizes |= {f"{gib / 8:.3f} GiB": gib << 27 for gib in (1, 4, 8)}
    for most in (1000, 100_000):
        curve(
            f"us a cycle by size, one page written, {most:,} cycles",
            {name: cycle(size, 4096, most=most) for name, size in sizes.items()},
        )
    size = 4_096_000
    parts = (0, 1, 10, 25, 50, 75, 100)
    curve(
        "us a cycle of 4,096,000 bytes by the share written",
        {f"{part} %": cycle(size, size * part // 100) for part in parts},
    )
    for part in (0, 1, 50, 100):
        curve(
            f"us a cycle of each thread, 4,096,000 bytes, {part} % written",
            {f"{n} threads": cycle(size, size * part // 100, n, 50_000) for n in (1, 2, 4)},
        )
    counts = (1000,) if short else (1000, 100_000, 1_000_000)
    curve(
        "us a block of 300,000 bytes that lives with others, malloc and free",
        {f"{n:,} live": ["live", "300000", str(n)] for n in counts},
    )
    most = 8 if short else 1024
    curve(
        f"us to grow a block from 1 MiB to {most} MiB by 1 MiB, written as it grows",
        {"grow": ["grow", str(1 << 20), str(most << 20), str(1 << 20)]},
    )
    finish(options.output, groups)


main()
