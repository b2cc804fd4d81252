"""Juliet 1.3 for C/C++ (NIST): the heap's CWEs, without their variants of control and data flow.

Of each functional variant the first flow, "01", is run, as the others differ in how the same error
is reached; and none that wants input or chance.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from cases import Case

CWES = ("122", "124", "126", "127", "415", "416", "761")
WANTS_INPUT = re.compile("socket|console|environment|fgets|fscanf|_file_|rand|w32|wchar_t_file")


def cases(checkout: Path) -> Iterator[Case]:
    """The bad half and the good half of each."""
    support = checkout / "testcasesupport"
    for cwe in CWES:
        (directory,) = (checkout / "testcases").glob(f"CWE{cwe}_*")
        for source in sorted(directory.rglob("*_01.c*")):
            text = source.read_text(errors="replace")
            if WANTS_INPUT.search(source.stem) or "INCLUDEMAIN" not in text:
                continue
            for omitted, good in (("OMITGOOD", False), ("OMITBAD", True)):
                flags = [f"-I{support}", "-DINCLUDEMAIN", f"-D{omitted}"]
                sources = [source, support / "io.c"]
                yield Case(source.stem, f"CWE-{cwe}", sources, flags, good=good)
