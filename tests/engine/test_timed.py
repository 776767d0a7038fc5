"""A change that is due at a time is made then, once at a time, and nothing that comes is lost."""

from __future__ import annotations

from taskmill.engine.due.timed import Timed
from taskmill.model.changes import Change, Collect
from taskmill.model.errors import StoreError


def timed(answers: list[int | None]) -> Timed:
    def make(now_ms: int) -> Change:
        return Collect(now_ms=now_ms, limit=1)

    return Timed(make, lambda _: answers.pop(0))


def test_it_is_due_at_the_soonest_time_and_again_when_its_effect_says_so() -> None:
    due = timed([70, None])
    assert due.by(50)
    assert not due.by(60)
    assert [*due.propose(49)] == []
    [(_, receive)] = due.propose(50)
    assert due.next_ms is None
    receive(None)
    assert due.next_ms == 70
    [(_, receive)] = due.propose(70)
    receive(None)
    assert due.next_ms is None


def test_what_comes_while_one_is_under_way_makes_another() -> None:
    due = timed([None, None])
    due.by(50)
    [(_, receive)] = due.propose(50)
    due.by(55)
    due.by(53)
    assert [*due.propose(60)] == []
    receive(None)
    assert due.next_ms == 53


def test_one_that_failed_is_due_again() -> None:
    due = timed([])
    due.by(50)
    [(_, receive)] = due.propose(50)
    receive(StoreError("no"))
    assert due.next_ms == 50
