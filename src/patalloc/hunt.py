"""The hunt: which allocation's uninitialised bytes change what a program does.

The program is run under several patterns; where its behaviour differs, some byte that it never
wrote was read. Which allocations must hold the other pattern for that is found by halving the set
of candidates (as Zeller and Hildebrandt, "Simplifying and Isolating Failure-Inducing Input", 2002,
do with inputs), and then which of their bytes.
"""

import re
from collections.abc import Callable, Iterable, Iterator

import attrs

from patalloc.events import Module
from patalloc.runs import Behaviour, Runner
from patalloc.selection import Part
from patalloc.trace import Site, Trace

Progress = Callable[[str, int], None]  # what is being done, and how many candidates are left


@attrs.frozen
class Candidates:
    """Allocations: of each site those from one number to another."""

    parts: tuple[Part, ...]

    def __len__(self) -> int:
        """How many allocations they are."""
        return sum(part.last - part.first + 1 for part in self.parts)

    def __add__(self, other: "Candidates") -> "Candidates":
        """Both; they must not overlap."""
        return Candidates(self.parts + other.parts)

    def split(self, pieces: int) -> list["Candidates"]:
        """As many parts of nearly equal length, in order; fewer where there are not so many."""
        total = len(self)
        bounds = [total * i // pieces for i in range(1, pieces)]
        found, rest = [], self
        for length in (b - a for a, b in zip([0, *bounds], [*bounds, total], strict=True)):
            piece, rest = rest._cut(length)
            if piece.parts:
                found.append(piece)
        return found

    def _cut(self, length: int) -> tuple["Candidates", "Candidates"]:
        taken: list[Part] = []
        parts = list(self.parts)
        while parts and length:
            part = parts.pop(0)
            count = min(length, part.last - part.first + 1)
            taken.append(attrs.evolve(part, last=part.first + count - 1))
            if part.first + count <= part.last:
                parts.insert(0, attrs.evolve(part, first=part.first + count))
            length -= count
        return Candidates(tuple(taken)), Candidates(tuple(parts))

    def without(self, sites: set[int]) -> "Candidates":
        """Those of other sites."""
        return Candidates(tuple(part for part in self.parts if part.site not in sites))


def _candidates(traces: Iterable[Trace]) -> Candidates:
    most: dict[int, int] = {}
    for found in traces:
        for site in found.sites:
            most[site.identity] = max(most.get(site.identity, 0), site.allocations)
    return Candidates(tuple(Part(identity, 1, count) for identity, count in most.items()))


@attrs.frozen
class Culprit:
    """An allocation that the program reads before it has written it.

    Attributes:
        part: the allocation, and which of its bytes matter: to the end where Part.end is END.
        site: its call stack.
        modules: the files that the stack's code is from.
        python: the Python frames that led to it, as faulthandler prints them; empty elsewhere.
    """

    part: Part
    site: Site
    modules: tuple[Module, ...]
    python: str = ""


@attrs.frozen
class Finding:
    """Allocations that together change the behaviour, and alone don't.

    Attributes:
        culprits: the allocations.
        pattern: that they held; behaviour: what the program did then.
    """

    culprits: tuple[Culprit, ...]
    pattern: str
    behaviour: Behaviour


@attrs.define
class Verdict:
    """What a hunt has found.

    Attributes:
        baseline: the behaviour under the base pattern.
        unstable: another behaviour in the same circumstances, where the program is not
            deterministic: nothing was hunted then.
        behaviours: by pattern: what it did with that in all of its memory.
        findings: what makes it behave otherwise; empty where all is the same.
        allocations: how many were looked at, bytes: of how many bytes, sites: of how many stacks.
        interrupted: whether it was cut short.
    """

    baseline: Behaviour
    unstable: Behaviour | None = None
    behaviours: dict[str, Behaviour] = attrs.field(factory=dict)
    findings: list[Finding] = attrs.field(factory=list)
    allocations: int = 0
    bytes: int = 0
    sites: int = 0
    interrupted: bool = False

    @property
    def differs(self) -> bool:
        """Whether some pattern changes the behaviour."""
        return any(each != self.baseline for each in self.behaviours.values())


@attrs.define
class Hunt:
    """One hunt; see the module.

    Attributes:
        runner: runs the program.
        patterns: to be tried besides the runner's base.
        most: how many findings are enough.
        progress: told what is being done.
    """

    runner: Runner
    patterns: tuple[str, ...] = ("0xff", "0x5a", "0x01")
    most: int = 5
    progress: Progress = lambda what, left: None

    def run(self) -> Verdict:
        """Hunt.

        Raises:
            OSError: the program can't be run.
        """
        self.progress("baseline", 0)
        verdict = Verdict(self.runner.run(self.patterns[0], ()))
        again = self.runner.run(self.patterns[0], ())
        if again != verdict.baseline:
            verdict.unstable = again
            return verdict
        traces = verdict.baseline.traces
        verdict.sites = sum(len(each.sites) for each in traces)
        verdict.allocations = sum(site.allocations for each in traces for site in each.sites)
        verdict.bytes = sum(site.bytes for each in traces for site in each.sites)
        try:
            self._hunt(verdict, _candidates(traces))
        except KeyboardInterrupt:
            verdict.interrupted = True
        return verdict

    def _hunt(self, verdict: Verdict, every: Candidates) -> None:
        for name, pattern, chosen in self._trials(every):
            self.progress(f"pattern {name}", len(every))
            verdict.behaviours[name] = self.runner.run(pattern, chosen)
        known: set[int] = set()
        for name, pattern, chosen in self._trials(every):
            if verdict.behaviours[name] == verdict.baseline:
                continue
            left = every if chosen == (Part(0),) else Candidates(chosen)
            while len(verdict.findings) < self.most:
                left = left.without(known)
                finding = self._isolate(verdict, pattern, left)
                if finding is None:
                    break
                verdict.findings.append(finding)
                known |= {culprit.part.site for culprit in finding.culprits}

    def _trials(self, every: Candidates) -> Iterator[tuple[str, str, tuple[Part, ...]]]:
        """All memory with each pattern, then a half: two errors may cancel each other out."""
        for pattern in self.patterns:
            yield pattern, pattern, (Part(0),)
        first = self.patterns[0]
        halves = {
            "every other call stack": every.parts[::2],
            "the others": every.parts[1::2],
            "the first half of each": tuple(
                attrs.evolve(part, last=(part.first + part.last) // 2)
                for part in every.parts
                if part.last > part.first
            ),
        }
        for name, parts in halves.items():
            if parts:
                yield f"{first} in {name}", first, parts

    def _differs(self, verdict: Verdict, pattern: str, chosen: Candidates) -> bool:
        return self.runner.run(pattern, chosen.parts) != verdict.baseline

    def _isolate(self, verdict: Verdict, pattern: str, left: Candidates) -> Finding | None:
        """A smallest set of them that makes the behaviour differ; None where none does alone.

        Each time the candidates are halved, what is needed of them beside those found so far is in
        the first half, or else the first half is kept and it is in the second.
        """
        needed = Candidates(())
        while left.parts and self._differs(verdict, pattern, needed + left):
            kept, rest = Candidates(()), left
            while len(rest) > 1:
                self.progress("bisecting allocations", len(rest))
                first, second = rest.split(2)
                if self._differs(verdict, pattern, needed + kept + first):
                    rest = first
                else:
                    kept, rest = kept + first, second
            needed, left = needed + rest, kept
            if self._differs(verdict, pattern, needed):
                return self._explain(verdict, pattern, needed)
        return None

    def _narrow(self, verdict: Verdict, pattern: str, parts: list[Part], index: int) -> None:
        """Cut a part down to the bytes that matter, the others as they are.

        The first byte that matters is the last of the shortest front that does, and the last one
        is the first of the shortest back; or where bytes matter only together, the other way round.
        They are mostly near each other.
        """
        part = parts[index]
        most = max(
            (
                site.largest
                for each in verdict.baseline.traces
                for site in each.sites
                if site.identity == part.site
            ),
            default=0,
        )

        def differs(start: int, end: int) -> bool:
            self.progress("narrowing bytes", end - start)
            tried = [*parts]
            tried[index] = attrs.evolve(part, start=start, end=end)
            return self.runner.run(pattern, tried) != verdict.baseline

        front = _least(1, most, lambda length: differs(0, length)) - 1
        step, near = 1, front
        if differs(front, most):
            while near + step < most and differs(near + step, most):
                near, step = near + step, 2 * step
            least = most - min(near + step, most)  # of this length the back does not matter yet
            back = most - _least(least + 1, most - near, lambda n: differs(most - n, most))
        else:
            while near > step and not differs(near - step, most):
                near, step = near - step, 2 * step
            least = most - max(near - step, 0)
            back = most - _least(most - near + 1, least, lambda n: differs(most - n, most))
        parts[index] = attrs.evolve(part, start=min(front, back), end=max(front, back) + 1)

    def _explain(self, verdict: Verdict, pattern: str, needed: Candidates) -> Finding:
        parts = [*needed.parts]
        for index in range(len(parts)):
            self._narrow(verdict, pattern, parts, index)
        behaviour = self.runner.run(pattern, parts)
        return Finding(tuple(self._culprit(verdict, part) for part in parts), pattern, behaviour)

    def _culprit(self, verdict: Verdict, part: Part) -> Culprit:
        for each in verdict.baseline.traces:
            for site in each.sites:
                if site.identity == part.site:
                    python = self._python_stack(each, part)
                    return Culprit(part, site, each.modules, python)
        raise AssertionError(part)

    def _python_stack(self, found: Trace, part: Part) -> str:
        """By stopping there, in a Python process: its faulthandler tells."""
        if not any("python" in module.path for module in found.modules):
            return ""
        self.progress("asking Python", 1)
        stopped = self.runner.run(self.patterns[0], (), (part.site, part.first))
        said = next(output.excerpt for output in stopped.outputs if output.name == "stderr")
        text = said.decode(errors="replace")
        match = re.search(r"most recent call first\):\n((?:  File .*\n)+)", text)
        return match.group(1) if match else ""


def _least(low: int, high: int, holds: Callable[[int], bool]) -> int:
    """The least number from `low` to `high` for which it holds, as it does for `high`."""
    while low < high:
        middle = (low + high) // 2
        if holds(middle):
            high = middle
        else:
            low = middle + 1
    return low
