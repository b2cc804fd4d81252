"""Results as pyperf has them (the extra `bench`), a file a metric.

`pyperf compare_to` and `pyperf hist` read them. Its verdicts are not ours: it compares all runs of
one point with all of another (Student's t), and not those of a round.
"""

from pathlib import Path

from patalloc.lab.launcher import METRICS
from patalloc.lab.sweep import Results

_UNITS = {"s": "second", "B": "byte", "": "integer"}


def write(results: Results, prefix: Path, machine: str) -> list[Path]:
    """PREFIX-METRIC.json for each metric, with the points as benchmarks; their paths.

    Raises:
        ImportError: pyperf is not installed.
        OSError: a file can't be written.
    """
    try:
        import pyperf
    except ImportError:
        raise ImportError("this needs pyperf: pip install 'patalloc[bench]'") from None
    paths = []
    for metric in results.metrics:
        unit = _UNITS[METRICS[metric]]
        benchmarks = []
        for name in results.points:
            values = results.values(name, metric).values()
            if not values or not all(values):  # pyperf knows no 0
                continue
            metadata = {"name": name, "unit": unit, "cpu_model_name": machine}
            runs = [
                pyperf.Run(
                    [value if unit == "second" else int(value)],
                    metadata=metadata,
                    collect_metadata=False,
                )
                for value in values
            ]
            benchmarks.append(pyperf.Benchmark(runs))
        if benchmarks:
            paths.append(prefix.with_name(f"{prefix.name}-{metric}.json"))
            pyperf.BenchmarkSuite(benchmarks).dump(str(paths[-1]), replace=True)
    return paths
