"""Files that commands write: none that they read; what is wrong with one is told by its name."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import click


@contextmanager
def writing(output: Path | str, *inputs: Path | str) -> Iterator[None]:
    """Meanwhile that file is written; `-` is standard output.

    Raises:
        UsageError: it is one of the inputs, or can't be written.
    """
    if str(output) == "-":
        yield
        return
    for each in inputs:
        with suppress(OSError):
            if Path(output).samefile(each):
                raise click.UsageError(f"--output {output}: that is what is read")
    try:
        yield
    except OSError as error:
        if error.filename not in (None, output, str(output)):
            raise
        raise click.UsageError(f"--output {output}: {error.strerror}") from None
