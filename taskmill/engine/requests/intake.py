"""What a submitted task is before it has an id: payload, identity and place, all resolved."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from taskmill.define.task import Task
from taskmill.engine.registry import Registration, Registry
from taskmill.model.changes import NewTask
from taskmill.model.choices import OnDependencyFailure
from taskmill.model.limits import check_count
from taskmill.model.options import SubmitOptions, ids_of
from taskmill.model.record import TaskId
from taskmill.model.times import to_ms
from taskmill.rules.dedup import identity
from taskmill.rules.options import Placement, placement


class Intake:
    """Takes in the tasks of one call; what tasks of one type have in common is resolved once."""

    def __init__(
        self,
        registry: Registry,
        call: SubmitOptions,
        now: datetime,
        *,
        at_least: int | None = None,
        carrier: Mapping[str, str] | None = None,
    ) -> None:
        self._carrier = carrier
        self._at_least = at_least
        self._registry = registry
        self._depends_on: tuple[TaskId, ...] = ()
        if "depends_on" in call:
            self._depends_on = ids_of(call["depends_on"], "depends_on")
            check_count(self._depends_on, "depends_on")
            call = {**call, "depends_on": self._depends_on}
        self._call = call
        self._now = now
        self._shared: dict[type[Task[Any, Any]], Placement] = {}

    def take(self, task: Task[Any, Any]) -> NewTask:
        """The task as it will be inserted; raises what is wrong with it or with the options."""
        known = self._registry.of(task)
        payload = known.codec.encode(task)
        placed = self._place(known, task)
        return NewTask(
            type=known.task.task_type,
            domain=known.domain,
            payload=payload,
            identity=identity(known.task.task_type, placed.key, payload),
            key=placed.key,
            label=placed.label,
            tags=placed.tags,
            group=placed.group,
            priority=self._priority(known, placed),
            max_retries=placed.max_retries,
            options=placed.attempt,
            created_at_ms=to_ms(self._now),
            ready_at_ms=placed.ready_at_ms,
            due_at_ms=placed.due_at_ms,
            run_at_ms=placed.run_at_ms,
            parent=self._call.get("parent"),
            inherits_tags=placed.inherits_tags,
            requeue=placed.requeue,
            on_duplicate=placed.on_duplicate,
            unique_for_ms=placed.unique_for_ms,
            expires_at_ms=placed.expires_at_ms,
            ttl_ms=placed.ttl_ms,
            has_ttl=placed.has_ttl,
            fail_fast=placed.fail_fast,
            max_interruptions=placed.max_interruptions,
            depends_on=self._depends_on,
            on_dependency_failure=self._call.get(
                "on_dependency_failure", OnDependencyFailure.CANCEL
            ),
        )

    def _priority(self, known: Registration, placed: Placement) -> int:
        given = "priority" in self._call or "priority" in known.task.task_options
        if self._at_least is None or given:
            return placed.priority
        return min(placed.priority, self._at_least)

    def _place(self, known: Registration, task: Task[Any, Any]) -> Placement:
        key, label = task.task_key(), task.task_label()
        tags, group = task.task_tags(), task.task_group()
        says_nothing = key is None and label is None and group is None and not tags
        if says_nothing and known.task in self._shared:
            return self._shared[known.task]
        placed = placement(
            known.defaults,
            self._call,
            payload_key=key,
            payload_label=label,
            payload_tags=tags,
            payload_group=group,
            now=self._now,
            carrier=self._carrier,
        )
        if says_nothing:
            self._shared[known.task] = placed
        return placed
