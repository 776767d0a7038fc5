"""How something is watched for as long as a block lasts, and no longer."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from anyio import create_task_group

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Coroutine


@asynccontextmanager
async def beside(watch: Callable[[], Coroutine[Any, Any, None]]) -> AsyncGenerator[None]:
    """Run ``watch`` until the block ends; the block's errors come out in an ExceptionGroup."""
    async with create_task_group() as group:
        group.start_soon(watch)
        yield
        group.cancel_scope.cancel()
