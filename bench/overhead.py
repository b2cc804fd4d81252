"""What the library costs where it has nothing to do: at start-up, and for each small request."""

from measure import Variant, arguments, build, finish, measure, patterned, table, with_spread

SIZES = (16, 100, 1000, 10_000, 100_000)


def main() -> None:
    """Measure, and print a table each: what is more than without the library is its cost."""
    options = arguments(__doc__)
    rounds = 1 if options.short else options.rounds
    starts, pairs = ("3", "1000") if options.short else ("100", "1000000")
    program, groups = build(), {}

    variants = [
        Variant(name, [program, "start", "0", starts], env)
        for name, env in (("glibc", {}), ("patalloc", patterned()))
    ]
    groups["start"] = bare, ours = measure(variants, rounds)
    row = (with_spread(bare), with_spread(ours), f"{(ours.us - bare.us) / 1000:.3f}")
    title = f"us to run /bin/true, {rounds} times {starts} runs"
    table(title, ("glibc", "patalloc", "more, ms"), [row])

    rows = []
    for size in SIZES:
        variants = [
            Variant(name, [program, "pairs", str(size), fill, pairs], env)
            for name, fill, env in (
                ("glibc", "0", {}),
                ("glibc + memset", "1", {}),
                ("patalloc", "0", patterned()),
            )
        ]
        groups[f"pairs {size}"] = results = measure(variants, rounds)
        nanoseconds = [f"{1000 * result.us:.1f} ±{result.spread:.0%}" for result in results]
        more = 1000 * (results[2].us - results[1].us)
        rows.append((f"{size:,} bytes", *nanoseconds, f"{more:.1f}"))
    columns = ("", "glibc", "glibc + memset", "patalloc", "more than glibc + memset")
    table("ns to malloc and free a small block", columns, rows)
    finish(options.output, groups)


main()
