"""SQLite carries out each step of a rule as the store in memory does by which rules are tested."""

from __future__ import annotations

import json
import sqlite3
from typing import Any

from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test

from taskmill.model.record import TaskId, TaskRecord
from taskmill.rules.steps import (
    AnyStep,
    FindExpired,
    FindFailedChild,
    FindLastId,
    FindWindow,
    Insert,
    Waiter,
)
from taskmill.store.sqlite.carrying import carry_out
from taskmill.store.sqlite.rows import is_linked, record_of
from taskmill.store.sqlite.statements import MIGRATIONS, SQL
from tests.rules.ledger import Ledger, bare
from tests.rules.test_lives import Lives


def plain(answer: object) -> object:
    """An answer as far as both have to agree."""
    match answer:
        case TaskRecord():
            return bare(answer)
        case Waiter(record=record):
            return bare(record), answer.waits_for, answer.tie
        case tuple():
            return [plain(each) for each in answer]
        case _:
            return answer


class Twin(Ledger):
    """Tasks in memory and in SQLite."""

    def __init__(self) -> None:
        super().__init__()
        self.db = sqlite3.connect(":memory:", isolation_level=None)
        for script in MIGRATIONS:
            self.db.executescript(script)

    def carry_out(self, step: AnyStep) -> Any:
        stored: Any = carry_out(self.db, step)
        if isinstance(step, Insert):
            self.last_id = (stored or self.last_id + 1) - 1
        answer: Any = super().carry_out(step)
        match step:
            case Insert():
                self.last_id = carry_out(self.db, FindLastId())
                assert answer == stored
            case FindFailedChild() | FindWindow():
                assert (answer is None) is (stored is None), "any of them will do"
            case FindExpired(limit=limit):
                expired: tuple[TaskRecord, ...] = stored
                ids, expected = ({each.id for each in found} for found in (expired, answer))
                assert len(ids) == len(expected)
                assert len(ids) == limit or ids == expected, "among equals any goes first"
                return expired
            case _:
                assert plain(answer) == plain(stored), step
        return answer

    def claim(self, task: TaskId, *, has_undo: bool = False) -> TaskRecord:
        values = {"ids": json.dumps([task]), "now_ms": self.now_ms}
        assert len(self.db.execute(SQL["claim"], values).fetchall()) == 1
        if has_undo:
            self.db.execute(SQL["has_undo"], (json.dumps([task]),))
        return super().claim(task, has_undo=has_undo)

    def promote(self) -> None:
        self.db.execute(SQL["promote"], {"now_ms": self.now_ms, "limit": 1_000}).fetchall()
        super().promote()

    def crash(self) -> None:
        self.db.execute(SQL["recover_running"])
        super().crash()

    def check(self) -> None:
        super().check()
        for task, row in self.rows.items():
            stored = self.db.execute(SQL["get"], (task,)).fetchone()
            assert bare(record_of(stored)) == bare(row.record)
            assert is_linked(stored) is row.is_linked


class Twins(Lives):
    """The same lives, in both."""

    def new_ledger(self) -> Ledger:
        return Twin()


def test_sqlite_carries_out_every_step_as_rules_expect() -> None:
    run_state_machine_as_test(
        Twins, settings=settings(deadline=None, max_examples=15, stateful_step_count=40)
    )
