"""A store on a disk that fails when it is told to."""

from __future__ import annotations

from collections.abc import Sequence

import anyio.lowlevel
import attrs

from taskmill import SqliteStore, StoreError
from taskmill.model.changes import Change, Claim, ClaimNew
from taskmill.model.effects import Effect


class FailingStore(SqliteStore):
    """A memory store; while ``fails`` is set it raises that in place of writing."""

    def __init__(self) -> None:
        super().__init__(":memory:")
        self.fails: BaseException | None = None
        self.refused: int | None = None
        """The task whose claims are refused."""
        self.refused_kind: type[Change] | None = None
        """Changes of this kind are all refused, each alone."""
        self.batches = 0
        self.most_batches = 1_000_000
        """More are a fault, so that a test ends where virtual time would not go on."""

    async def apply(self, changes: Sequence[Change]) -> list[Effect | StoreError]:
        self.batches += 1
        if self.batches > self.most_batches:
            raise AssertionError(f"over {self.most_batches} batches were written")
        if self.fails is not None:
            for _ in range(15):  # a disk takes a moment to say so, and others go on
                await anyio.lowlevel.checkpoint()
            raise self.fails
        taken = [place for place, change in enumerate(changes) if not self._refuses(change)]
        effects = iter(await super().apply([_moved(changes[place], taken) for place in taken]))
        return [
            StoreError("refused") if self._refuses(change) else next(effects) for change in changes
        ]

    def _refuses(self, change: Change) -> bool:
        if self.refused_kind is not None and isinstance(change, self.refused_kind):
            return True
        return isinstance(change, Claim) and change.id == self.refused


def _moved(change: Change, taken: Sequence[int]) -> Change:
    """``change`` in a batch that only those at the ``taken`` places of this one are in."""
    if not isinstance(change, ClaimNew):
        return change
    return attrs.evolve(change, place=taken.index(change.place))
