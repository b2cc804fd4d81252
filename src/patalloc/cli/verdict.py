"""What `patalloc hunt` has found, for people and as data."""

import shlex
from collections.abc import Iterator
from typing import Any

import attrs

from patalloc.hunt import (
    Behaviour,
    Chance,
    Comparison,
    Culprit,
    Finding,
    Output,
    Part,
    Verdict,
)
from patalloc.hunt.coverage import Coverage
from patalloc.hunt.results import CONFIDENCE
from patalloc.hunt.selection import CODES, END
from patalloc.watch.formats import Told, python_frames, source_of
from patalloc.watch.rendering import render, render_stack
from patalloc.watch.symbols import Location, locate_in

_SHOWN = 20  # lines of a difference
_FRAMES = 4  # lines of a call stack, unless all are asked for
_RANGES = 4  # of bytes, that are named
_COLUMNS = 64  # in which a block is drawn
_EXCERPT = 1 << 16  # bytes of an output by which it is known for text
_WIDEST = 400  # characters of a line that are shown


def format_part(part: Part) -> str:
    """SITE:NUMBER:START-END, as --once takes it."""
    end = "" if part.end == END else str(part.end)
    return f"{part.site:016x}:{part.first}:{part.start}-{end}"


def _status(behaviour: Behaviour) -> str:
    status = behaviour.status
    if status is None:
        return "took too long"
    return f"signal {-status}" if status < 0 else f"status {status}"


def _is_text(content: bytes) -> bool:
    """Whether it can be shown in a terminal, by its beginning."""
    text = content[:_EXCERPT].decode(errors="replace")
    if len(content) > _EXCERPT:
        text = text.rstrip("\ufffd")  # a character that was cut
    return "\ufffd" not in text and all(
        line.replace("\t", " ").isprintable() for line in text.splitlines()
    )


def _difference(comparison: Comparison, before: Output, after: Output) -> Iterator[str]:
    """A few of the lines that differ; of what is no text, where it begins to."""
    if before.content == after.content:
        yield f"the same in its first {len(before.content) >> 20} MiB"
        return
    old, new = before.content, after.content
    if not (_is_text(old) and _is_text(new)):
        at = next((i for i, (a, b) in enumerate(zip(old, new, strict=False)) if a != b), len(old))
        a, b = old[at : at + 8].hex(" "), new[at : at + 8].hex(" ")
        yield f"byte {at}: {a or 'the end'} -> {b or 'the end'}"
        return
    changed = comparison.changes(before, after)
    for sign, line in changed[:_SHOWN]:
        text = line.decode(errors="replace").rstrip("\r\n")
        yield sign + (text if len(text) <= _WIDEST else f"{text[:_WIDEST]}...")
    if len(changed) > _SHOWN:
        yield f"... {len(changed) - _SHOWN} more lines"


def changes(comparison: Comparison, before: Behaviour, after: Behaviour) -> Iterator[str]:
    """What differs between two runs, in lines."""
    if before.status != after.status:
        yield f"{_status(before)} -> {_status(after)}"
    for old, new in comparison.differing(before, after):
        yield f"{old.name}:"
        yield from (f"  {line}" for line in _difference(comparison, old, new))


def _span(start: int, end: int) -> str:
    return f"{start} to {end - 1}" if end - start > 1 else str(start)


def _bytes_of(culprit: Culprit) -> str:
    """Which bytes, where they are known."""
    ranges = culprit.bytes or ((culprit.part.start, culprit.part.end),)
    if ranges[-1][1] == END:
        return ""
    spans = ", ".join(_span(*each) for each in ranges[:_RANGES])
    more = f" and {len(ranges) - _RANGES:,} more places" if len(ranges) > _RANGES else ""
    one = len(ranges) == 1 and ranges[0][1] - ranges[0][0] == 1
    return f"byte{'s' * (not one)} {spans}{more} of "


def _drawn(culprit: Culprit) -> str:
    """The block, by columns: # was written, . was not, and + in part."""
    size = culprit.size or 0
    width = min(_COLUMNS, size)
    columns = []
    for column in range(width):
        start, end = size * column // width, size * (column + 1) // width
        held = sum(max(0, min(end, to) - max(start, first)) for first, to in culprit.bytes)
        columns.append("#" if not held else "." if held == end - start else "+")
    return "".join(columns)


def _where(culprit: Culprit, *, verbose: bool) -> Iterator[str]:
    """The line that allocates: Python's stack first, as that is the program's own there."""
    python = [f"    {line.strip()}" for line in culprit.python.splitlines()]
    stack = [*render_stack(culprit.site.stack, culprit.modules)]
    most = len(stack) + len(python) if verbose else _FRAMES
    if python:
        yield from python[:most]
        yield "   in C:"
    yield from stack[:most]
    left = len(stack[most:]) + len(python[most:])
    if left:
        yield f"    ... {left} more lines: --verbose"


def _sentence(culprit: Culprit) -> str:
    """Which bytes of which allocation, and what is known of them."""
    most = "" if culprit.size or culprit.site.allocations == 1 else "up to "
    size = f", of {most}{culprit.size or culprit.site.largest:,} bytes"
    what = "never written" if culprit.bytes else "read before written"
    return (
        f"{_bytes_of(culprit)}allocation {culprit.part.first:,} of "
        f"{culprit.site.allocations:,} from here{size}, {what}"
    )


def _render(
    verdict: Verdict, finding: Finding, command: tuple[str, ...], *, verbose: bool
) -> Iterator[str]:
    for culprit in finding.culprits:
        yield f"  {_sentence(culprit)}:"
        if culprit.bytes and culprit.size:
            yield f"    [{_drawn(culprit)}] . was not written"
        yield from _where(culprit, verbose=verbose)
    held = "random bytes" if finding.pattern in CODES else finding.pattern
    yield f"  with {held} there instead of zeros:"
    yield from (
        f"    {line}" for line in changes(verdict.comparison, verdict.baseline, finding.behaviour)
    )
    for event in finding.events:
        yield from (f"    {line}" for line in render(event))
    once = " ".join(f"--once {format_part(culprit.part)}" for culprit in finding.culprits)
    pool = "" if verdict.pymalloc else "PYTHONMALLOC=malloc "
    hunt = f"{pool}patalloc hunt --pattern {finding.pattern}"
    yield f"  again: {hunt} {once} -- {shlex.join(command)}"


def _notes(verdict: Verdict) -> Iterator[str]:
    """What the baseline was, where that may be a surprise, and what of it was not compared."""
    if verdict.baseline.status != 0:
        said = next(each.content for each in verdict.baseline.outputs if each.name == "stderr")
        last = said.decode(errors="replace").rstrip().rpartition("\n")[2]
        yield f"each run ends with {_status(verdict.baseline)}{f': {last}' if last else ''}"
    for each in verdict.comparison.described():
        yield f"not compared, as it varies by itself: {each}"
    for path in verdict.written:
        yield f"{path} was written, and not compared: --output {shlex.quote(str(path))} does"


def _seen(verdict: Verdict) -> Iterator[str]:
    """What a clean program was looked at for, and what not."""
    coverage = verdict.baseline.coverage
    if coverage and coverage.anonymous:
        heap, memory = (f"{each / (1 << 20):.1f}" for each in (coverage.heap, coverage.anonymous))
        yield (
            f"at its end malloc's blocks had {heap} of {memory} MiB of its anonymous memory; the "
            "rest, variables and stacks were not seen"
        )
        yield from (f"{each}: not seen" for each in coverage.unseen)


def _by_change(verdict: Verdict) -> dict[tuple[str, ...], list[str]]:
    """The patterns that make a difference, by what that is; not those of which a finding tells."""
    told = {
        tuple(changes(verdict.comparison, verdict.baseline, each.behaviour))
        for each in verdict.findings
    }
    found: dict[tuple[str, ...], list[str]] = {}
    for name in verdict.differing:
        lines = tuple(changes(verdict.comparison, verdict.baseline, verdict.behaviours[name]))
        if lines and lines not in told:
            found.setdefault(lines, []).append(name)
    return found


def _render_chance(verdict: Verdict, chance: Chance) -> Iterator[str]:
    shares = chance.shares
    low, high = (f"{100 * bound:+.0f}" for bound in shares.interval)
    more = "more" if shares.interval[0] > 0 else "less"
    often = f"{more} often with it" if shares.is_sure else "not known to be the pattern's doing"
    yield (
        f"patalloc: chance: with {chance.pattern} {shares.different} of {shares.runs} runs behaved "
        f"otherwise, and without it {shares.different_without}: {often} "
        f"({low} to {high} in a hundred, at {CONFIDENCE:.1%}); this program is not deterministic"
    )
    yield from (
        f"    {line}" for line in changes(verdict.comparison, verdict.baseline, chance.behaviour)
    )


def print_verdict(verdict: Verdict, command: tuple[str, ...], *, verbose: bool) -> None:
    """On standard output."""
    from rich.console import Console

    console = Console(highlight=False, markup=False, soft_wrap=True)
    covered = (
        f"{verdict.allocations:,} allocations ({verdict.bytes:,} bytes) from "
        f"{verdict.sites:,} call stacks; {verdict.runs} runs in {verdict.seconds:.1f} s"
    )
    for line in _notes(verdict):
        console.print(f"patalloc: {line}")
    if verdict.is_clean:
        console.print(f"patalloc: the same with every pattern: {covered}")
        for line in _seen(verdict):
            console.print(f"patalloc: {line}")
        return
    together = {True: " together", False: ""}
    for number, finding in enumerate(verdict.findings, 1):
        title = f"patalloc: finding {number}: uninitialised memory changes the behaviour"
        console.print(title + together[len(finding.culprits) > 1], style="bold red")
        for line in _render(verdict, finding, command, verbose=verbose):
            console.print(line)
    if verdict.differs and not verdict.findings and not verdict.interrupted:
        console.print(
            f"patalloc: the behaviour differs with {', '.join(verdict.differing)}, "
            "but no allocation was found",
            style="bold red",
        )
    shown = _by_change(verdict) if verbose or not verdict.findings else {}
    for lines, names in shown.items():
        console.print(f"patalloc: with {', '.join(names)} in all fresh memory:")
        for line in lines:
            console.print(f"    {line}")
    for chance in verdict.chances:
        for line in _render_chance(verdict, chance):
            console.print(line)
    if verdict.interrupted:
        done = [name for name in verdict.behaviours if name not in verdict.differing]
        same = f"; the same with {', '.join(done)}" if done else ""
        console.print(f"patalloc: cut short: this is what was found so far{same}")
    console.print(f"patalloc: {covered}")


def told_of(verdict: Verdict, command: tuple[str, ...]) -> list[Told]:
    """The findings, each at the line that allocates: Python's where there is one."""
    errors = []
    for finding in verdict.findings:
        stacks: list[tuple[str, tuple[Location, ...]]] = []
        for culprit in finding.culprits:
            python = python_frames(culprit.python)
            stacks += [("allocated", python)] if python else []
            stacks.append(("allocated", tuple(locate_in(culprit.site.stack, culprit.modules))))
        summary = "; ".join(
            _sentence(culprit).replace(" from here", "") for culprit in finding.culprits
        )
        errors.append(
            Told(
                kind="uninitialised-memory",
                summary=f"uninitialised memory changes the behaviour: {summary}",
                text="\n".join(_render(verdict, finding, command, verbose=False)),
                place=source_of(stacks[0][1]),
                stacks=tuple(stacks),
            )
        )
    return errors


def _culprit_data(culprit: Culprit) -> dict[str, Any]:
    part = culprit.part
    return {
        "site": f"{part.site:016x}",
        "number": part.first,
        "allocations": culprit.site.allocations,
        "largest": culprit.site.largest,
        "start": part.start,
        "end": None if part.end == END else part.end,
        "bytes": [list(each) for each in culprit.bytes],
        "size": culprit.size,
        "stack": [line.strip() for line in render_stack(culprit.site.stack, culprit.modules)],
        "python": culprit.python.splitlines(),
    }


def data(verdict: Verdict, command: tuple[str, ...]) -> dict[str, Any]:
    """What --json prints."""
    coverage = verdict.baseline.coverage or Coverage()
    return {
        "version": 1,
        "command": list(command),
        "differs": verdict.differs,
        "patterns": {
            name: list(changes(verdict.comparison, verdict.baseline, each))
            for name, each in verdict.behaviours.items()
        },
        "findings": [
            {
                "pattern": finding.pattern,
                "culprits": [_culprit_data(culprit) for culprit in finding.culprits],
                "changes": list(changes(verdict.comparison, verdict.baseline, finding.behaviour)),
                "reports": [event.summary for event in finding.events],
            }
            for finding in verdict.findings
        ],
        "allocations": verdict.allocations,
        "bytes": verdict.bytes,
        "sites": verdict.sites,
        "runs": verdict.runs,
        "seconds": round(verdict.seconds, 3),
        "interrupted": verdict.interrupted,
        "unstable": [*changes(verdict.comparison, verdict.baseline, verdict.unstable)]
        if verdict.unstable
        else [],
        "status": verdict.baseline.status,
        "coverage": {
            "heap": coverage.heap,
            "anonymous": coverage.anonymous,
            "unseen": [*coverage.unseen],
        },
        "masked": verdict.comparison.described(),
        "written": [str(path) for path in verdict.written],
        "chances": [
            {
                "pattern": chance.pattern,
                **attrs.asdict(chance.shares),
                "interval": [round(bound, 3) for bound in chance.shares.interval],
                "sure": chance.shares.is_sure,
                "changes": list(changes(verdict.comparison, verdict.baseline, chance.behaviour)),
            }
            for chance in verdict.chances
        ],
    }
