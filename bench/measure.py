"""What the benchmarks share: variants run in turn, pyperf results, tables with spread.

Times are medians of several processes, all variants one after the other in each round, so that a
noisy machine is noisy for all. Ratios are to be compared, not microseconds.
"""

import argparse
import json
import os
import platform
import random
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import median, quantiles

import attrs
import pyperf
from rich.console import Console
from rich.progress import track
from rich.table import Table

from patalloc.lab import Interval
from patalloc.machine import describe
from patalloc.preload import library

HERE = Path(__file__).parent
console = Console(width=110, highlight=False)


@attrs.frozen
class Sample:
    """One process's result: microseconds, and the RSS in KiB; some count VMAs and page faults."""

    us: float
    rss_kib: int
    vmas: int = 0
    faults: float = 0.0


@attrs.frozen
class Variant:
    """One way of doing the same thing: a command, and what its environment has besides."""

    name: str
    command: Sequence[str]
    env: dict[str, str] = attrs.field(factory=dict)

    def run(self) -> Sample:
        """Run it once; its last line of output is the result."""
        env = {**os.environ, **self.env}
        done = subprocess.run(self.command, env=env, capture_output=True, text=True, check=True)
        return Sample(**json.loads(done.stdout.splitlines()[-1]))


@attrs.frozen
class Result:
    """All samples of one variant."""

    variant: str
    samples: list[Sample]

    @property
    def us(self) -> float:
        """The median time in microseconds."""
        return median(sample.us for sample in self.samples)

    @property
    def spread(self) -> float:
        """Half the distance between the quartiles, as a share of the median."""
        if len(self.samples) < 3:
            return 0.0
        low, _, high = quantiles((sample.us for sample in self.samples), n=4)
        return (high - low) / 2 / self.us

    @property
    def rss_kib(self) -> int:
        """The median of the RSS."""
        return int(median(sample.rss_kib for sample in self.samples))

    @property
    def vmas(self) -> int:
        """The median of the VMAs."""
        return int(median(sample.vmas for sample in self.samples))

    @property
    def faults(self) -> float:
        """The median of the page faults."""
        return median(sample.faults for sample in self.samples)


def patterned(options: str = "") -> dict[str, str]:
    """The environment under which malloc is patalloc's."""
    return {"LD_PRELOAD": str(library()), "PATALLOC_OPTIONS": options}


BARE = {"MALLOC_MMAP_THRESHOLD_": "131072"}  # glibc, its threshold fixed: fresh memory each time


def arguments(description: str | None) -> argparse.Namespace:
    """The command line that all benchmarks have."""
    parser = argparse.ArgumentParser(description=(description or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=10, help="processes a variant [10]")
    parser.add_argument("--short", action="store_true", help="one quick pass, to see that it works")
    parser.add_argument("--output", type=Path, help="pyperf JSON goes here")
    return parser.parse_args()


def build(source: str = "cycle.c") -> str:
    """Compile a benchmark program; its path."""
    program = Path(tempfile.mkdtemp(prefix="patalloc-bench-")) / "program"
    flags = ["-O1", "-fno-builtin", "-D_GNU_SOURCE", "-pthread"]
    subprocess.run(["cc", *flags, HERE / source, "-o", program, "-ldl", "-lm"], check=True)
    return str(program)


def measure(variants: Sequence[Variant], rounds: int) -> list[Result]:
    """Run all variants in turn, `rounds` times; the order is another each time."""
    samples: dict[str, list[Sample]] = {variant.name: [] for variant in variants}
    for _ in track(range(rounds), description="rounds", console=Console(stderr=True)):
        for variant in random.sample(variants, len(variants)):
            samples[variant.name].append(variant.run())
    return [Result(name, found) for name, found in samples.items()]


def improvement(result: Result, reference: Result) -> tuple[float, float, float]:
    """By how much less time than the reference, in percent, with the 95 % confidence interval.

    Of ratios within a round, as those of `patalloc sweep`.
    """
    pairs = zip(result.samples, reference.samples, strict=True)
    found = Interval.of([ours.us / theirs.us for ours, theirs in pairs])
    return 100 * (1 - found.median), 100 * (1 - found.high), 100 * (1 - found.low)


def save(path: Path | None, groups: dict[str, list[Result]]) -> None:
    """Write pyperf's JSON: one benchmark a group and variant, one run a process."""
    if path is None:
        return
    benchmarks = []
    for group, results in groups.items():
        for result in results:
            runs = [
                pyperf.Run(
                    [sample.us * 1e-6],
                    metadata={
                        "name": f"{group} {result.variant}",
                        "unit": "second",
                        "mem_max_rss": sample.rss_kib * 1024,
                        "python_version": platform.python_version(),
                        "platform": platform.platform(),
                        "cpu_model_name": describe(),
                    },
                    collect_metadata=False,
                )
                for sample in result.samples
            ]
            benchmarks.append(pyperf.Benchmark(runs))
    pyperf.BenchmarkSuite(benchmarks).dump(str(path), replace=True)


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print one table."""
    view = Table(title=title, title_justify="left")
    for column in columns:
        view.add_column(column, justify="left" if column == columns[0] else "right")
    for row in rows:
        view.add_row(*row)
    console.print(view)


def with_spread(result: Result) -> str:
    """The median and its spread."""
    return f"{result.us:,.2f} ±{result.spread:.0%}"


def finish(path: Path | None, groups: dict[str, list[Result]]) -> None:
    """Save, and say where this was."""
    save(path, groups)
    console.print(describe())
    sys.stdout.flush()
