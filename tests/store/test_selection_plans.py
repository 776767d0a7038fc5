"""A selection is looked up by the most selective index there is, with no text of a user in SQL."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Generator
from contextlib import closing
from typing import Any

import attrs
import pytest

from taskmill.model.changes import Claim, NewTask, Pause, Submit
from taskmill.model.pauses import PauseScope
from taskmill.model.record import TaskId
from taskmill.model.selection import Selection
from taskmill.model.status import ACTIVE, TERMINAL, TaskStatus
from taskmill.model.times import from_ms
from taskmill.rules.settle import Returned, settle
from taskmill.store.sqlite import batch, carrying, opening, reading
from taskmill.store.sqlite.statements import SQL

from .conformance import ANY, T0, new_task, raised

BUSY, RARE = 3000, 30


class Listening(sqlite3.Connection):
    """A connection that remembers what it carried out."""

    heard: list[tuple[str, Any]]

    def execute(self, sql: str, values: Any = (), /) -> sqlite3.Cursor:
        self.heard.append((sql, values))
        return super().execute(sql, values)


@pytest.fixture(scope="module", params=["as it is", "after ANALYZE"])
def db(request: pytest.FixtureRequest) -> Generator[Listening]:
    """Some thousand tasks, most of them with the same common tag; the oldest have ended."""
    with closing(sqlite3.connect(":memory:", isolation_level=None, factory=Listening)) as db:
        db.heard = []
        opening.configure(db, durability="OFF")
        opening.migrate(db)
        for start in range(0, BUSY, 1000):
            batch.apply(db, [Submit(tuple(_task(n) for n in range(start, start + 1000)))])
        for n in range(1, 401):
            task = TaskId(n)
            batch.apply(db, [Claim(task, T0)])
            record = carrying.find(db, task)
            assert record is not None
            if n <= 390:
                result = Returned("1") if n % 40 else raised(1, max_retries=0)
                batch.apply(db, [settle(record, result, now_ms=T0 + n)])
        batch.apply(db, [Submit((new_task("395", parent=TaskId(395)), new_task("397")))])
        if request.param == "after ANALYZE":
            db.execute("ANALYZE")
        yield db


def _task(n: int) -> NewTask:
    far = n % 3 == 0
    return new_task(
        f"{n}",
        kind="far::job" if far else "work::job",
        domain="far" if far else "work",
        key=f"k{n % RARE}" if n % 10 == 0 else None,
        group=f"g{n % 5}",
        priority=n % 4,
        created_at_ms=T0 + n,
        tags={
            "provider": "acme",
            "job": f"{n // 10}",
            "a.b": f"{n % 7}",
            **({"rare": "1"} if n > 2990 else {}),
        },
    )


Read = Callable[[sqlite3.Connection, Selection], object]


def steps(db: Listening, read: Read, chosen: Selection) -> list[str]:
    """How SQLite finds the rows for all that ``read`` carries out."""
    return [step for sql, values in carried_out(db, read, chosen) for step in plan(db, sql, values)]


def last_steps(db: Listening, read: Read, chosen: Selection) -> list[str]:
    """How it finds the tasks, once it is settled by which index."""
    heard = carried_out(db, read, chosen)
    records = (SQL["records"], SQL["errors_of_all"], SQL["needs_of_all"])
    sql, values = [one for one in heard if one[0] not in records][-1]
    return plan(db, sql, values)


def carried_out(db: Listening, read: Read, chosen: Selection) -> list[tuple[str, Any]]:
    db.heard.clear()
    read(db, chosen)
    return [*db.heard]


def plan(db: Listening, sql: str, values: Any) -> list[str]:
    rows = db.execute(f"EXPLAIN QUERY PLAN {sql}", values).fetchall()
    return [row[3].replace("COVERING ", "") for row in rows]


def scans(found: list[str]) -> list[str]:
    """The steps that go through a whole table."""
    tables = ("t", "taskmill_tasks", "taskmill_tags", "tag")
    return [step for step in found if step.removeprefix("SCAN ") in tables]


def searches(found: list[str]) -> set[str]:
    """The steps that look something up in the tasks or their tags, by an index or an id."""
    tables = ("t ", "taskmill_tasks ", "taskmill_tags ", "tag ")
    return {step for step in found if step.partition(" ")[2].startswith(tables)}


def page(limit: int, after: int | None = None) -> Read:
    """Read a page of tasks."""
    behind = None if after is None else TaskId(after)
    return lambda db, chosen: reading.tasks(db, chosen, limit=limit, after=behind)


def last_page(limit: int) -> Read:
    """Read the first page of those that have ended."""
    return lambda db, chosen: reading.ended(db, chosen, limit=limit, after=None)


def counting(key: str) -> Read:
    """Count by a tag."""
    return lambda db, chosen: reading.count_by_tag(db, chosen, key)


def cost(db: sqlite3.Connection, read: Read, chosen: Selection) -> int:
    """How many of its own instructions SQLite needs for ``read``."""
    tens = 0

    def count() -> None:
        nonlocal tens
        tens += 1

    db.set_progress_handler(count, 10)
    read(db, chosen)
    db.set_progress_handler(None, 0)
    return 10 * tens


PENDING, RUNNING = frozenset({TaskStatus.PENDING}), frozenset({TaskStatus.RUNNING})
BLOCKED, DEAD = frozenset({TaskStatus.BLOCKED}), frozenset({TaskStatus.DEAD})
ACTIVE_ONES = Selection(statuses=ACTIVE)
BY_TAG = "taskmill_tags USING INDEX taskmill_tags_by_key (is_active=? AND domain=? AND "
TAGGED = f"{BY_TAG}key=? AND value=?"
PREFIXED = f"{BY_TAG}key>? AND key<?"

SELECTIVE: list[tuple[dict[str, Any], str]] = [
    ({"ids": frozenset({TaskId(7)})}, "taskmill_tasks USING INTEGER PRIMARY KEY (rowid=?)"),
    ({"parent": TaskId(395)}, "taskmill_tasks USING INDEX taskmill_children (parent=?)"),
    ({"key": "k0"}, "taskmill_tasks USING INDEX taskmill_keyed (key=?)"),
    ({"key": "k0", "statuses": TERMINAL}, "taskmill_tasks USING INDEX taskmill_keyed (key=?)"),
    ({"tags": {"job": "77"}}, TAGGED),
    ({"tags": {"job": "77"}, "domain": "work"}, TAGGED),
    ({"tags": {"job": "7"}, "statuses": TERMINAL}, TAGGED),
    ({"tags": {"job": "77"}, "statuses": PENDING}, TAGGED),
    ({"tags": {"job": "7"}, "statuses": DEAD | PENDING, "domain": "work"}, TAGGED),
    ({"tag_prefix": "rar"}, PREFIXED),
    ({"tag_prefix": "rar", "domain": "work", "types": frozenset({"work::job"})}, PREFIXED),
    ({"statuses": RUNNING}, "taskmill_tasks USING INDEX taskmill_running"),
    ({"statuses": BLOCKED}, "taskmill_tasks USING INDEX taskmill_blocked"),
    ({"statuses": RUNNING, "any_group": False, "group": "g1"}, "USING INDEX taskmill_running"),
    ({"statuses": DEAD}, "taskmill_tasks USING INDEX taskmill_finished (status=? AND "),
    ({"statuses": RUNNING, "tags": {"provider": "acme"}}, "USING INDEX taskmill_running"),
    ({"tags": {"provider": "acme", "job": "77"}}, TAGGED),
    ({"key": "k0", "tags": {"provider": "acme"}}, "USING INDEX taskmill_keyed (key=?)"),
    ({"key": "k0", "created_after": from_ms(T0)}, "USING INDEX taskmill_keyed (key=?)"),
]
READS: dict[str, Read] = {
    "count": reading.count,
    "ids": reading.ids,
    "tasks": page(100),
    "next tasks": page(100, after=2),
    "count_by_tag": counting("a.b"),
}
BY_ROW = {
    "SEARCH t USING INTEGER PRIMARY KEY (rowid=?)",
    "SEARCH tag USING PRIMARY KEY (task=? AND key=?)",
    "SEARCH tag USING PRIMARY KEY (task=? AND key>? AND key<?)",
}
"""How the rest of a filter is checked."""


@pytest.mark.parametrize("verb", READS)
@pytest.mark.parametrize(("filters", "index"), SELECTIVE, ids=range(len(SELECTIVE)))
def test_a_selective_filter_is_looked_up_by_its_index(
    db: Listening, verb: str, filters: dict[str, Any], index: str
) -> None:
    chosen = attrs.evolve(ACTIVE_ONES, **filters)
    assert not scans(steps(db, READS[verb], chosen))
    last = last_steps(db, READS[verb], chosen)
    by_index = {step for step in last if index in step}
    assert by_index, last
    assert searches(last) <= by_index | BY_ROW, last


def test_the_rarest_of_several_tags_is_the_one_that_is_looked_up(db: Listening) -> None:
    for tags in ({"provider": "acme", "job": "77"}, {"job": "77", "provider": "acme"}):
        db.heard.clear()
        assert len(reading.ids(db, Selection(statuses=ACTIVE, tags=tags))) == 10
        _, values = db.heard[-1]
        assert (values["tag_key"], values["tag_value"]) == ("job", "77")


@pytest.mark.parametrize(("domain", "first"), [(None, 391), ("far", 391), ("work", 392)])
def test_a_page_of_most_tasks_goes_from_task_to_task_and_begins_at_the_first_active_one(
    db: Listening, domain: str | None, first: int
) -> None:
    chosen = Selection(statuses=ACTIVE, domain=domain)
    for after in (None, 500):
        last = last_steps(db, page(5, after), chosen)
        assert "SEARCH t USING INTEGER PRIMARY KEY (rowid>?)" in last
        assert not [step for step in last if "TEMP B-TREE" in step], last
    assert reading.tasks(db, chosen, limit=5, after=None)[0].id == first


def test_a_page_is_not_dearer_for_the_tasks_that_are_not_on_it(db: Listening) -> None:
    first = cost(db, page(10), ANY)
    assert cost(db, page(10, after=2500), ANY) < 1.5 * first < 3000


@pytest.mark.parametrize("statuses", [DEAD, TERMINAL, ACTIVE | TERMINAL], ids=len)
def test_the_ended_are_read_off_their_index_as_far_as_the_page_goes(
    db: Listening, statuses: frozenset[TaskStatus]
) -> None:
    chosen = Selection(statuses=statuses)
    found = steps(db, last_page(5), chosen)
    assert not scans(found)
    assert {
        step.partition(" (")[0] for step in searches(found) if step.startswith("SEARCH t ")
    } == {"SEARCH t USING INDEX taskmill_finished"}
    whole = cost(db, last_page(400), chosen)
    assert statuses == DEAD or cost(db, last_page(5), chosen) < whole / 5


def test_ended_tasks_with_a_rare_tag_are_looked_up_by_it(db: Listening) -> None:
    chosen = Selection(statuses=TERMINAL, tags={"job": "7"})
    found = steps(db, last_page(3), chosen)
    assert [step for step in found if TAGGED in step]
    assert not [step for step in found if "taskmill_finished" in step]
    records = reading.ended(db, chosen, limit=3, after=None)
    assert [record.id for record in records] == [80, 79, 78]


@pytest.mark.parametrize(
    ("statuses", "count"),
    [
        (ACTIVE, BUSY - 390 + 2),
        (TERMINAL, 390),
        (PENDING, BUSY - 400),
        (DEAD, 9),
        (RUNNING | BLOCKED, 12),
    ],
)
def test_a_count_of_all_that_is_active_or_has_ended_reads_no_task(
    db: Listening, statuses: frozenset[TaskStatus], count: int
) -> None:
    chosen = Selection(statuses=statuses)
    last = last_steps(db, reading.count, chosen)
    assert not [step for step in last if "PRIMARY KEY" in step], last
    assert reading.count(db, chosen) == count


def test_keys_and_values_of_tags_take_one_step_each_however_many_tasks_have_them(
    db: Listening,
) -> None:
    def keys(db: sqlite3.Connection, chosen: Selection) -> list[str]:
        return reading.tag_keys(db, chosen.domain, "")

    assert not scans(steps(db, keys, ACTIVE_ONES))
    assert keys(db, ACTIVE_ONES) == ["a.b", "job", "provider", "rare"]
    assert cost(db, keys, ACTIVE_ONES) < 1000
    assert cost(db, keys, Selection(statuses=ACTIVE, domain="elsewhere")) < 200
    counted = steps(db, counting("a.b"), ACTIVE_ONES)
    assert not scans(counted)
    assert not [step for step in counted if "TEMP B-TREE" in step], counted


def test_what_is_paused_is_asked_only_while_something_is(db: Listening) -> None:
    paused = Selection(statuses=frozenset({TaskStatus.PAUSED}))
    for read, nothing in ((reading.count, 0), (reading.ids, []), (page(1), [])):
        assert read(db, paused) == nothing
    assert reading.count_by_tag(db, paused, "job") == {}
    pending = reading.count(db, Selection(statuses=PENDING, domain="far"))
    batch.apply(db, [Pause(scope=PauseScope.DOMAIN, name="far", now_ms=T0)])
    try:
        assert reading.count(db, paused) == pending > 800
        assert reading.count(db, Selection(statuses=PENDING, domain="far")) == 0
        assert reading.count(db, attrs.evolve(paused, tags={"rare": "1"})) == 3
    finally:
        db.execute("DELETE FROM taskmill_pauses")


NASTY = "x'; DROP TABLE taskmill_tasks; --\"%_[]{}:key ?"


def test_no_text_of_a_user_gets_into_a_statement(db: Listening) -> None:
    chosen = Selection(
        domain=NASTY,
        types=frozenset({NASTY}),
        statuses=ACTIVE,
        any_group=False,
        group=NASTY,
        key=NASTY,
        tags={NASTY: NASTY},
        tag_prefix=NASTY,
    )
    db.heard.clear()
    for read in READS.values():
        read(db, chosen)
    last_page(1)(db, chosen)
    counting(NASTY)(db, chosen)
    reading.tag_keys(db, NASTY, NASTY)
    assert not [sql for sql, _ in db.heard if "DROP" in sql]
    task = new_task("n", kind=NASTY, domain=NASTY, group=NASTY, key=NASTY, tags={NASTY: NASTY})
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as other:
        opening.configure(other, durability="OFF")
        opening.migrate(other)
        batch.apply(other, [Submit((task,))])
        assert reading.ids(other, chosen) == [1]
        assert reading.count_by_tag(other, chosen, NASTY) == {NASTY: 1}
