"""What is settled of a run that did not simply return."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

import attrs

from taskmill.engine.runs.strategies import ask_strategy
from taskmill.executors.base import Failure, Lost
from taskmill.executors.failures import MAX_MESSAGE, describe, said, text_of
from taskmill.model.changes import StopCause
from taskmill.model.errors import Cancel, Permanent, RetryAfter, Snooze
from taskmill.model.limits import MAX_LENGTH
from taskmill.model.policies import Backoff
from taskmill.model.record import ErrorRecord, TaskRecord
from taskmill.model.stages import Stage
from taskmill.rules.options import AttemptOptions
from taskmill.rules.retry import is_retryable, retry_delay
from taskmill.rules.settle import Halted, Interrupted, Raised, Result, Snoozed, Unreadable


@attrs.frozen
class Judge:
    """Judges one run, by the options of its task."""

    record: TaskRecord
    options: AttemptOptions
    now: Callable[[], datetime]
    jitter: Callable[[], float]

    def of(self, outcome: Failure | Lost) -> Result:
        """What comes of a run that its executor reports as failed or lost."""
        if isinstance(outcome, Lost):
            reason = said(lambda: outcome.reason, "the reason")[:MAX_MESSAGE]
            return Interrupted(reason, self.options.max_interruptions, outcome.has_begun)
        if outcome.is_unreadable and self.record.stage.part is not Stage.UNDO:
            return Unreadable(self.kept(outcome))
        if outcome.is_final or outcome.is_unreadable:
            return self.for_good(outcome)
        return self.raised(outcome)

    def for_good(self, failure: Failure) -> Result:
        """A failure that another attempt would meet again; a task that is to end, ends."""
        kept = self.kept(failure)
        if self.record.stage.part is Stage.UNDO:
            return Halted(StopCause.CANCELLED, is_undone=True, error=kept)
        return Raised(error=kept, max_retries=self.options.max_retries, delay=None)

    def raised(self, failure: Failure) -> Result:
        """What comes of an error; one that cannot be judged is not retried, and says why."""
        error = failure.error
        if isinstance(error, Snooze):
            return Snoozed(min(max(error.delay, timedelta(0)), MAX_LENGTH))
        if isinstance(error, Cancel):
            reason = said(lambda: error.reason, "the reason") or "cancelled by its handler"
            return Halted(StopCause.CANCELLED, reason=reason[:MAX_MESSAGE])
        delay, note = None, ""
        try:
            delay = self._delay_after(error)
        except BaseException as unjudged:  # noqa: BLE001 - retry_on is the user's; nothing is awaited
            note = f"Not retried, for judging this error raised {text_of(unjudged)}"
        kept = self.kept(failure, note)
        return Raised(
            error=kept,
            max_retries=self.options.max_retries,
            delay=delay,
            dead_letter=self.options.retry.dead_letter,
            reason=kept.message if isinstance(error, Permanent) else "",
        )

    def kept(self, failure: Failure, note: str = "") -> ErrorRecord:
        """What is kept of an error with the task."""
        return describe(failure, run=self.record.run, at=self.now(), note=note)

    def _delay_after(self, error: BaseException) -> timedelta | None:
        """When to try again; None for an error that is never retried."""
        if isinstance(error, RetryAfter):
            return min(max(error.delay, timedelta(0)), MAX_LENGTH)
        policy = self.options.retry
        if not is_retryable(policy, error):
            return None
        waits = None
        if not isinstance(policy.backoff, Backoff):
            waits = ask_strategy(policy.backoff, self.record.attempt, error)
        return retry_delay(policy, self.record.attempt, jitter=self.jitter(), waits=waits)
