"""What of a process may not grow: memory, files, threads, and what objects of taskmill hold."""

from __future__ import annotations

import gc
import os
import sys
import threading
import types
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any, cast

import psutil


def held(*roots: object) -> Counter[str]:
    """How many things the containers hold that objects of taskmill have, from these roots on.

    By class and attribute; beside them the number of objects of each class of taskmill, and of
    tasks and futures of asyncio, in the whole process.
    """
    found: Counter[str] = Counter()
    seen: set[int] = set()
    stack: list[object] = list(roots)
    while stack:
        value = stack.pop()
        if id(value) in seen:
            continue
        seen.add(id(value))
        if _is_ours(value):
            for name, part in _attributes(value):
                if _is_container(part) and id(part) not in seen:
                    found[f"{type(value).__name__}.{name}"] += _size(part)
                stack.append(part)
        else:
            stack.extend(_parts(value))
    return found + _objects()


def _objects() -> Counter[str]:
    """While all objects are listed no other thread may run: it could be building a tuple.

    CPython refuses to go on with one that something else refers to (its issue 59313).
    """
    found: Counter[str] = Counter()
    gc.collect()
    interval = sys.getswitchinterval()
    sys.setswitchinterval(60)
    try:
        for value in gc.get_objects():
            if _is_ours(value) or type(value).__name__ in {"Task", "Future"}:
                found[f"objects of {type(value).__name__}"] += 1
    finally:
        value = None
        sys.setswitchinterval(interval)
    return found


def _is_ours(value: object) -> bool:
    return not isinstance(value, type) and type(value).__module__.startswith("taskmill")


def _attributes(value: object) -> Iterator[tuple[str, Any]]:
    yield from getattr(value, "__dict__", {}).items()
    for kind in type(value).__mro__:
        slots = kind.__dict__.get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            mangled = f"_{kind.__name__.lstrip('_')}{name}" if name.startswith("__") else name
            part = getattr(value, mangled, None) if mangled != "__weakref__" else None
            if part is not None:
                yield name, part


def _is_container(value: object) -> bool:
    """Whether it can grow without end."""
    if isinstance(value, deque):
        return cast("deque[object]", value).maxlen is None
    return isinstance(value, Mapping | Set | list)


def _size(value: Any) -> int:
    """What it holds, and what the containers in it hold."""
    inner = value.values() if isinstance(value, Mapping) else value
    return len(value) + sum(len(part) for part in list(inner) if _is_container(part))


def _parts(value: Any) -> Iterable[object]:
    match value:
        case Mapping():
            return [*value.keys(), *value.values()]
        case list() | tuple() | set() | frozenset() | deque():
            return list(cast("Iterable[object]", value))
        case types.MethodType():
            return [value.__self__, value.__func__]
        case types.FunctionType():
            return [cell.cell_contents for cell in value.__closure__ or () if _is_filled(cell)]
        case partial():
            return [value.func, *value.args, *value.keywords.values()]
        case _:
            return []


def _is_filled(cell: types.CellType) -> bool:
    try:
        return cell.cell_contents is not None
    except ValueError:
        return False


def of_process(path: Path) -> Counter[str]:
    """Bytes of memory and of the files of the store, threads, descriptors."""
    me = psutil.Process()
    sizes = {name: Path(f"{path}{name}") for name in ("", "-wal", "-shm")}
    return Counter(
        {
            "memory": me.memory_info().rss,
            "threads": threading.active_count(),
            "descriptors": len(os.listdir("/proc/self/fd")) if Path("/proc").exists() else 0,  # noqa: PTH208 - names only
            "children": len(me.children()),
            **{f"file{n}": p.stat().st_size if p.exists() else 0 for n, p in sizes.items()},
        }
    )


MIB = 2**20
SLACK = {"memory": 4 * MIB, "file": MIB, "file-wal": 4 * MIB, "file-shm": MIB // 8, "threads": 2}
"""In bytes, or in number: more than so many are more."""


def growing(readings: Sequence[Counter[str]], least: int = 40) -> dict[str, tuple[float, float]]:
    """What is clearly more in the last third of the readings than in the first, by their medians.

    A quarter more (memory: a twentieth), and by more than ``least`` or what `SLACK` has for it.
    """
    third = max(1, len(readings) // 3)
    names = {name for reading in readings for name in reading}
    found: dict[str, tuple[float, float]] = {}
    for name in sorted(names):
        first = median(reading[name] for reading in readings[:third])
        last = median(reading[name] for reading in readings[-third:])
        share = 0.05 if name == "memory" else 0.25
        if last > first * (1 + share) + SLACK.get(name, least):
            found[name] = (first, last)
    return found
