"""What a stream of events holds by now."""

from __future__ import annotations

import anyio

from taskmill import EventStream, TaskHeader


async def heard(events: EventStream[object]) -> list[object]:
    """All that was published by now, in its order."""
    seen: list[object] = []
    with anyio.move_on_after(0.001):
        async for event in events:
            seen.append(event)  # noqa: PERF401 - keeps what came before the scope ends
    return seen


def told(events: list[object], *kinds: type[object]) -> list[tuple[str, int]]:
    """Which of these kinds happened to which tasks."""
    return [
        (type(event).__name__, header.id)
        for event in events
        if isinstance(event, kinds)
        and isinstance(header := getattr(event, "header", None), TaskHeader)
    ]
