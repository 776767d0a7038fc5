"""Which task stands for submitted work, and what a submit changes for the others."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import timedelta

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from taskmill.model.changes import NewTask, Ready, StopCause
from taskmill.model.choices import OnDuplicate
from taskmill.model.effects import Fault, Placed, Refused
from taskmill.model.limits import MAX_TAGS
from taskmill.model.outcomes import SubmitOutcome
from taskmill.model.record import TaskId
from taskmill.model.status import ACTIVE, TERMINAL, TaskStatus
from taskmill.model.times import to_ms
from taskmill.rules.dedup import identity, place
from taskmill.rules.moves import ready_place
from taskmill.rules.settle import Halted, Raised, Returned
from taskmill.rules.steps import Insert, Mark, Put
from tests.rules.ledger import ERROR, T0, Ledger, new_task, record_of

FETCH = "ingest::fetch"
FIRST, SECOND = TaskId(1), TaskId(2)
S = TaskStatus


def work(priority: int = 128, due_at_ms: int | None = None) -> NewTask:
    """The same work each time."""
    return new_task("work", T0, priority=priority, due_at_ms=due_at_ms)


def place_of(task: int, priority: int = 128) -> Ready:
    return Ready(FETCH, "red", priority, T0, TaskId(task))


def standing(status: TaskStatus) -> Ledger:
    """A ledger where the first task stands for the work, or stood for it, in this state."""
    ledger = Ledger()
    needs = [ledger.start("need")] if status in (S.BLOCKED, S.DEPENDENCY_FAILED) else []
    old = attrs.evolve(work(), depends_on=tuple(needs), expires_at_ms=T0 + 1)
    task = ledger.submit(old).id
    match status:
        case S.PENDING | S.BLOCKED:
            return ledger
        case S.DEPENDENCY_FAILED:
            ledger.fail(needs[0])
            return ledger
        case S.EXPIRED:
            ledger.now_ms += 1
            ledger.expire()
            return ledger
        case S.SUPERSEDED:
            ledger.submit(attrs.evolve(work(), on_duplicate=OnDuplicate.SUPERSEDE))
            ledger.cancel(TaskId(task + 1))
            return ledger
        case _:
            ledger.claim(task)
    match status:
        case S.COMPLETED:
            ledger.end(task, Returned(None))
        case S.WAITING:
            ledger.add("child", parent=task)
            ledger.end(task, Returned(None))
        case S.FAILED | S.DEAD:
            delay = None if status is S.FAILED else timedelta(0)
            ledger.end(task, Raised(error=ERROR, max_retries=0, delay=delay))
        case S.CANCELLED:
            ledger.end(task, Halted(StopCause.CANCELLED))
        case _:
            assert status is S.RUNNING
    return ledger


def task_of(ledger: Ledger) -> TaskId:
    """The first task for the work."""
    return next(task for task, row in ledger.rows.items() if row.record.key == "work")


def test_a_task_can_stand_in_every_state_that_is_stored() -> None:
    for status in (ACTIVE | TERMINAL) - {S.PAUSED}:
        ledger = standing(status)
        assert ledger.status(task_of(ledger)) is status


# --- a worked example ----------------------------------------------------------------------------


def test_the_life_of_a_piece_of_work_that_is_submitted_again_and_again() -> None:
    ledger = Ledger()
    first = ledger.submit(work())
    assert (first.id, first.outcome) == (1, SubmitOutcome.INSERTED)
    assert ledger.submit(work()).outcome is SubmitOutcome.DUPLICATE
    assert ledger.submit(work(priority=64)).outcome is SubmitOutcome.UPGRADED
    ledger.claim(first.id)
    second = ledger.submit(work())
    assert (second.id, second.outcome) == (2, SubmitOutcome.REQUEUED)
    assert ledger.submit(work()) == Placed(id=second.id, outcome=SubmitOutcome.DUPLICATE)
    assert ledger.submit(work(priority=1)).outcome is SubmitOutcome.UPGRADED
    [released] = ledger.complete(first.id).moves
    assert (released.after.id, released.after.priority) == (second.id, 1)
    assert ledger.submit(work()).id == second.id
    ledger.complete(second.id)
    assert ledger.submit(work()).outcome is SubmitOutcome.INSERTED


# --- KEEP ----------------------------------------------------------------------------------------


def test_new_work_is_inserted_and_ready() -> None:
    ledger = Ledger()
    effect = ledger.submit(work())
    assert effect == Placed(id=FIRST, outcome=SubmitOutcome.INSERTED, ready=place_of(1))
    assert ledger.written == [Insert(work())]


def test_new_work_for_later_is_inserted_and_not_ready() -> None:
    effect = Ledger().submit(work(due_at_ms=T0 + 9_000))
    assert effect == Placed(id=FIRST, outcome=SubmitOutcome.INSERTED, is_due=True)


@pytest.mark.parametrize("status", [S.PENDING, S.BLOCKED])
@pytest.mark.parametrize("priority", [128, 129, 255])
def test_work_that_waits_already_is_a_duplicate(status: TaskStatus, priority: int) -> None:
    ledger = standing(status)
    effect = ledger.submit(work(priority))
    assert effect == Placed(id=task_of(ledger), outcome=SubmitOutcome.DUPLICATE)
    assert not ledger.written


@pytest.mark.parametrize("status", [S.PENDING, S.BLOCKED])
def test_a_better_priority_upgrades_what_waits(status: TaskStatus) -> None:
    ledger = standing(status)
    effect = ledger.submit(work(priority=64))
    assert (effect.id, effect.outcome) == (task_of(ledger), SubmitOutcome.UPGRADED)
    [upgrade] = effect.moves
    assert (upgrade.before.priority, upgrade.after.priority) == (128, 64)
    assert ledger.written == [Put((upgrade.after,))]
    is_ready = status is S.PENDING
    assert ready_place(upgrade.before) == (place_of(1) if is_ready else None)
    assert ready_place(upgrade.after) == (place_of(1, priority=64) if is_ready else None)


def test_a_better_priority_upgrades_what_waits_for_its_start_time() -> None:
    ledger = Ledger()
    ledger.submit(work(due_at_ms=T0 + 9_000))
    [upgrade] = ledger.submit(work(priority=64)).moves
    assert ready_place(upgrade.after) is None
    assert ledger.record(FIRST).priority == 64


@pytest.mark.parametrize("status", [S.RUNNING, S.WAITING])
def test_work_that_runs_already_gets_a_follow_up(status: TaskStatus) -> None:
    ledger = standing(status)
    effect = ledger.submit(work(priority=0))
    assert effect == Placed(id=effect.id, outcome=SubmitOutcome.REQUEUED)
    assert ledger.record(FIRST).priority == 128, "what runs is not upgraded"
    assert ledger.status(effect.id) is S.BLOCKED
    assert ledger.record(effect.id).is_follow_up


def test_work_that_is_to_end_gets_a_follow_up() -> None:
    ledger = Ledger()
    task = ledger.start("work", has_undo=True)
    ledger.end(task, Raised(error=ERROR, max_retries=1, delay=timedelta(0)))
    ledger.cancel(task)
    assert ledger.status(task) is S.PENDING, "its on_cancel is to run"
    assert ledger.submit(work()).outcome is SubmitOutcome.REQUEUED


def test_work_whose_handler_has_returned_gets_a_follow_up() -> None:
    ledger = Ledger()
    task = ledger.start("work")
    ledger.end(task, Returned("1", finalizes=True))
    assert ledger.status(task) is S.PENDING, "its finalize is to run"
    assert ledger.submit(work()).outcome is SubmitOutcome.REQUEUED


@pytest.mark.parametrize("priority", [0, 128])
def test_without_requeue_running_work_is_a_duplicate(priority: int) -> None:
    ledger = standing(S.RUNNING)
    effect = ledger.submit(attrs.evolve(work(priority), requeue=False))
    assert effect == Placed(id=FIRST, outcome=SubmitOutcome.DUPLICATE)
    assert len(ledger.rows) == 1


def test_without_requeue_waiting_work_is_still_upgraded() -> None:
    effect = standing(S.PENDING).submit(attrs.evolve(work(priority=1), requeue=False))
    assert effect.outcome is SubmitOutcome.UPGRADED


@pytest.mark.parametrize(
    ("priority", "outcome"), [(128, SubmitOutcome.DUPLICATE), (5, SubmitOutcome.UPGRADED)]
)
def test_a_second_follow_up_joins_the_first(priority: int, outcome: SubmitOutcome) -> None:
    ledger = standing(S.RUNNING)
    ledger.submit(work())
    effect = ledger.submit(work(priority))
    assert (effect.id, effect.outcome) == (SECOND, outcome)
    assert ledger.record(SECOND).priority == priority
    assert len(ledger.rows) == 2


@pytest.mark.parametrize("status", sorted(TERMINAL))
def test_work_that_has_ended_stands_in_nobodys_way(status: TaskStatus) -> None:
    ledger = standing(status)
    effect = ledger.submit(work())
    assert (effect.outcome, effect.ready) == (SubmitOutcome.INSERTED, place_of(effect.id))


# --- REJECT --------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [S.PENDING, S.BLOCKED, S.RUNNING, S.WAITING])
def test_a_rejected_submit_changes_nothing_and_names_who_stands(status: TaskStatus) -> None:
    ledger = standing(status)
    effect = ledger.submit(attrs.evolve(work(priority=0), on_duplicate=OnDuplicate.REJECT))
    assert effect == Placed(id=task_of(ledger), outcome=SubmitOutcome.REJECTED)
    assert not ledger.written


def test_where_nobody_stands_nothing_is_rejected() -> None:
    effect = Ledger().submit(attrs.evolve(work(), on_duplicate=OnDuplicate.REJECT))
    assert effect.outcome is SubmitOutcome.INSERTED


# --- SUPERSEDE -----------------------------------------------------------------------------------


def superseding(*needs: TaskId, priority: int = 128) -> NewTask:
    return attrs.evolve(work(priority), depends_on=needs, on_duplicate=OnDuplicate.SUPERSEDE)


@pytest.mark.parametrize("status", [S.PENDING, S.BLOCKED, S.WAITING])
def test_what_does_not_run_is_superseded_at_once(status: TaskStatus) -> None:
    ledger = standing(status)
    old = task_of(ledger)
    effect = ledger.submit(superseding(priority=200))
    assert (effect.outcome, effect.replaced) == (SubmitOutcome.SUPERSEDED, old)
    assert effect.ready == place_of(effect.id, priority=200)
    assert ledger.status(old) is S.SUPERSEDED
    assert ledger.record(old).reason == f"superseded by task {effect.id}"
    assert ledger.status(effect.id) is S.PENDING


def test_what_runs_is_told_to_stop_and_the_new_one_waits_behind_it() -> None:
    ledger = standing(S.RUNNING)
    effect = ledger.submit(superseding())
    assert (effect.outcome, effect.replaced, effect.ready) == (
        SubmitOutcome.SUPERSEDED,
        FIRST,
        None,
    )
    assert ledger.record(FIRST).ends_as is S.SUPERSEDED
    assert ledger.status(effect.id) is S.BLOCKED
    ended = ledger.end(FIRST, Returned("1"))
    assert ended.status is S.SUPERSEDED, "a late return changes nothing"
    assert ledger.status(effect.id) is S.PENDING


def test_a_follow_up_is_superseded_with_the_task_it_follows() -> None:
    ledger = standing(S.RUNNING)
    follow_up = ledger.submit(work()).id
    effect = ledger.submit(superseding())
    assert ledger.status(follow_up) is S.SUPERSEDED
    assert (ledger.status(effect.id), effect.replaced) == (S.BLOCKED, FIRST)


def test_a_task_that_is_to_end_already_ends_as_it_was_to() -> None:
    ledger = standing(S.RUNNING)
    ledger.cancel(FIRST)
    effect = ledger.submit(superseding())
    assert (effect.outcome, effect.replaced) == (SubmitOutcome.REQUEUED, None)
    assert ledger.stop(FIRST).status is S.CANCELLED
    assert ledger.status(effect.id) is S.PENDING


@pytest.mark.parametrize("status", [S.PENDING, S.RUNNING])
def test_who_depended_on_the_old_one_depends_on_the_new_one(status: TaskStatus) -> None:
    ledger = standing(status)
    dependent = ledger.add("dependent", FIRST)
    new = ledger.submit(superseding()).id
    assert ledger.record(dependent).depends_on == (new,)
    if status is S.RUNNING:
        ledger.stop(FIRST)
    assert ledger.status(dependent) is S.BLOCKED
    ledger.complete(new)
    assert ledger.status(dependent) is S.PENDING


@pytest.mark.parametrize("status", [S.PENDING, S.RUNNING])
def test_who_depended_on_the_old_one_ends_with_a_new_one_that_cannot_run(
    status: TaskStatus,
) -> None:
    ledger = standing(status)
    dependent = ledger.add("dependent", FIRST)
    bad = ledger.add("bad")
    ledger.fail(bad)
    new = ledger.submit(superseding(bad)).id
    assert ledger.status(new) is S.DEPENDENCY_FAILED
    assert ledger.status(dependent) is S.DEPENDENCY_FAILED


def test_a_new_one_that_depends_on_a_child_of_the_old_one_ends_with_it() -> None:
    ledger = standing(S.WAITING)
    [child] = ledger.open_children([FIRST])
    new = ledger.submit(superseding(child)).id
    assert ledger.status(child) is S.CANCELLED
    assert ledger.status(new) is S.DEPENDENCY_FAILED


def test_the_new_one_cannot_depend_on_what_depends_on_the_old_one() -> None:
    ledger = standing(S.PENDING)
    dependent = ledger.add("dependent", FIRST)
    assert ledger.refusal(superseding(dependent)).fault is Fault.DEPENDENCY
    assert ledger.refusal(superseding(FIRST)).fault is Fault.DEPENDENCY
    assert ledger.status(FIRST) is S.PENDING


# --- unique_for ----------------------------------------------------------------------------------


def in_window(*, runs: int = 1) -> Ledger:
    """The work was completed just now, ``runs`` times, and stands for another second each time."""
    ledger = Ledger()
    unique = attrs.evolve(work(), unique_for_ms=1_000)
    task = ledger.submit(unique).id
    for _ in range(runs - 1):
        ledger.claim(task)
        follow_up = ledger.submit(unique).id
        ledger.complete(task)
        task = follow_up
    ledger.complete(task)
    return ledger


def test_completed_work_stands_for_its_identity_for_as_long_as_it_said() -> None:
    ledger = in_window()
    assert ledger.submit(work()) == Placed(id=FIRST, outcome=SubmitOutcome.DUPLICATE)
    rejected = attrs.evolve(work(), on_duplicate=OnDuplicate.REJECT)
    assert ledger.submit(rejected) == Placed(id=FIRST, outcome=SubmitOutcome.REJECTED)
    later = attrs.evolve(work(), created_at_ms=T0 + 999)
    assert ledger.submit(later).outcome is SubmitOutcome.DUPLICATE
    over = attrs.evolve(work(), created_at_ms=T0 + 1_000)
    assert ledger.submit(over).outcome is SubmitOutcome.INSERTED


def test_what_has_failed_stands_for_nothing() -> None:
    ledger = Ledger()
    ledger.fail(ledger.submit(attrs.evolve(work(), unique_for_ms=1_000)).id)
    assert ledger.submit(work()).outcome is SubmitOutcome.INSERTED


@pytest.mark.parametrize("runs", [1, 2, 3])
def test_superseding_ends_the_time_that_completed_work_stands_for(runs: int) -> None:
    ledger = in_window(runs=runs)
    effect = ledger.submit(superseding())
    assert (effect.outcome, effect.replaced) == (SubmitOutcome.INSERTED, None)
    assert ledger.status(FIRST) is S.COMPLETED


def test_superseding_a_task_that_followed_a_completed_one_ends_that_time_too() -> None:
    ledger = Ledger()
    unique = attrs.evolve(work(), unique_for_ms=1_000)
    ledger.claim(ledger.submit(unique).id)
    follow_up = ledger.submit(unique).id
    ledger.complete(FIRST)
    effect = ledger.submit(superseding())
    assert (effect.outcome, effect.replaced) == (SubmitOutcome.SUPERSEDED, follow_up)
    assert ledger.status(effect.id) is S.PENDING


# --- parents -------------------------------------------------------------------------------------


def child_of(parent: int, **fields: object) -> NewTask:
    return new_task("child", T0, parent=TaskId(parent), **fields)


def test_a_parent_that_does_not_exist_refuses_the_child() -> None:
    ledger = Ledger()
    assert ledger.run(place(child_of(7))) == Refused("parent 7 does not exist")


@pytest.mark.parametrize("status", [S.PENDING, S.BLOCKED, *sorted(TERMINAL)])
def test_a_parent_that_is_not_running_refuses_the_child(status: TaskStatus) -> None:
    ledger = standing(status)
    task = task_of(ledger)
    refused = ledger.refusal(child_of(task))
    assert refused.reason.startswith(f"parent {task} is {status}")


def test_a_parent_that_is_to_stop_refuses_the_child() -> None:
    ledger = standing(S.RUNNING)
    ledger.cancel(FIRST, "no need")
    assert ledger.refusal(child_of(1)).reason == "parent 1 is to end as cancelled: no need"


@pytest.mark.parametrize("status", [S.RUNNING, S.WAITING])
def test_a_running_parent_gets_its_child(status: TaskStatus) -> None:
    ledger = standing(status)
    effect = ledger.submit(new_task("new", T0, parent=FIRST))
    assert (effect.outcome, effect.ready) == (SubmitOutcome.INSERTED, place_of(effect.id))
    assert ledger.record(effect.id).parent == FIRST
    assert Mark((FIRST,)) in ledger.written, "its end concerns the child"


def test_a_child_takes_over_the_tags_of_its_parent_where_it_sets_none() -> None:
    ledger = Ledger()
    ledger.start("parent", tags={"a": "parent", "b": "parent"})
    effect = ledger.submit(child_of(1, tags={"b": "child"}))
    assert effect.tags == {"a": "parent", "b": "child"}
    assert ledger.record(effect.id).tags == effect.tags


def test_a_child_that_dropped_inherited_tags_takes_none_over() -> None:
    ledger = Ledger()
    ledger.start("parent", tags={"a": "parent"})
    effect = ledger.submit(child_of(1, inherits_tags=False))
    assert ledger.record(effect.id).tags == {}


@pytest.mark.parametrize("own", [0, 20, MAX_TAGS])
def test_a_child_keeps_all_of_its_tags_and_takes_over_as_many_as_fit(own: int) -> None:
    ledger = Ledger()
    ledger.start("parent", tags={f"p{n}": "v" for n in range(MAX_TAGS)})
    tags = {f"c{n}": "v" for n in range(own)}
    merged = ledger.record(ledger.submit(child_of(1, tags=tags)).id).tags
    assert len(merged) == MAX_TAGS
    assert tags.items() <= merged.items()


@pytest.mark.parametrize(
    ("own", "expected"),
    [
        ({"has_ttl": False}, 5_000),
        ({"has_ttl": True}, None),
        ({"has_ttl": True, "expires_at_ms": T0 + 9_000}, 9_000),
    ],
)
def test_a_child_without_a_time_to_live_has_what_is_left_of_its_parents(
    own: dict[str, object], expected: int | None
) -> None:
    ledger = Ledger()
    ledger.start("parent", expires_at_ms=T0 + 5_000)
    effect = ledger.submit(child_of(1, **own))
    expires_at = ledger.record(effect.id).expires_at
    assert (None if expires_at is None else to_ms(expires_at) - T0) == expected
    assert effect.expires_at_ms == (None if expected is None else T0 + expected)


# --- places in the queue -------------------------------------------------------------------------


@pytest.mark.parametrize("status", TaskStatus)
def test_only_a_pending_task_that_is_due_has_a_place_in_the_queue(status: TaskStatus) -> None:
    record = record_of(work(), FIRST, status)
    assert ready_place(record) == (place_of(1) if status is S.PENDING else None)
    later = attrs.evolve(record, due_at=record.ready_at + timedelta(seconds=1))
    assert ready_place(later) is None


def test_a_place_is_as_old_as_the_task_has_been_ready() -> None:
    record = record_of(work(), FIRST, S.PENDING)
    ready = ready_place(record)
    assert ready is not None
    assert ready.ready_at_ms == to_ms(record.ready_at)


# --- identity ------------------------------------------------------------------------------------

names = st.text(st.characters(exclude_categories=("Cs", "Zs", "Cc")), min_size=1, max_size=8)
texts = st.text(st.characters(codec="utf-8"), max_size=8)


def test_an_identity_is_the_same_in_every_release() -> None:
    """It is stored: what an older release submitted must still be found."""
    assert identity(FETCH, None, '{"url":"x"}').hex() == "fcd42fab905478d37e9b51c4c9c9f1a3"
    assert identity(FETCH, "x", '{"url":"x"}').hex() == "3f5f5fa8d910dc2378843977eeaa663b"


@given(names, st.none() | texts, texts)
@settings(deadline=None)
def test_equal_work_has_an_equal_identity(kind: str, key: str | None, payload: str) -> None:
    found = identity(kind, key, payload)
    assert found == identity(kind, key, payload)
    assert len(found) == 16


@given(names, texts, texts, texts)
@settings(deadline=None)
def test_with_a_key_the_payload_does_not_matter(kind: str, key: str, one: str, two: str) -> None:
    assert identity(kind, key, one) == identity(kind, key, two)


@given(st.lists(st.tuples(names, st.none() | texts, texts), max_size=20))
@settings(deadline=None)
def test_different_work_has_a_different_identity(drawn: list[tuple[str, str | None, str]]) -> None:
    """A type, a key and a payload are never taken for one another."""
    said = {(kind, key is None, payload if key is None else key) for kind, key, payload in drawn}
    assert len({identity(*one) for one in drawn}) == len(said)


def test_a_key_is_never_taken_for_a_payload() -> None:
    assert identity(FETCH, "same", "{}") != identity(FETCH, None, "same")


def test_identity_does_not_depend_on_the_hash_seed() -> None:
    program = (
        "from taskmill.rules.dedup import identity;"
        f"print(identity({FETCH!r}, None, '{{}}').hex(), identity({FETCH!r}, 'key', '').hex())"
    )
    found = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
            text=True,
        ).stdout
        for seed in ("0", "1")
    }
    here = (identity(FETCH, None, "{}").hex(), identity(FETCH, "key", "").hex())
    assert found == {f"{here[0]} {here[1]}\n"}
