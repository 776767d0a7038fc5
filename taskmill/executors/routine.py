"""What is called for the tasks of one type, and how its arguments and results are stored."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import attrs

from taskmill.define.codec import Codec, MemoCodec, check_size
from taskmill.define.task import Handler
from taskmill.executors.base import Failure, Success
from taskmill.model.errors import PayloadError, PayloadTooLarge, Permanent
from taskmill.model.record import TaskRecord
from taskmill.model.showing import shown
from taskmill.model.stages import Stage

_NAMES = {Stage.FINALIZE: "finalize", Stage.UNDO: "on_cancel"}


@attrs.frozen
class Routine:
    """The functions of one handler, between what is stored before and after them."""

    handler: Handler[Any]
    codec: Codec
    memo: MemoCodec | None
    """For what the handler returns, where it has a ``finalize``."""

    def function(self, part: Stage) -> Callable[..., Any]:
        """What is called for this part of a task's life.

        PayloadError where the task was begun with a handler that had one, and this one has none.
        """
        handler = self.handler
        if part is Stage.EXECUTE:
            return handler.execute
        function = handler.finalize if part is Stage.FINALIZE else handler.on_cancel
        if function is None:
            raise PayloadError(
                f"the handler of {handler.task.task_type!r} has no {_NAMES[part]} any more, which "
                "is what comes next; give it one back"
            )
        return function

    def arguments(self, record: TaskRecord, part: Stage, task: object) -> tuple[object, ...]:
        """What comes before the context: the task, and for a ``finalize`` what was returned.

        PayloadError for what is stored and does not fit any more.
        """
        if part is not Stage.FINALIZE or self.memo is None:
            return (task,)
        return (task, self.memo.decode(record.memo))

    def outcome(self, value: object, part: Stage) -> Success | Failure:
        """What a handler returned, as it is stored."""
        if value is not None and inspect.isawaitable(value):
            if inspect.iscoroutine(value):
                value.close()
            raise Permanent(
                f"the handler of {self.handler.task.task_type!r} returned {shown(value)}, which "
                "nothing awaits; make the handler async def"
            )
        if part is Stage.UNDO:
            return Success()
        try:
            if self.memo is not None and part is Stage.EXECUTE:
                return Success(self.memo.encode(value))
            return Success(self.codec.encode_result(value))
        except (PayloadError, PayloadTooLarge) as error:
            return Failure(error, is_final=True)

    def accepted(self, stored: str | None, part: Stage) -> object:
        """The value that an executor elsewhere reports as what the handler returned.

        PayloadError where it does not fit the declared type, PayloadTooLarge beyond the limit.
        """
        if stored is not None:
            check_size(stored, self.handler.task.task_type)
        if self.memo is not None and part is Stage.EXECUTE:
            return self.memo.decode(stored)
        return self.codec.decode_result(stored)
