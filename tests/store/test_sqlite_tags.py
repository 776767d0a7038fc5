"""The table of tags: it follows the tasks, and its ranges are exactly the prefixes."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskmill.model.changes import Claim, Submit
from taskmill.model.record import TaskId
from taskmill.model.selection import Selection
from taskmill.model.status import ACTIVE, TERMINAL
from taskmill.rules.settle import Returned, settle
from taskmill.store.sqlite import batch, carrying, opening, reading, tags
from taskmill.store.sqlite.connection import Port

from .conformance import T0, new_task

ONE = TaskId(1)
ACTIVE_ONES, ENDED = Selection(statuses=ACTIVE), Selection(statuses=TERMINAL)
ALPHABET = "%_[]*?aAbéÉzß\0\x7f\x80\ud7ff\ue000\ufffe\uffff\U00010000\U0001ffff\U0010fffe\U0010ffff"
TEXTS = st.text(st.sampled_from(ALPHABET) | st.characters(exclude_categories=["Cs"]), max_size=4)


@given(texts=st.lists(TEXTS, unique=True), prefix=TEXTS)
def test_a_range_holds_exactly_the_texts_that_start_with_its_prefix(
    texts: list[str], prefix: str
) -> None:
    with closing(sqlite3.connect(":memory:")) as db:
        db.execute("CREATE TABLE texts (text TEXT NOT NULL) STRICT")
        db.executemany("INSERT INTO texts VALUES (?)", [(text,) for text in texts])
        within = "SELECT text FROM texts WHERE text >= :prefix AND text < :prefix_end ORDER BY text"
        found = [text for (text,) in db.execute(within, tags.prefix_range(prefix))]
    assert found == sorted(text for text in texts if text.startswith(prefix))


@given(texts=st.lists(TEXTS.filter(bool), unique=True, min_size=1), prefix=TEXTS)
def test_keys_are_listed_one_by_one_and_none_is_stepped_over(texts: list[str], prefix: str) -> None:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as db:
        opening.configure(db, durability="OFF")
        opening.migrate(db)
        submits = [Submit((new_task(f"{n}", tags={text: text}),)) for n, text in enumerate(texts)]
        batch.apply(db, submits)
        expected = sorted(text for text in texts if text.startswith(prefix))
        for domain in ("work", None):
            assert reading.tag_keys(db, domain, prefix) == expected
        assert reading.count_by_tag(db, ACTIVE_ONES, texts[0]) == {texts[0]: 1}


def rows(db: sqlite3.Connection) -> list[tuple[object, ...]]:
    found: list[tuple[object, ...]] = db.execute(
        "SELECT task, key, value, is_active, domain FROM taskmill_tags ORDER BY task, key"
    ).fetchall()
    return found


def run(db: sqlite3.Connection, task: TaskId) -> None:
    """Claim a task and complete it."""
    batch.apply(db, [Claim(task, T0)])
    record = carrying.find(db, task)
    assert record is not None
    batch.apply(db, [settle(record, Returned("1"), now_ms=T0)])


def test_tags_are_those_of_active_tasks_until_they_end(db: sqlite3.Connection) -> None:
    batch.apply(db, [Submit((new_task("a", tags={"k": "v", "j": ""}), new_task("b")))])
    assert rows(db) == [(1, "j", "", 1, "work"), (1, "k", "v", 1, "work")]
    run(db, ONE)
    assert [row[3] for row in rows(db)] == [0, 0]


def test_ended_tags_are_written_only_for_what_has_ended_and_has_tags(
    db: sqlite3.Connection,
) -> None:
    batch.apply(db, [Submit((new_task("a", tags={"k": "v"}), new_task("b")))])
    before = db.total_changes
    tags.finished(db, [ONE, TaskId(2), TaskId(99)])
    tags.finished(db, [])
    tags.revived(db, [])
    assert db.total_changes == before
    run(db, TaskId(2))
    assert rows(db) == [(1, "k", "v", 1, "work")]


def test_a_revived_task_is_found_among_the_active_again(db: sqlite3.Connection) -> None:
    batch.apply(db, [Submit((new_task("a", tags={"k": "v"}), new_task("b", tags={"k": "v"})))])
    run(db, ONE)
    run(db, TaskId(2))
    db.execute(
        "UPDATE taskmill_tasks SET status = 'pending', finished_at_ms = NULL, result = NULL "
        "WHERE id = 1"
    )
    tags.revived(db, [ONE, TaskId(2)])
    assert reading.ids(db, Selection(statuses=ACTIVE, tags={"k": "v"})) == [1]
    assert reading.ids(db, Selection(statuses=TERMINAL, tags={"k": "v"})) == [2]


@pytest.mark.parametrize("has_ended", [False, True])
def test_other_tags_replace_those_of_the_record_too(
    db: sqlite3.Connection, has_ended: bool
) -> None:
    batch.apply(db, [Submit((new_task("a", domain="far", tags={"k": "v", "old": "1"}),))])
    if has_ended:
        run(db, ONE)
    tags.replace(db, ONE, {"new": "1\0", "k": "w"})
    is_active = int(not has_ended)
    assert rows(db) == [(1, "k", "w", is_active, "far"), (1, "new", "1\0", is_active, "far")]
    record = carrying.find(db, ONE)
    assert record is not None
    assert record.tags == {"new": "1\0", "k": "w"}
    tags.replace(db, ONE, {})
    record = carrying.find(db, ONE)
    assert record is not None
    assert (rows(db), record.tags) == ([], {})
    tags.replace(db, TaskId(99), {"k": "v"})
    assert rows(db) == []


def test_tags_go_with_their_task(db: sqlite3.Connection) -> None:
    batch.apply(db, [Submit((new_task("a", tags={"k": "v"}),))])
    db.execute("DELETE FROM taskmill_tasks")
    assert rows(db) == []


def test_a_row_that_cannot_be_read_ends_with_its_tags(db: sqlite3.Connection) -> None:
    batch.apply(db, [Submit((new_task("a", tags={"k": "v"}),))])
    db.execute("UPDATE taskmill_tasks SET tags = ?", (json.dumps({"k": "v"})[:-1],))
    batch.apply(db, [Claim(ONE, T0)])
    assert rows(db) == [(1, "k", "v", 0, "work")]


def test_tasks_without_tags_write_nothing_into_the_table(db: sqlite3.Connection) -> None:
    statements: list[str] = []
    db.set_trace_callback(statements.append)
    batch.apply(db, [Submit((new_task("a"),)), Submit((new_task("b"), new_task("c")))])
    assert not [text for text in statements if "taskmill_tags" in text]


@pytest.mark.anyio
async def test_a_page_is_as_of_one_commit() -> None:
    """The tasks and their errors come from one view, and the view is let go of."""
    port = await Port.open(":memory:", ":memory:")
    try:
        seen = await port.run(
            lambda db: reading.in_one_view(db, lambda inside: inside.in_transaction)
        )
        assert seen
        assert not await port.run(lambda db: db.in_transaction)
        with pytest.raises(LookupError):
            await port.run(lambda db: reading.in_one_view(db, _fail))
        assert not await port.run(lambda db: db.in_transaction)
    finally:
        await port.close()


def _fail(db: sqlite3.Connection) -> None:
    raise LookupError
