"""`patalloc replay`."""

import json
import sys

import click


@click.command()
@click.argument("trace", type=click.Path(exists=True, dir_okay=False))
@click.argument("allocators", nargs=-1)
@click.option("--runs", type=click.IntRange(1), default=3, show_default=True, help="Of each.")
@click.option("--json", "as_json", is_flag=True, help="Figures as JSON.")
def replay(trace: str, allocators: tuple[str, ...], runs: int, as_json: bool) -> None:
    """Do what a trace says again, by other allocators: how much memory they would take.

    ALLOCATORS are names (patalloc, glibc, jemalloc, mimalloc, tcmalloc, scudo, hardened), paths of
    libraries, patalloc:OPTIONS or OPTIONS alone; glibc and patalloc unless given. The same threads
    do the same requests in the same order, and write the pages that the program wrote, as far as
    that is known: of blocks of less than 1 MiB all. The time is the allocator's own, and foretells
    none of the program's, for which it also matters where its blocks lie.
    """
    from patalloc.lab.points import Point, PointError
    from patalloc.traces import Trace
    from patalloc.traces.replaying import ReplayError
    from patalloc.traces.replaying import replay as replayed

    try:
        points = [Point.parse(each) for each in allocators or ("glibc", "patalloc")]
        with Trace(trace) as found:
            done = replayed(found, points, runs=runs)
            end = found.end or {}
    except (PointError, ReplayError) as error:
        click.echo(f"patalloc: {error}", err=True)
        sys.exit(2)
    cpu = end.get("cpu")
    if as_json:
        rows = [
            {"allocator": each.point.name, "peak": each.peak, "after": each.after}
            | {"cpu": each.cpu, "wall": each.wall, "runs": each.runs}
            for each in done
        ]
        click.echo(json.dumps({"program": {"cpu": cpu}, "replays": rows}, indent=2))
        return
    width = max(len("allocator"), *(len(each.point.name) for each in done))
    click.echo(
        f"{'allocator':{width}}  {'peak, MiB':>10}  {'at the end':>10}  {'its own time, s':>15}"
    )
    for each in done:
        click.echo(
            f"{each.point.name:{width}}  {each.peak / 2**20:10.1f}  {each.after / 2**20:10.1f}  "
            f"{each.cpu:15.3f}"
        )
    if cpu is not None:
        click.echo(f"(the program took {cpu:.3f} s of processor time as it was recorded)")
