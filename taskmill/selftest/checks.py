"""Which promises are checked, in which order, and how."""

from __future__ import annotations

from taskmill.selftest.crashes import accepted_is_kept, interrupted_runs_again
from taskmill.selftest.disk import commit_waits, full_goes_on
from taskmill.selftest.dispatching import caps_hold, events_follow_commits
from taskmill.selftest.files import foreign_is_left_alone, second_is_refused
from taskmill.selftest.machine import Watch, databases_are_sound, sqlite_is_fit, zones_are_there
from taskmill.selftest.stalling import blocking_is_named, stuck_worker_is_killed
from taskmill.selftest.values import Check


def all_checks() -> list[Check]:
    """Every check, once; the watch on the clocks begins now."""
    return [
        Check(
            name="kept",
            promise="What submit accepted is there after its process was killed",
            look=accepted_is_kept,
        ),
        Check(
            name="runs-again",
            promise="What ran when its process was killed runs again, and never twice at once",
            look=interrupted_runs_again,
        ),
        Check(
            name="one-scheduler",
            promise="A second scheduler at the same file is refused and told who holds it",
            look=second_is_refused,
        ),
        Check(name="disk", promise="A commit waits for the disk", look=commit_waits),
        Check(
            name="full-disk",
            promise="A full database refuses new work, loses none, and goes on when there is room",
            look=full_goes_on,
        ),
        Check(
            name="caps",
            promise="No more tasks run at once than the cap allows, and each runs exactly once",
            look=caps_hold,
        ),
        Check(
            name="events",
            promise="An event is published only after its commit",
            look=events_follow_commits,
        ),
        Check(
            name="foreign-file",
            promise="A file that is no database is refused and left byte for byte as it was",
            look=foreign_is_left_alone,
        ),
        Check(
            name="blocked-loop",
            promise="A handler that blocks the event loop is named",
            look=blocking_is_named,
        ),
        Check(
            name="stuck-worker",
            promise="A worker process that is stuck is killed at its timeout",
            look=stuck_worker_is_killed,
        ),
        Check(
            name="time-zones",
            promise="Cron finds its time zones, and their changes of the clocks",
            look=zones_are_there,
        ),
        Check(name="clocks", promise="The clocks go forward", look=Watch().clocks_go_on),
        Check(name="sqlite", promise="SQLite is new enough", look=sqlite_is_fit),
        Check(
            name="sound",
            promise="Every database that was written here is sound",
            look=databases_are_sound,
        ),
    ]
