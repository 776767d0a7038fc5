"""The stages of a task's life, and where in the code each is."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import taskmill
from benchmarks import work
from benchmarks.sampling import Frame
from benchmarks.work import Ledger

CODE = Path(taskmill.__file__).parent
HANDLERS = (Path(work.__file__), Ledger.run.__name__)
HANDLER = "handler"
LOOP = "event loop, thread hops"
REST = "rest"

STAGES: dict[str, tuple[str, ...]] = {
    "validate, resolve": (
        "engine/requests/control",
        "engine/requests/intake",
        "engine/registry",
        "rules/options",
        "scheduler",
        "handle",
    ),
    "encode payload": ("define/codec/codec:encode",),
    "key, identity": ("rules/dedup:identity",),
    "SQL: insert": (
        "store/sqlite/batch:_submit",
        "store/sqlite/batch:_arrive",
        "store/sqlite/batch:_insert_all",
    ),
    "queue": (
        "engine/queue/ready",
        "engine/dispatcher:add",
        "engine/dispatcher:release",
        "store/sqlite/batch:_refill",
    ),
    "plan": ("rules/plan", "rules/preempt", "engine/dispatcher", "engine/queue/ready:take"),
    "SQL: claim": ("store/sqlite/batch:_claim",),
    "decode row": ("store/sqlite/rows:record_of", "store/sqlite/carrying:full_record"),
    "start attempt": (
        "engine/runs/running:start",
        "engine/runs/running:_launch",
        "engine/runs/running:_run",
        "engine/runs/attempt",
        "engine/runs/preparing",
        "executors/base",
        "executors/inline",
        "executors/routine",
        "define/context",
    ),
    "decode payload": ("define/codec/codec:decode",),
    HANDLER: (),
    "encode result": ("define/codec/codec:encode_result",),
    "rule of the end": (
        "rules/settle",
        "rules/ending",
        "engine/runs/judging",
        "engine/runs/running:_finish",
        "engine/runs/running:_ran",
    ),
    "SQL: settle": (
        "store/sqlite/batch:_apply_one",
        "store/sqlite/batch:_complete",
        "store/sqlite/rows:settle_values",
        "store/sqlite/tags",
    ),
    "SQL: begin, commit": (
        "store/sqlite/transactions",
        "store/sqlite/store",
        "store/sqlite/files",
        "store/sqlite/opening",
        "store/sqlite/batch:apply",
        "store/sqlite/batch:_apply_all",
        "store/sqlite/batch:_ended_alone",
    ),
    "SQL: retention": ("store/sqlite/deleting", "engine/due/housekeeping"),
    "follow up, events": (
        "engine/runs/running:_settled",
        "engine/runs/running:_announce",
        "engine/runs/running:_requeue",
        "engine/aftermath",
        "engine/events/announce",
        "engine/events/endings",
        "engine/events/hub",
        "engine/events/idleness",
        "engine/requests/local",
    ),
    "figures": ("engine/events/meters", "engine/runs/figures", "engine/runs/durations"),
    LOOP: ("engine/writer", "store/sqlite/connection"),
    REST: (),
}
"""Each stage with its modules, or its functions as ``module:function``, in the order of a life.

A sample counts for the innermost function on its stack that is named here, the functions of a
module before the module; so what is named nowhere - the clock, values, what every stage calls -
counts for the stage that called it.
"""

_STAGE_OF = {place: stage for stage, places in STAGES.items() for place in places}


def place_of(stack: Iterable[Frame]) -> tuple[str, str]:
    """The stage that a stack is in, given from its innermost frame outwards, and our own function.

    The function is the innermost of taskmill's, as ``module:function``; "" where there is none.
    """
    innermost = ""
    for file, function in stack:
        path = Path(file)
        if path.is_relative_to(CODE):
            module = path.relative_to(CODE).with_suffix("").as_posix()
            innermost = innermost or f"{module}:{function}"
            stage = _STAGE_OF.get(f"{module}:{function}") or _STAGE_OF.get(module)
            if stage is not None:
                return stage, innermost
        elif (path, function) == HANDLERS and not innermost:
            return HANDLER, ""
    return REST if innermost else LOOP, innermost
