"""How values are kept as text in a row: tasks to be submitted, requests, and their answers."""

from __future__ import annotations

import json
from typing import Any, Final, cast

import attrs
from cattrs import BaseValidationError
from cattrs.preconf.json import make_converter
from cattrs.strategies import configure_tagged_union

from taskmill.model.changes import NewTask, Request, Timetable
from taskmill.model.effects import Answer, Changed, Deleted, Effect, Placed, Refused
from taskmill.model.errors import StoreError
from taskmill.model.pauses import PauseRecord

_converter = make_converter()
configure_tagged_union(Request, _converter, tag_name="request")

_KINDS: Final[dict[str, Any]] = {
    "placed": tuple[Placed, ...],
    "refused": Refused,
    "changed": Changed,
    "deleted": Deleted,
    "timetable": Timetable,
    "pause": PauseRecord,
    "nothing": None,
    "error": str,
}
"""What a request can be answered with."""

_STRANGE = (BaseValidationError, ValueError, LookupError, TypeError, RecursionError)
"""What is raised for JSON that is none, or says something else than it should."""


def task_json(task: NewTask) -> str:
    """The task as JSON."""
    return _text(_converter.unstructure(task))


def task_of(text: str | bytes) -> NewTask:
    """The task that `task_json` wrote; ValueError for what is none."""
    try:
        return _converter.structure(json.loads(text), NewTask)
    except _STRANGE as error:
        raise ValueError("what is stored is no task that this version knows") from error


def request_json(request: Request) -> str:
    """The request as JSON."""
    return _text(_converter.unstructure(request, Request))


def request_of(text: str | bytes, *, now_ms: int) -> Request:
    """The request that `request_json` wrote, to be carried out now; a submit keeps its time.

    ValueError for one that this version does not know.
    """
    try:
        fields = json.loads(text)
        if "now_ms" in fields:
            fields["now_ms"] = now_ms
        request: Request = _converter.structure(fields, cast("type[Request]", Request))
    except _STRANGE as error:
        raise ValueError("what is stored is no request that this version knows") from error
    return request


def answer_json(effect: Effect | StoreError) -> str:
    """The answer to a request as JSON, without the moves."""
    match effect:
        case StoreError():
            return _text({"error": str(effect)})
        case tuple():
            bare = tuple(attrs.evolve(placed, moves=(), ready=None) for placed in effect)
            return _text({"placed": _converter.unstructure(bare)})
        case Changed():
            return _text({"changed": _converter.unstructure(attrs.evolve(effect, moves=()))})
        case None:
            return _text({"nothing": None})
        case _:
            kind = next(kind for kind, of in _KINDS.items() if of is type(effect))
            return _text({kind: _converter.unstructure(effect)})


def answer_of(text: str) -> Answer:
    """The answer that `answer_json` wrote; what cannot be read is answered with an error."""
    try:
        [(kind, value)] = json.loads(text).items()
        if kind == "error":
            return Answer(StoreError(value))
        if kind == "nothing":
            return Answer(None)
        return Answer(_converter.structure(value, _KINDS[kind]))
    except (*_STRANGE, AttributeError):
        return Answer(
            StoreError("it was carried out, but what came of it cannot be read by this version")
        )


def _text(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)
