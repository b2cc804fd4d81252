"""Programs that come with the package, to be measured."""

import sys

from patalloc.lab.launcher import tool
from patalloc.lab.points import PointError

_PREFIX = "workload:"
_RAW = {
    # The proposal's own (v5, linux-mm, 2021): 4,096,000 bytes, of which one page is written, half
    # of them, or all.
    "seed-page": ("4096000", "1", "1000", "0.001", "1"),
    "seed-half": ("4096000", "1", "400", "0.5", "1"),
    "seed-all": ("4096000", "1", "200", "1", "1"),
    # Blocks of several sizes that live at a time, a third of each written; by two threads.
    "touch": ("130000,300000,1000000", "64", "50", "0.33", "2"),
    "small": ("16,24,48,100,500", "1000", "3000", "1", "1"),
}
WORKLOADS = (*_RAW, "vectors", "pdfium")


def command(given: tuple[str, ...]) -> tuple[str, ...]:
    """The command; of workload:NAME that workload's.

    Raises:
        PointError: there is no such workload.
    """
    if not given[0].startswith(_PREFIX):
        return given
    name = given[0].removeprefix(_PREFIX)
    if given[1:] and name != "pdfium":
        raise PointError(f"{given[0]}: takes no arguments ({given[1]})")
    if name in _RAW:
        return (str(tool("workload")), "raw", *_RAW[name])
    if name == "vectors":
        return (str(tool("workload")), "vectors", "3000000", "3")
    if name == "pdfium":
        return (sys.executable, "-m", "patalloc.lab.pdfium", *given[1:])
    raise PointError(
        f"{given[0]}: must be one of {', '.join(_PREFIX + each for each in WORKLOADS)}"
    )
