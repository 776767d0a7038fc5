"""The patterns of docs/several-domains.md, each with a test of its own.

| pattern | test |
|---|---|
| one domain function per feature | test_domain_functions_are_mounted_on_one_scheduler |
| a cap, defaults, state for each | test_each_domain_has_its_own_cap_defaults_and_state |
| two domains of one name are refused | test_two_domains_of_one_name_are_refused |
| a domain can be tested alone | test_a_domain_can_be_tested_alone |
| state of all, state of one domain | test_state_is_the_domains_before_the_schedulers |
| two domains have state of one type | test_two_domains_have_state_of_one_type |
| handles are passed around | test_handles_are_used_from_other_tasks |
| a domain that is not there | test_a_missing_domain_is_an_error_or_none |
| a dependency on a task of another domain | test_a_task_depends_on_one_of_another_domain |
| a failure travels into other domains | test_a_failure_travels_into_other_domains |
| run although a dependency failed | test_a_task_runs_although_what_it_depended_on_failed |
| submit into another domain from a handler | test_a_handler_submits_into_another_domain |
| an optional domain | test_a_handler_uses_a_domain_that_may_be_left_out |
| children, and what is made of them at the end | test_children_run_and_finalize_joins_them |
| a child in another domain | test_a_child_may_be_in_another_domain |
| a child that fails | test_a_child_that_fails_fails_the_job |
| all caps at once | test_the_caps_of_scheduler_domain_and_group_hold_together |
| pressure holds what is not urgent | test_pressure_is_one_more_gate |
| a cap is no reservation | test_a_cap_reserves_nothing |
| background work starves | test_background_work_waits_while_other_domains_keep_submitting |
| ... aging helps | test_aging_lets_background_work_run |
| ... a better priority helps | test_a_better_priority_lets_it_run |
| ... weights and minimum slots help | test_weights_and_minimum_slots_give_a_domain_its_part |
| a group's cap | test_a_groups_cap_is_shared_by_domains |
| tags make a job of tasks in several domains | test_tags_make_a_logical_job |
| the progress of a job | test_the_progress_of_a_job_over_domains |
| cancel a job in all domains | test_a_job_is_cancelled_in_all_domains_at_once |
| cancel a job in one domain | test_a_job_is_cancelled_in_one_domain |
| the tags of one library | test_the_tags_of_one_library_are_found_by_prefix |
| a prefix is text, no pattern | test_a_prefix_is_no_pattern |
| pause and resume a domain | test_a_domain_is_paused_and_resumed |
| pauses add up | test_a_domain_runs_when_neither_it_nor_the_scheduler_is_paused |
| one feature is switched off | test_a_pause_of_one_domain_leaves_the_others_alone |
| what runs now | test_active_tasks_are_those_of_all_domains_or_of_one |
| dead letters per domain | test_each_domain_has_its_dead_letters |
| retry policies per domain | test_each_domain_retries_in_its_own_way |
| errors stay in their domain | test_an_error_in_one_domain_is_none_of_anothers |
| events of one domain | test_the_events_of_a_domain_are_its_own |
| a test of several domains | test_a_pipeline_runs_from_end_to_end |
| tests do not see each other | test_each_test_has_a_store_of_its_own |

The snapshots of a domain and of the scheduler are in test_dashboard.py.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import anyio
import pytest

from examples.media import (
    JOB,
    Analytics,
    Count,
    Fetch,
    Ingest,
    Library,
    Render,
    Tell,
    Thumbnails,
    analytics_domain,
    begin,
    give_up,
    ingest_domain,
    tell_in_any_case,
    what_is_left,
)
from taskmill import (
    Aging,
    Completed,
    ConfigurationError,
    Context,
    Domain,
    GroupPolicy,
    Priority,
    Progress,
    Scheduler,
    Task,
    TaskStatus,
    Throttle,
    UnknownDomainError,
)
from taskmill.testing import virtual_time
from tests.guides.app import (
    ADA,
    SECOND,
    URL,
    Back,
    Front,
    Log,
    Serve,
    Sync,
    World,
    media,
    sync,
    two,
)

pytestmark = pytest.mark.anyio

# --- how the application is laid out ---


async def test_domain_functions_are_mounted_on_one_scheduler() -> None:
    async with media() as app:
        names = [app.ingest.name, app.process.name, app.notify.name]
        assert names == ["ingest", "process", "notify"]
        with pytest.raises(UnknownDomainError):
            app.scheduler.domain(Analytics)
    async with media(more=[analytics_domain()]) as app:
        assert app.scheduler.domain(Analytics).name == "analytics"


async def test_each_domain_has_its_own_cap_defaults_and_state() -> None:
    async with media() as app:
        assert (app.ingest.max_concurrency, app.process.max_concurrency) == (4, 8)
        assert app.notify.max_concurrency is None
        job = await begin(app.scheduler, "j1", URL, ADA)
        transcode = await app.process.get(job.transcode.id)
        tell = await app.notify.get(job.tell.id)
        assert (transcode.priority, transcode.group) == (Priority.BACKGROUND, "processing")
        assert (tell.priority, tell.group) == (Priority.HIGH, None)
        await app.scheduler.idle()
        assert app.world.sent == [(ADA, "j1 can be watched")]


def test_two_domains_of_one_name_are_refused() -> None:
    world = World()
    with pytest.raises(ConfigurationError, match="two domains are named 'ingest'"):
        Scheduler(":memory:", domains=[*world.domains(), ingest_domain(world.ingest())])


async def test_a_domain_can_be_tested_alone() -> None:
    async with virtual_time() as clock:
        library = Library()
        async with Scheduler(
            ":memory:", domains=[ingest_domain(World().ingest())], state=[library], clock=clock
        ) as scheduler:
            ingest = scheduler.domain(Ingest)
            submitted = await ingest.submit(Fetch(job="j1", url=URL))
            assert await ingest.result(submitted) == "j1/source"
            assert library.files == {"j1/source": "source"}


# --- state ---


class Settings:
    """State that both the scheduler and a domain may have."""

    def __init__(self, name: str) -> None:
        self.name = name


class AskFront(Task[Front, str], name="ask"): ...


class AskBack(Task[Back, str], name="ask"): ...


@AskFront.handler
async def ask_front(task: AskFront, ctx: Context[Front]) -> str:
    return ctx.state(Settings).name


@AskBack.handler
async def ask_back(task: AskBack, ctx: Context[Back]) -> str:
    return ctx.state(Settings).name


async def asked(front: list[object], back: list[object], both: list[object]) -> tuple[str, str]:
    domains: list[Domain[Any]] = [
        Domain(Front, handlers=[ask_front], state=front),
        Domain(Back, handlers=[ask_back], state=back),
    ]
    async with Scheduler(":memory:", domains=domains, state=both) as scheduler:
        one = await scheduler.submit(AskFront())
        two = await scheduler.submit(AskBack())
        return await scheduler.result(one), await scheduler.result(two)


async def test_state_is_the_domains_before_the_schedulers() -> None:
    shared = Settings("shared")
    assert await asked([], [], [shared]) == ("shared", "shared")
    assert await asked([Settings("front")], [], [shared]) == ("front", "shared")


async def test_two_domains_have_state_of_one_type() -> None:
    assert await asked([Settings("front")], [Settings("back")], []) == ("front", "back")


# --- handles ---


async def test_handles_are_used_from_other_tasks() -> None:
    async with media() as app:
        ingest = app.ingest

        async def request(number: int) -> None:
            await ingest.submit(Fetch(job=f"j{number}", url=URL))

        async with anyio.create_task_group() as requests:
            for number in range(5):
                requests.start_soon(request, number)
        assert await ingest.count() == 5


async def test_a_missing_domain_is_an_error_or_none() -> None:
    async with media() as app:
        with pytest.raises(UnknownDomainError, match="analytics"):
            app.scheduler.domain(Analytics)
        assert app.scheduler.find_domain(Analytics) is None
        assert app.scheduler.find_domain(Ingest) is not None


# --- work across domains ---


async def test_a_task_depends_on_one_of_another_domain() -> None:
    async with media() as app:
        fetched = await app.ingest.submit(Fetch(job="j1", url=URL))
        pictured = await app.process.submit(Thumbnails(job="j1"), depends_on=[fetched.id])
        assert (await app.process.get(pictured.id)).status is TaskStatus.BLOCKED
        assert await app.process.result(pictured) == 3
        assert app.seconds() == pytest.approx(1)


async def test_a_failure_travels_into_other_domains() -> None:
    async with media(content="") as app:
        job = await begin(app.scheduler, "j1", URL, ADA)
        fetch = await app.ingest.wait(job.fetch.id)
        assert (fetch.status, fetch.reason) == (TaskStatus.FAILED, f"there is nothing at {URL}")
        transcode = await app.process.get(job.transcode.id)
        assert transcode.status is TaskStatus.DEPENDENCY_FAILED
        assert "(ingest::fetch), which ended as failed" in (transcode.reason or "")
        tell = await app.notify.get(job.tell.id)
        assert tell.status is TaskStatus.DEPENDENCY_FAILED
        assert "(process::transcode), which ended as dependency_failed" in (tell.reason or "")


async def test_a_task_runs_although_what_it_depended_on_failed() -> None:
    async with media(content="") as app:
        job = await begin(app.scheduler, "j1", URL, ADA)
        told = await tell_in_any_case(app.scheduler, job, "j1", ADA)
        await app.notify.result(told)
        assert app.world.sent == [(ADA, "j1 is over")]


class Announce(Task[Front], name="announce"):
    what: str


@Announce.handler
async def announce(task: Announce, ctx: Context[Front]) -> None:
    await ctx.domain(Back).submit(Sync(number=7), tags={"what": task.what})


async def test_a_handler_submits_into_another_domain() -> None:
    async with virtual_time() as clock:
        domains: list[Domain[Any]] = [
            Domain(Front, handlers=[announce]),
            Domain(Back, handlers=[sync], state=[Log()]),
        ]
        async with Scheduler(":memory:", domains=domains, clock=clock) as scheduler:
            await scheduler.result(await scheduler.submit(Announce(what="x")))
            await scheduler.idle()
            [done] = await scheduler.domain(Back).history()
            assert (done.type, done.tags, done.parent) == ("back::sync", {"what": "x"}, None)


async def test_a_handler_uses_a_domain_that_may_be_left_out() -> None:
    async with media() as app:
        submitted = await app.ingest.submit(Fetch(job="j1", url=URL))
        assert await app.ingest.result(submitted) == "j1/source"
        assert await app.scheduler.count(status=list(TaskStatus)) == 1
    async with media(more=[analytics_domain()]) as app:
        await app.ingest.result(await app.ingest.submit(Fetch(job="j1", url=URL)))
        await app.scheduler.idle()
        [counted] = await app.scheduler.domain(Analytics).history(Count)
        assert counted.status is TaskStatus.COMPLETED


async def test_children_run_and_finalize_joins_them() -> None:
    async with media() as app:
        job = await begin(app.scheduler, "j1", URL, ADA)
        await anyio.sleep(5)
        transcode = await app.process.get(job.transcode.id)
        assert transcode.status is TaskStatus.WAITING
        children = await app.process.tasks(parent=job.transcode.id)
        assert [child.type for child in children] == ["process::render"] * 2
        assert await app.process.result(job.transcode) == ["j1/480", "j1/1080"]
        assert app.seconds() == pytest.approx(11)


class Head(Task[Front, str], name="head"): ...


async def spread_out(task: Head, ctx: Context[Front]) -> int:
    await ctx.domain(Back).submit(Sync(number=1, seconds=5), parent=ctx.id)
    return 1


async def gather(task: Head, memo: int, ctx: Context[Front]) -> str:
    return " ".join(f"{child.domain} {child.status}" for child in await ctx.children())


async def test_a_child_may_be_in_another_domain() -> None:
    async with virtual_time() as clock:
        domains: list[Domain[Any]] = [
            Domain(Front, handlers=[Head.handler(spread_out, finalize=gather)]),
            Domain(Back, handlers=[sync], state=[Log()]),
        ]
        async with Scheduler(":memory:", domains=domains, clock=clock) as scheduler:
            submitted = await scheduler.submit(Head())
            assert await scheduler.result(submitted) == "back completed"
            assert clock.monotonic() == pytest.approx(5)


async def test_a_child_that_fails_fails_the_job() -> None:
    async with media(bad_heights=frozenset({480})) as app:
        job = await begin(app.scheduler, "j1", URL, ADA)
        told = await tell_in_any_case(app.scheduler, job, "j1", ADA)
        transcode = await app.process.wait(job.transcode.id)
        assert transcode.status is TaskStatus.FAILED
        assert "its child, task" in (transcode.reason or "")
        await app.notify.result(told)
        [dead] = await app.process.dead_letters()
        assert (dead.type, dead.parent) == ("process::render", job.transcode.id)
        renders = await app.process.history(Render)
        assert {record.status for record in renders} == {TaskStatus.DEAD, TaskStatus.COMPLETED}
        assert (await app.notify.get(job.tell.id)).status is TaskStatus.DEPENDENCY_FAILED


# --- budgets ---


async def test_the_caps_of_scheduler_domain_and_group_hold_together() -> None:
    async with two(
        front={"max_concurrency": 3},
        back={"group": "sync"},
        groups={"sync": GroupPolicy(max_concurrency=2)},
        max_concurrency=4,
    ) as app:
        await app.front.submit_many([Serve(number=n) for n in range(10)])
        await app.back.submit_many([Sync(number=n) for n in range(10)])
        most = [0, 0, 0]
        for _ in range(12):
            await anyio.sleep(0.5)
            running = [
                len(app.scheduler.active_tasks()),
                len(app.front.active_tasks()),
                len(app.back.active_tasks()),
            ]
            most = [max(pair) for pair in zip(most, running, strict=True)]
        assert most == [4, 3, 2]


class Gauge:
    name = "battery"

    def __init__(self, value: float) -> None:
        self.value = value

    def pressure(self) -> float:
        return self.value


async def test_pressure_is_one_more_gate() -> None:
    gauge = Gauge(0.6)
    async with two(
        back={"priority": Priority.BACKGROUND},
        pressure=[gauge],
        throttle=Throttle({Priority.BACKGROUND: 0.5}),
    ) as app:
        held = await app.back.submit(Sync(number=1))
        served = await app.front.submit(Serve(number=1))
        assert await app.front.result(served) == 1
        assert "pressure" in str(await app.back.explain(held.id))
        gauge.value = 0.1
        assert await app.back.result(held) == 1


async def test_a_cap_reserves_nothing() -> None:
    async with two(back={"max_concurrency": 4}, max_concurrency=4) as app:
        await app.front.submit_many([Serve(number=n, seconds=10) for n in range(4)])
        waiting = await app.back.submit(Sync(number=1))
        await anyio.sleep(5)
        assert app.log.back == []
        assert "4 of 4 slots" in str(await app.back.explain(waiting.id))


async def test_background_work_waits_while_other_domains_keep_submitting() -> None:
    async with two(back={"priority": Priority.BACKGROUND}) as app:
        await app.front.submit_many([Serve(number=-n) for n in range(4)])
        await app.back.submit(Sync(number=1))
        await app.keep_serving(60)
        assert app.log.back == []


async def test_aging_lets_background_work_run() -> None:
    aging = Aging(grace=timedelta(0), step=SECOND / 4)
    async with two(back={"priority": Priority.BACKGROUND}, aging=aging) as app:
        await app.front.submit_many([Serve(number=-n) for n in range(4)])
        await app.back.submit(Sync(number=1))
        await app.keep_serving(60)
        assert app.log.back == [1]


async def test_a_better_priority_lets_it_run() -> None:
    async with two(back={"priority": Priority.BACKGROUND}) as app:
        await app.front.submit_many([Serve(number=-n) for n in range(4)])
        await app.back.submit(Sync(number=1), priority=Priority.HIGH)
        await app.keep_serving(3)
        assert app.log.back == [1]


async def test_weights_and_minimum_slots_give_a_domain_its_part() -> None:
    async with two(
        back={"priority": Priority.BACKGROUND, "group": "sync-reserved"},
        groups={"sync-reserved": GroupPolicy(weight=1, min_slots=2)},
    ) as app:
        await app.front.submit_many([Serve(number=-n) for n in range(4)])
        await app.back.submit_many([Sync(number=n) for n in range(20)])
        await app.keep_serving(12)
        assert len(app.log.back) == 20


async def test_a_groups_cap_is_shared_by_domains() -> None:
    policy = GroupPolicy(max_concurrency=2)
    async with two(max_concurrency=8, groups={"api.example": policy}) as app:
        await app.front.submit_many([Serve(number=n) for n in range(4)], group="api.example")
        await app.back.submit_many([Sync(number=n) for n in range(4)], group="api.example")
        await app.scheduler.idle()
        assert app.log.most == 2
        assert app.clock.monotonic() == pytest.approx(4)


# --- jobs ---


async def test_tags_make_a_logical_job() -> None:
    async with media() as app:
        job = await begin(app.scheduler, "j1", URL, ADA)
        await begin(app.scheduler, "j2", URL, ADA)
        assert await app.scheduler.tag_values(JOB) == {"j1": 4, "j2": 4}
        await anyio.sleep(5)
        children = await app.process.tasks(parent=job.transcode.id)
        assert {child.tags[JOB] for child in children} == {"j1"}
        by_call = await app.notify.submit(
            Tell(job="j3", to=ADA, text="hello"), tags={JOB: "j3", "by": "hand"}
        )
        assert (await app.notify.get(by_call.id)).tags == {JOB: "j3", "by": "hand"}


async def test_the_progress_of_a_job_over_domains() -> None:
    async with media() as app:
        await begin(app.scheduler, "j1", URL, ADA)
        assert await what_is_left(app.scheduler, "j1") == {"ingest": 1, "process": 2, "notify": 1}
        await anyio.sleep(5)
        assert await what_is_left(app.scheduler, "j1") == {"ingest": 0, "process": 3, "notify": 1}
        running = await app.scheduler.count(tags={JOB: "j1"}, status=TaskStatus.RUNNING)
        assert running == 2
        await app.scheduler.idle()
        ended = list(TaskStatus)
        assert await app.scheduler.count_by_tag(JOB, status=ended) == {"j1": 6}


async def test_a_job_is_cancelled_in_all_domains_at_once() -> None:
    async with media() as app:
        await begin(app.scheduler, "j1", URL, ADA)
        other = await begin(app.scheduler, "j2", URL, ADA)
        await anyio.sleep(5)
        named = await give_up(app.scheduler, "j1")
        assert len(named) == 4
        await app.scheduler.idle()
        assert await app.scheduler.count(tags={JOB: "j1"}) == 0
        assert await app.process.result(other.transcode) == ["j2/480", "j2/1080"]
        assert app.world.sent == [(ADA, "j2 can be watched")]


async def test_a_job_is_cancelled_in_one_domain() -> None:
    async with media() as app:
        job = await begin(app.scheduler, "j1", URL, ADA)
        assert await app.process.cancel_where(tags={JOB: "j1"}) == [
            job.transcode.id,
            job.thumbnails.id,
        ]
        tell = await app.notify.wait(job.tell.id)
        assert tell.status is TaskStatus.DEPENDENCY_FAILED
        assert await app.ingest.result(job.fetch) == "j1/source"


async def test_the_tags_of_one_library_are_found_by_prefix() -> None:
    async with two() as app:
        await app.scheduler.pause()
        billing = {"billing.customer_id": "7", "billing.plan": "gold"}
        await app.front.submit(Serve(number=1), tags=billing)
        await app.front.submit(Serve(number=2), tags={"billing.region": "eu"}, delay=SECOND)
        await app.front.submit(Serve(number=3), tags={"media.job": "x"})
        assert await app.front.tag_keys("billing.") == [
            "billing.customer_id",
            "billing.plan",
            "billing.region",
        ]
        assert await app.front.count(tag_prefix="billing.") == 2
        ids = await app.front.ids(tag_prefix="billing.", status=TaskStatus.PAUSED)
        assert ids == [1, 2]
        assert await app.front.cancel_where(tag_prefix="billing.") == [1, 2]
        assert await app.front.count() == 1


async def test_a_prefix_is_no_pattern() -> None:
    async with two() as app:
        await app.scheduler.pause()
        await app.front.submit(Serve(number=1), tags={"a_b.x": "1"})
        await app.front.submit(Serve(number=2), tags={"aXb.x": "1", "a%": "2"})
        assert await app.front.ids(tag_prefix="a_b.") == [1]
        assert await app.front.ids(tag_prefix="a%") == [2]
        assert await app.front.ids(tag_prefix="%") == []


# --- pauses ---


async def test_a_domain_is_paused_and_resumed() -> None:
    async with two() as app:
        running = await app.front.submit(Serve(number=1, seconds=10))
        await anyio.sleep(1)
        await app.front.pause()
        assert app.front.is_paused
        waiting = await app.front.submit(Serve(number=2))
        assert waiting.paused
        await anyio.sleep(1)
        assert await app.front.count(status=TaskStatus.PAUSED) == 2
        await app.front.resume()
        assert not app.front.is_paused
        await app.front.result(waiting)
        record = await app.front.wait(running.id)
        assert (record.status, record.attempt, record.run) == (TaskStatus.COMPLETED, 1, 2)


@pytest.mark.parametrize("scheduler_paused", [False, True])
@pytest.mark.parametrize("domain_paused", [False, True])
async def test_a_domain_runs_when_neither_it_nor_the_scheduler_is_paused(
    scheduler_paused: bool, domain_paused: bool
) -> None:
    async with two() as app:
        if scheduler_paused:
            await app.scheduler.pause()
        if domain_paused:
            await app.front.pause()
        await app.front.submit(Serve(number=1))
        await anyio.sleep(5)
        is_free = not scheduler_paused and not domain_paused
        assert app.log.front == ([1] if is_free else [])
        await app.front.resume()
        await anyio.sleep(5)
        assert app.log.front == ([] if scheduler_paused else [1])
        await app.scheduler.resume()
        await app.scheduler.idle()
        assert app.log.front == [1]


async def test_a_pause_of_one_domain_leaves_the_others_alone() -> None:
    async with media() as app:
        await app.process.pause()
        job = await begin(app.scheduler, "j1", URL, ADA)
        assert await app.ingest.result(job.fetch) == "j1/source"
        assert app.scheduler.is_paused is False
        await anyio.sleep(60)
        assert (await app.process.get(job.transcode.id)).status is TaskStatus.PAUSED
        await app.process.resume()
        await app.notify.result(job.tell)


# --- watching ---


async def test_active_tasks_are_those_of_all_domains_or_of_one() -> None:
    async with two() as app:
        await app.front.submit(Serve(number=1, seconds=5))
        await app.back.submit(Sync(number=1, seconds=5))
        await anyio.sleep(1)
        running = app.scheduler.active_tasks()
        assert [(record.domain, record.label, record.priority) for record in running] == [
            ("front", "front::serve", 128),
            ("back", "back::sync", 128),
        ]
        assert [record.domain for record in app.back.active_tasks()] == ["back"]


async def test_each_domain_has_its_dead_letters() -> None:
    async with media(bad_heights=frozenset({480, 1080})) as app:
        app.world.errors.extend([OSError("no route")] * 6)
        lost = await app.ingest.submit(Fetch(job="j0", url=URL))
        await app.ingest.wait(lost.id)
        await begin(app.scheduler, "j1", URL, ADA)
        await app.scheduler.idle()
        [ingest] = await app.ingest.dead_letters(limit=10)
        assert (ingest.label, ingest.last_error and ingest.last_error.message) == (
            "ingest::fetch",
            "no route",
        )
        assert {record.type for record in await app.process.dead_letters()} == {"process::render"}
        assert len(await app.notify.dead_letters()) == 0
        revived = await app.ingest.retry_where(types=[Fetch])
        assert revived == [lost.id]
        assert await app.ingest.result(lost) == "j0/source"
        assert await app.ingest.count(status=TaskStatus.DEAD) == 0


async def test_each_domain_retries_in_its_own_way() -> None:
    async with media() as app:
        app.world.errors.extend([OSError("no route")] * 3)
        await app.ingest.result(await app.ingest.submit(Fetch(job="j1", url=URL)))
        assert app.seconds() == pytest.approx(1 + 2 + 4 + 1)
        app.world.errors.extend([OSError("no route")] * 2)
        began = app.seconds()
        await app.notify.result(await app.notify.submit(Tell(job="j1", to=ADA, text="x")))
        assert app.seconds() - began == pytest.approx(5 + 10)
    async with media(bad_heights=frozenset({480})) as app:
        job = await begin(app.scheduler, "j1", URL, ADA)
        await app.process.wait(job.transcode.id)
        [dead] = await app.process.dead_letters()
        assert dead.attempt == 3
        assert app.seconds() == pytest.approx(1 + 3 * 10)


async def test_an_error_in_one_domain_is_none_of_anothers() -> None:
    async with media(bad_heights=frozenset({480, 1080})) as app:
        job = await begin(app.scheduler, "j1", URL, ADA)
        told = await app.notify.submit(Tell(job="j2", to=ADA, text="hello"))
        await app.process.wait(job.transcode.id)
        await app.notify.result(told)
        assert (await app.ingest.get(job.fetch.id)).status is TaskStatus.COMPLETED
        failed = [TaskStatus.FAILED, TaskStatus.DEAD]
        assert await app.notify.count(status=failed) == 0


async def test_the_events_of_a_domain_are_its_own() -> None:
    async with (
        media() as app,
        app.process.events() as events,
        app.process.events(Thumbnails) as pictures,
    ):
        job = await begin(app.scheduler, "j1", URL, ADA)
        await app.notify.result(job.tell)
        domains: set[str] = set()
        with anyio.move_on_after(1):
            async for event in events:
                if isinstance(event, Completed):
                    domains.add(event.header.domain)
        assert domains == {"process"}
        async for picture in pictures:
            if isinstance(picture, Progress):
                assert picture.task.job == "j1"
            if isinstance(picture, Completed):
                assert (picture.task.job, picture.result) == ("j1", 3)
                break


# --- testing ---


async def test_a_pipeline_runs_from_end_to_end() -> None:
    async with media() as app:
        job = await begin(app.scheduler, "j1", URL, ADA)
        await app.scheduler.idle()
        for each in (job.fetch, job.transcode, job.thumbnails, job.tell):
            record = await app.scheduler.get(each.id)
            assert record.status is TaskStatus.COMPLETED
        assert app.world.sent == [(ADA, "j1 can be watched")]
        assert app.seconds() == pytest.approx(11)


async def test_each_test_has_a_store_of_its_own() -> None:
    async with media() as one:
        await one.ingest.submit(Fetch(job="j1", url=URL), delay=SECOND)
        assert await one.ingest.count() == 1
    async with media() as other:
        assert await other.ingest.count() == 0
