"""Every limit beside what a program gets without the library: `make limits`."""

import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from rich.console import Console
from rich.table import Table

from limits.test_limits import CASES, build_limits, is_as_good, run


def main() -> int:
    """Print a line a case; 1 where one is worse than without."""
    table = Table("case", "without the library", "with it", "as good")
    with tempfile.TemporaryDirectory() as directory:
        program = build_limits(Path(directory))
        rows = [(case, run(program, case, None), run(program, case, "")) for case in CASES]
    good = [is_as_good(*row) for row in rows]
    for (case, bare, under), is_good in zip(rows, good, strict=True):
        table.add_row(case, bare.strip(), under.strip(), "yes" if is_good else "NO")
    table.caption = (
        "A number behind a name is a limit in MiB: RLIMIT_DATA of many_data, else RLIMIT_AS. "
        "As good is what is within 2 %, for the library's own 2 MiB and its tables."
    )
    Console().print(table)
    return not all(good)


sys.exit(main())
