"""MSET of Fraunhofer AISEC (Vintila, Zieris and Horsch, IEEE S&P 2025): what concerns the heap."""

import re
from collections.abc import Iterator
from pathlib import Path

from cases import Case

WENT_ON, UNMET = 42, 43
MACROS = [
    f"-DTEST_CASE_SUCCESSFUL_VALUE={WENT_ON}",
    f"-DPRECONDITIONS_FAILED_VALUE={UNMET}",
    "-DTEST_CASE_FAILED_VALUE=44",
]
GROUPS = {
    "linear_ooba": "linear",
    "non_linear_ooba": "non-linear",
    "type_confusion_ooba": "type confusion",
    "use_after_star": "use after free",
    "double_free": "double free",
    "misuse_of_free": "misuse of free",
}


def cases(checkout: Path) -> Iterator[Case]:
    """The error is made where an exit status does not say that it could not be."""
    script = f"-Wl,-T,{checkout}/sanitizers/after_text.ld"
    for source in sorted((checkout / "test_cases").glob("*.c")):
        kind = next(kind for kind in GROUPS if source.stem.startswith(kind))
        of_free = kind in {"double_free", "misuse_of_free"}
        if not of_free and "heap" not in source.stem:
            continue
        yield Case(
            re.sub(r"_\d+$", "", source.stem),
            GROUPS[kind],
            [source],
            [script, *MACROS],
            good="validation" in source.stem,
            compiler="clang",
            went_on_status=WENT_ON,
            unmet=UNMET,
        )
