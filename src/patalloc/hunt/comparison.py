"""What two runs are compared by: what they wrote, but for what varies by itself.

Runs in the same circumstances are alike but for times, numbers of processes, temporary names, or
the order of lines that threads write. What differs between two such runs is masked from then on,
in the lines that look like it.
"""

import difflib
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from itertools import groupby, zip_longest

import attrs

from patalloc.hunt.runs import Behaviour, Output

_LEFT_OUT = "…".encode()
# Words with their numbers, so that a time or an address is one; and what was left out of a line.
_TOKEN = re.compile(_LEFT_OUT + rb"|[\w.:+\-]+|[^\w.:+\-]")
_WORD = rb"[\w.:+\-]*"
_ANY = rb"(?:" + _LEFT_OUT + rb"|[\w.:+\-])*"
_NUMBER = re.compile(rb"\d+")
# How long something took, and when it was, differ from run to run, if not between the first two.
_DURATION = re.compile(
    rb"(?<![\w.])\d+(?:\.\d+)?(?= ?(?:[nmu]?s|secs?|seconds?|min|minutes?)\b)"
    rb"|(?<![\w.:])[012]\d:[0-5]\d:[0-6]\d(?:[.,]\d+)?(?![\w:])"
)
_MOST = 200  # masks, after which a program is taken for one that is not deterministic
_MATCHED = 1000  # lines, or words of a line, between which an order is looked for
_KEPT = 6  # outputs of which the lines are known: of a few runs
_STEPS = 3  # in which two runs are understood
_ALIKE = 50  # lines of one shape, of which the most alike is looked for
_COMPARED = 2000  # lines that differ, which are looked at for what varies

_ALL = -1  # instead of a number: an output that is too long to be compared by lines; a whole line


@attrs.frozen
class Point:
    """Something that a run does.

    Attributes:
        name: of an output; empty for the status. line: its number there. word: one's in that line.
    """

    name: str
    line: int = _ALL
    word: int = _ALL


_STATUS = Point("")


def _hide_durations(line: bytes) -> bytes:
    return _DURATION.sub(_LEFT_OUT, line)


def _shape(line: bytes) -> bytes:
    """The line without what is likely to vary: words with a number in them."""
    return b"".join(_LEFT_OUT if _NUMBER.search(token) else token for token in _TOKEN.findall(line))


@attrs.frozen
class Mask:
    """A kind of line of which a part varies by itself, or that comes in some runs only.

    Attributes:
        pattern: of the whole line; its groups are what is compared.
        comes_and_goes: whether it is not in all runs.
    """

    pattern: re.Pattern[bytes]
    comes_and_goes: bool = False

    def __str__(self) -> str:
        """A regular expression for the line."""
        simple = self.pattern.pattern.replace(_ANY, _WORD)
        fixed = re.sub(rb"\(((?:\\.|[^()])*)\)", rb"\1", simple)
        return fixed.decode(errors="backslashreplace")


def _pattern_of(parts: Sequence[bytes | None]) -> re.Pattern[bytes]:
    """None: what varies."""
    pieces = []
    for varies, group in groupby(parts, key=lambda part: part is None):
        fixed = b"".join(part for part in group if part is not None)
        escaped = re.escape(fixed).replace(rb"\ ", b" ")
        pieces.append(_ANY if varies else b"(" + escaped + b")")
    return re.compile(b"".join(pieces))


def _mask_for(one: bytes, other: bytes) -> Mask | None:
    """What differs between two lines is what varies; None where little else would be left."""
    old, new = _TOKEN.findall(one), _TOKEN.findall(other)
    parts: list[bytes | None] = []
    for kind, start, end, *_ in _opcodes(old, new):
        if kind == "equal":
            parts += (None if token == _LEFT_OUT else token for token in old[start:end])
        elif not parts or parts[-1] is not None:
            parts.append(None)
    fixed = b"".join(part for part in parts if part is not None)
    if not re.search(rb"[^\W\d]", fixed) and len(fixed) < len(one) * 3 // 4:
        return None
    return Mask(_pattern_of(parts))


def _alike(one: bytes, other: bytes) -> int:
    """How many words are the same in their places."""
    pairs = zip(_TOKEN.findall(one), _TOKEN.findall(other), strict=False)
    return sum(a == b for a, b in pairs)


def _optional(line: bytes) -> Mask:
    """Of just this line: one like it may be always there, and be wrong."""
    return Mask(_pattern_of([line]), comes_and_goes=True)


def _common(one: Sequence[bytes], other: Sequence[bytes]) -> tuple[int, int]:
    """How many are the same in front, and behind them at the end."""
    most = min(len(one), len(other))
    front = next((i for i in range(most) if one[i] != other[i]), most)
    most -= front
    return front, next((i for i in range(most) if one[-1 - i] != other[-1 - i]), most)


def _opcodes(one: Sequence[bytes], other: Sequence[bytes]) -> list[tuple[str, int, int, int, int]]:
    """As SequenceMatcher has them; beyond a size, as its time goes by the square, all differs."""
    front, back = _common(one, other)
    ends = len(one) - back, len(other) - back
    whole = [("equal", 0, front, 0, front)]
    if max(ends[0], ends[1]) - front > _MATCHED:
        whole.append(("replace", front, ends[0], front, ends[1]))
    else:
        matcher = difflib.SequenceMatcher(None, one[front : ends[0]], other[front : ends[1]], False)
        whole += (
            (kind, front + a, front + b, front + c, front + d)
            for kind, a, b, c, d in matcher.get_opcodes()
        )
    return [*whole, ("equal", ends[0], len(one), ends[1], len(other))]


@attrs.define
class Comparison:
    """Compares behaviours, and learns what does not count.

    Attributes:
        durations: whether it counts how long something took, and when, as runs tell.
        masks: by the name of an output, the kinds of lines of which a part is left out.
        unordered: the outputs whose lines come in any order.
    """

    durations: bool = False
    masks: dict[str, list[Mask]] = attrs.field(factory=lambda: defaultdict(list))
    unordered: set[str] = attrs.field(factory=set)
    _hid_durations: bool = False
    _compared: dict[Output, list[bytes]] = attrs.field(factory=dict, init=False)  # the last ones

    @property
    def has_learned(self) -> bool:
        """Whether anything ever varied."""
        return bool(self.unordered or any(self.masks.values()))

    def same(self, one: Behaviour, other: Behaviour) -> bool:
        """Whether they are, but for what is masked."""
        return one.status == other.status and not any(self.differing(one, other))

    def differing(self, one: Behaviour, other: Behaviour) -> Iterator[tuple[Output, Output]]:
        """The outputs that are not the same, in pairs."""
        for old, new in zip(one.outputs, other.outputs, strict=True):
            if old == new:
                continue
            if not (old.is_whole and new.is_whole) or self.lines(old) != self.lines(new):
                yield old, new

    def lines(self, output: Output) -> list[bytes]:
        """Its lines as they are compared."""
        if output not in self._compared:
            masked = (each for _, each in self._masked(output))
            lines = sorted(masked) if output.name in self.unordered else [*masked]
            while len(self._compared) >= _KEPT:
                del self._compared[next(iter(self._compared))]
            self._compared[output] = lines
        return self._compared[output]

    def _masked(self, output: Output) -> Iterator[tuple[bytes, bytes]]:
        """Each line as it is, and as it is compared."""
        masks = self.masks[output.name]
        for line in output.content.splitlines(keepends=True):
            ending = line[len(line.rstrip(b"\r\n")) :]
            compared = line[: len(line) - len(ending)]
            if not self.durations and (hidden := _hide_durations(compared)) != compared:
                self._hid_durations, compared = True, hidden
            found = ((mask, mask.pattern.fullmatch(compared)) for mask in masks)
            mask, match = next(((mask, match) for mask, match in found if match), (None, None))
            if mask and mask.comes_and_goes:
                continue
            yield line, (_LEFT_OUT.join(match.groups()) if match else compared) + ending

    def points(self, one: Behaviour, other: Behaviour) -> list[Point]:
        """Where they differ, in order."""
        found: list[Point] = []
        for old, new in self.differing(one, other):
            if old.is_whole and new.is_whole:
                pairs = enumerate(zip_longest(self.lines(old), self.lines(new)))
                found += (Point(old.name, number) for number, (a, b) in pairs if a != b)
            else:
                found.append(Point(old.name))
        return found + [_STATUS] * (one.status != other.status)

    def line_of(self, point: Point | None) -> tuple[str, int] | None:
        """The output and the line that it is in, where lines are compared as they come."""
        if point is None or point.line == _ALL or point.name in self.unordered:
            return None
        if any(mask.comes_and_goes for mask in self.masks[point.name]):
            return None
        return point.name, point.line

    def words(self, point: Point, behaviour: Behaviour) -> list[Point]:
        """The words of a line, as it is there."""
        line = None if point.line == _ALL else self.at(behaviour, point)
        count = len(_TOKEN.findall(line)) if isinstance(line, bytes) else 0
        return [attrs.evolve(point, word=number) for number in range(count)]

    def at(self, behaviour: Behaviour, point: Point) -> bytes | str | int | None:
        """What it did there; None where it did not come so far."""
        if point == _STATUS:
            return behaviour.status
        output = next(each for each in behaviour.outputs if each.name == point.name)
        if point.line == _ALL:
            return output.digest
        lines = self.lines(output)
        line = lines[point.line] if point.line < len(lines) else None
        if line is None or point.word == _ALL:
            return line
        words = _TOKEN.findall(line)
        return words[point.word] if point.word < len(words) else None

    def replaced(self, one: Behaviour, other: Behaviour) -> Iterator[tuple[bytes, bytes]]:
        """The lines that differ, as they are: of the one, and of the other; b"" for none."""
        for old, new in self.differing(one, other):
            for before, after in zip_longest(
                self._masked(old), self._masked(new), fillvalue=(b"", b"")
            ):
                if before[1] != after[1]:
                    yield before[0], after[0]

    def learn(self, one: Behaviour, other: Behaviour) -> bool:
        """That what differs between these two varies by itself: whether they are the same then."""
        for _ in range(_STEPS):  # the order of lines may show only when they are masked
            for old, new in [*self.differing(one, other)]:
                if old.is_whole and new.is_whole:
                    self._learn_from(old, new)
            if self.same(one, other):
                return True
        return False

    def _learn_from(self, old: Output, new: Output) -> None:
        before, after = self.lines(old), self.lines(new)
        self._compared.clear()
        if Counter(before) == Counter(after):
            self.unordered.add(old.name)
            return
        gone = [line.rstrip(b"\r\n") for line in (Counter(before) - Counter(after)).elements()]
        come = [line.rstrip(b"\r\n") for line in (Counter(after) - Counter(before)).elements()]
        if len(gone) + len(come) > _COMPARED or len(self.masks[old.name]) > _MOST:
            return
        by_shape: dict[bytes, list[bytes]] = defaultdict(list)
        for line in come:
            by_shape[_shape(line)].append(line)
        alone = []
        for line in gone:
            alike = by_shape[_shape(line)]
            if alike:
                like = max(alike[:_ALIKE], key=lambda each: _alike(line, each))
                alike.remove(like)
                self._add(old.name, _mask_for(line, like))
            else:
                alone.append(line)
        rest = [line for lines in by_shape.values() for line in lines]
        if len(alone) == len(rest):
            for line, like in zip(alone, rest, strict=True):
                self._add(old.name, _mask_for(line, like))
        else:
            for line in alone + rest:
                self._add(old.name, _optional(line) if re.search(rb"[^\W\d]", line) else None)

    def _add(self, name: str, mask: Mask | None) -> None:
        if mask and mask not in self.masks[name]:
            self.masks[name].insert(0, mask)  # before what was known of such lines

    def changes(self, old: Output, new: Output) -> list[tuple[str, bytes]]:
        """The lines that only one of them has, as they are: with "-" those of the first."""
        pairs = [[*self._masked(each)] for each in (old, new)]
        if old.name in self.unordered:
            pairs = [sorted(each, key=lambda pair: pair[1]) for each in pairs]
        compared = [[masked for _, masked in each] for each in pairs]
        found: list[tuple[str, bytes]] = []
        for kind, start, end, first, last in _opcodes(*compared):
            if kind != "equal":
                found += (("-", line) for line, _ in pairs[0][start:end])
                found += (("+", line) for line, _ in pairs[1][first:last])
        return found

    def described(self) -> list[str]:
        """What is not compared, for people: of which output, and how the line looks."""
        found = [f"{name}: the order of lines" for name in sorted(self.unordered)]
        if self._hid_durations:
            found.append("times (0.25s, 12:34:56): --durations compares them, too")
        for name, masks in self.masks.items():
            found += (
                f"{name}: --mask '{mask}'" + (" (not always there)" * mask.comes_and_goes)
                for mask in masks
            )
        return found
