"""Trying many seeds, and what is told of the one that breaks a promise: the shortest story."""

from __future__ import annotations

import gc
import sys
import warnings
from collections.abc import Generator, Iterable
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context

from taskmill.testing.story import Plan, Story
from taskmill.testing.trial import Trial


class PromiseBroken(AssertionError):
    """A seed was found under which a promise does not hold; ``story`` is the shortest one."""

    def __init__(self, story: Story, found: Story) -> None:
        super().__init__(
            f"seed {found.plan.seed} breaks {story.broken}\n{story}\n"
            f"replay it: replay(trial, {found.plan.seed}); shrunk from "
            f"{len(found.plan.steps)} to {len(story.plan.steps)} steps"
        )
        self.story = story
        self.found = found

    def __reduce__(self) -> tuple[type[PromiseBroken], tuple[Story, Story]]:
        return (PromiseBroken, (self.story, self.found))


def explore(trial: Trial, seeds: Iterable[int], *, processes: int = 1) -> int:
    """Live through the plan of each seed; return how many, if every promise held under all.

    Raises `PromiseBroken` with the shortest story of the first seed that breaks one. With more
    ``processes``, which are forked, seeds are spread over them.
    """
    if processes == 1:
        return _explore(trial, list(seeds))
    every = list(seeds)
    parts = [every[at : at + 50] for at in range(0, len(every), 50)]
    _Forked.trial = trial
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of forks beside threads: none is used
        with ProcessPoolExecutor(processes, mp_context=get_context("fork")) as pool:
            return sum(pool.map(_Forked.explore, parts))


class _Forked:
    """What a forked process knows from before the fork: a trial is made of functions."""

    trial: Trial

    @classmethod
    def explore(cls, seeds: list[int]) -> int:
        return _explore(cls.trial, seeds)


def _explore(trial: Trial, seeds: list[int]) -> int:
    for seed in seeds:
        story = replay(trial, seed)
        if story.broken is not None:
            raise PromiseBroken(shrink(trial, story), story)
    return len(seeds)


def replay(trial: Trial, seed: int) -> Story:
    """The story of one seed, the same each time."""
    return tell(trial, trial.plan(seed))


def tell(trial: Trial, plan: Plan) -> Story:
    """The story of a plan, the same each time."""
    with _no_collecting():
        return trial.tell(plan)


def shrink(trial: Trial, story: Story, *, tries: int = 400) -> Story:
    """The shortest story found that breaks the same promise, by leaving out steps."""
    best, left = story, tries
    size = max(1, len(best.plan.steps) // 2)
    while size and left:
        at, has_shrunk = 0, False
        while at < len(best.plan.steps) and left:
            left -= 1
            shorter = tell(trial, best.plan.without(at, size))
            if shorter.promise == story.promise:
                best, has_shrunk = shorter, True
            else:
                at += size
        if not has_shrunk or size > 1:
            size //= 2
    return best


@contextmanager
def _no_collecting() -> Generator[None]:
    """No garbage is collected meanwhile: what is left of dead processes would run to its end.

    Afterwards it is, and what coroutines say that are thrown away is not printed.
    """
    was_on, hook = gc.isenabled(), sys.unraisablehook
    gc.disable()
    gc.freeze()
    try:
        yield
    finally:
        sys.unraisablehook = lambda _: None
        gc.collect()
        gc.unfreeze()
        sys.unraisablehook = hook
        if was_on:
            gc.enable()
