"""`patalloc doctor`."""

import json
import sys

import attrs
import click

from patalloc.machine import features, machine


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def doctor(as_json: bool) -> None:
    """Tell what this kernel and this machine allow, and what is done without the rest."""
    found, limits = features(), machine()
    if as_json:
        data = {"machine": attrs.asdict(limits), "features": [attrs.asdict(each) for each in found]}
        click.echo(json.dumps(data, indent=2))
        return
    from patalloc.cli.tables import show, table

    features_here = table("feature", "here", "since", "gives", "without it")
    for feature in found:
        here = "[green]yes[/]" if feature.available else "[yellow]no[/]"
        features_here.add_row(feature.name, here, feature.since, feature.purpose, feature.fallback)
    show(features_here, sys.stdout)
    space = "unlimited" if limits.address_space is None else f"{limits.address_space:,} bytes"
    facts = table("limit", "here", "meaning")
    facts.add_row("kernel", f"{limits.kernel} {limits.architecture}", "")
    facts.add_row("page size", f"{limits.page_size:,} bytes", "the unit of patterns and guards")
    facts.add_row(
        "vm.max_map_count",
        f"{limits.max_map_count:,}",
        f"mappings a process may have; heaps use at most {limits.map_count_allowed:,}",
    )
    facts.add_row("RLIMIT_AS, RLIMIT_DATA", space, "the lesser; blocks take what they need of it")
    facts.add_row(
        "memory", f"{limits.available_memory:,} bytes", "available now; no larger memset is started"
    )
    facts.add_row("huge pages", limits.huge_pages or "absent", "transparent_hugepage/enabled")
    click.echo()
    show(facts, sys.stdout)
