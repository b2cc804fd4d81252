"""Pages of a PDF, rendered by PDFium: what the proposal measured (v3, linux-mm, 2020).

python -m patalloc.lab.pdfium [FILE [PAGES]]: the largest below /usr/share/doc, and 100, unless
given. It needs pypdfium2 (the extra `bench`).
"""

import gzip
import sys
import tempfile
from pathlib import Path

_DOCUMENTS = Path("/usr/share/doc")


def largest(directory: Path) -> Path | None:
    """The largest that a package has installed, unpacked into the directory if need be."""
    found = [*_DOCUMENTS.glob("**/*.pdf"), *_DOCUMENTS.glob("**/*.pdf.gz")]
    path = max(found, key=lambda path: (path.stat().st_size, path), default=None)
    if path is None or path.suffix != ".gz":
        return path
    unpacked = directory / path.stem
    unpacked.write_bytes(gzip.decompress(path.read_bytes()))
    return unpacked


def render(path: Path, pages: int) -> int:
    """Render the first pages; how many there were."""
    import pypdfium2

    pdf = pypdfium2.PdfDocument(path)
    count = min(pages, len(pdf))
    for index in range(count):
        pdf[index].render(scale=1).close()
    return count


def main(given: list[str]) -> int:
    """The exit status."""
    with tempfile.TemporaryDirectory(prefix="patalloc-lab-") as directory:
        path = Path(given[0]) if given else largest(Path(directory))
        if path is None:
            print(f"no PDF below {_DOCUMENTS}", file=sys.stderr)
            return 1
        print(f"{render(path, int(given[1]) if len(given) > 1 else 100)} pages of {path.name}")
        return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
