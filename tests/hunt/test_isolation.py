"""What makes a program differ where no allocation does."""

from unittest.mock import MagicMock

from patalloc.hunt.candidates import Candidates
from patalloc.hunt.isolation import Case, Isolation
from patalloc.hunt.trials import PAIR


def test_chance_has_no_culprit_where_nothing_is_left_to_search() -> None:
    trials = MagicMock()
    trials.baseline.traces = []
    trials.comparison.at = lambda behaviour, _: id(behaviour)
    trials.comparison.replaced.return_value = []
    trials.baseline.status, trials.with_fill.return_value.status = 0, 0
    trials.residue.return_value.find.return_value = {}
    trials.differs.return_value = True
    trials.known = []
    for fill in PAIR:
        case = Case("a pattern", fill, MagicMock(status=0, events=[]), MagicMock())
        assert Isolation(trials, case, exact=False).culprits() is None
    assert Candidates(()).groups(3) == []
