"""The library domain of docs/reusable-domain.md, alone, in virtual time."""

from __future__ import annotations

import hashlib
import hmac
from collections import deque
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from email.utils import format_datetime
from typing import Any

import anyio
import attrs
import pytest

from examples.webhooks import (
    EVENT,
    HOST,
    Deliver,
    Request,
    Response,
    WebhookConfig,
    Webhooks,
    group_of,
    host_of,
    publish,
    redeliver,
    webhooks_domain,
)
from taskmill import (
    Completed,
    DomainHandle,
    GroupPolicy,
    InvalidState,
    Jitter,
    RateLimit,
    RetryPolicy,
    Scheduler,
    SubmitOutcome,
    TaskFailed,
    TaskStatus,
)
from taskmill.testing import START, FakeClock, virtual_time

pytestmark = pytest.mark.anyio

SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)


@attrs.define
class Net:
    """Endpoints in this process: what they answer, and what they were sent, and when."""

    clock: FakeClock
    answers: deque[Response | Exception] = attrs.field(factory=deque[Any])
    """What comes next; then 200, for ever."""
    seconds: float = 0
    """How long an endpoint takes to answer."""
    requests: list[Request] = attrs.field(factory=list[Request])
    times: list[float] = attrs.field(factory=list[float])

    async def post(self, request: Request) -> Response:
        self.requests.append(request)
        self.times.append(self.clock.monotonic())
        await anyio.sleep(self.seconds)
        answer = self.answers.popleft() if self.answers else Response(status=200)
        if isinstance(answer, Exception):
            raise answer
        return answer


@attrs.frozen
class App:
    """The domain on a scheduler of its own."""

    scheduler: Scheduler
    webhooks: DomainHandle[Webhooks]
    net: Net
    clock: FakeClock


@asynccontextmanager
async def open_app(
    *,
    is_enabled: Callable[[str], bool] = lambda _: True,
    domain: dict[str, Any] | None = None,
    **limits: Any,
) -> AsyncGenerator[App]:
    async with virtual_time() as clock:
        net = Net(clock)
        config = WebhookConfig(post=net.post, secret=b"s", is_enabled=is_enabled)
        mounted = webhooks_domain(config, **(domain or {}))
        async with Scheduler(":memory:", domains=[mounted], clock=clock, **limits) as scheduler:
            yield App(scheduler, scheduler.domain(Webhooks), net, clock)


def event(number: int = 1, host: str = "a.example") -> Deliver:
    return Deliver(event=f"evt_{number}", url=f"https://{host}/hook", body="{}")


async def test_an_event_is_posted_signed_and_the_result_is_the_status() -> None:
    async with open_app() as app:
        submitted = await app.webhooks.submit(event())
        assert await app.webhooks.result(submitted) == 200
        [request] = app.net.requests
        signature = hmac.new(b"s", b"{}", hashlib.sha256).hexdigest()
        assert request.url == "https://a.example/hook"
        assert request.headers == {
            "webhook-id": "evt_1",
            "webhook-signature": f"sha256={signature}",
        }
        record = await app.webhooks.get(submitted.id)
        assert (record.group, record.label) == ("webhooks:a.example", "evt_1 to a.example")
        assert record.tags == {HOST: "a.example", EVENT: "evt_1"}


def test_a_host_is_told_without_its_user_and_in_lower_case() -> None:
    assert host_of("https://user:pass@API.Example:8443/x") == "api.example:8443"
    assert group_of("http://a.example") == "webhooks:a.example"


async def test_failures_are_retried_ever_later_until_the_retries_are_spent() -> None:
    policy = RetryPolicy.exponential(3, base=10 * SECOND, max_delay=30 * SECOND)
    async with open_app(domain={"retry": policy}) as app:
        app.net.answers.extend(
            [Response(status=500), OSError("no route"), Response(status=429), Response(status=502)]
        )
        submitted = await app.webhooks.submit(event())
        record = await app.webhooks.wait(submitted.id)
        assert app.net.times == pytest.approx([0, 10, 30, 60])
        assert record.status is TaskStatus.DEAD
        assert record.reason == "failed 4 times; last: DeliveryError: a.example answered 502"
        with pytest.raises(TaskFailed, match="answered 502"):
            await app.webhooks.result(submitted)


async def test_the_policy_of_the_domain_draws_half_of_each_delay_and_is_the_applications() -> None:
    async with open_app() as app:
        app.net.answers.extend([Response(status=500)] * 2)
        await app.webhooks.result(await app.webhooks.submit(event()))
        first, second = app.net.times[1], app.net.times[2] - app.net.times[1]
        assert 5 <= first <= 10
        assert 10 <= second <= 20
    none = RetryPolicy.constant(0, jitter=Jitter.NONE)
    async with open_app(domain={"retry": none}) as app:
        app.net.answers.append(Response(status=500))
        submitted = await app.webhooks.submit(event())
        assert (await app.webhooks.wait(submitted.id)).status is TaskStatus.DEAD


async def test_an_endpoint_says_when_to_come_again_in_seconds_or_by_a_date() -> None:
    async with open_app() as app:
        date = format_datetime(START + timedelta(seconds=300), usegmt=True)
        app.net.answers.extend(
            [
                Response(status=429, headers={"retry-after": "120"}),
                Response(status=503, headers={"retry-after": date}),
                Response(status=503, headers={"retry-after": "99999999"}),
            ]
        )
        record = await app.webhooks.wait((await app.webhooks.submit(event())).id)
        assert record.status is TaskStatus.COMPLETED
        assert app.net.times == pytest.approx([0, 120, 300, 300 + 6 * 3600])
        assert record.attempt == 4


async def test_what_can_never_succeed_is_not_retried() -> None:
    async with open_app() as app:
        app.net.answers.append(Response(status=410, headers={"retry-after": "120"}))
        record = await app.webhooks.wait((await app.webhooks.submit(event())).id)
        assert (record.status, record.reason) == (TaskStatus.FAILED, "a.example answered 410")
        assert len(app.net.requests) == 1
        assert not await app.webhooks.dead_letters()


async def test_a_bug_in_what_posts_is_not_retried_either() -> None:
    async with open_app() as app:
        app.net.answers.append(KeyError("a bug"))
        record = await app.webhooks.wait((await app.webhooks.submit(event())).id)
        assert (record.status, record.reason) == (TaskStatus.FAILED, "KeyError: 'a bug'")


async def test_an_endpoint_that_does_not_answer_is_a_failed_attempt() -> None:
    async with open_app() as app:
        app.net.seconds = 100
        submitted = await app.webhooks.submit(event(), max_retries=0)
        record = await app.webhooks.wait(submitted.id)
        assert record.status is TaskStatus.DEAD
        assert record.last_error is not None
        assert record.last_error.type == "TimeoutError"
        assert app.clock.monotonic() == pytest.approx(30)


async def test_dead_letters_of_a_host_are_delivered_when_it_is_back() -> None:
    async with open_app() as app:
        app.net.answers.extend([Response(status=500)] * 3)
        tasks = [event(1), event(2), event(1, host="b.example")]
        await app.webhooks.submit_many(tasks, max_retries=0)
        await app.scheduler.idle()
        dead = await app.webhooks.dead_letters()
        assert len(dead) == 3
        revived = await redeliver(app.webhooks, "a.example")
        assert len(revived) == 2
        for task in revived:
            record = await app.webhooks.wait(task)
            assert (record.status, record.attempt, record.run) == (TaskStatus.COMPLETED, 1, 2)
            assert len(record.errors) == 1
        [left] = await app.webhooks.dead_letters()
        assert left.tags[HOST] == "b.example"
        await app.webhooks.retry(left.id)
        assert (await app.webhooks.wait(left.id)).status is TaskStatus.COMPLETED


async def test_a_dead_letter_whose_event_was_published_again_stays_dead() -> None:
    async with open_app() as app:
        app.net.answers.append(Response(status=500))
        dead = await app.webhooks.submit(event(), max_retries=0)
        await app.webhooks.wait(dead.id)
        again = await app.webhooks.submit(event(), delay=HOUR)
        assert again.outcome is SubmitOutcome.INSERTED
        with pytest.raises(InvalidState, match=f"task {again.id}"):
            await app.webhooks.retry(dead.id)
        assert await redeliver(app.webhooks, "a.example") == []


async def test_an_event_reaches_an_endpoint_once_however_often_it_is_published() -> None:
    async with open_app() as app:
        urls = ["https://a.example/hook", "https://b.example/hook"]
        first = await publish(app.webhooks, "evt_1", "{}", urls)
        again = await publish(app.webhooks, "evt_1", '{"changed": true}', urls)
        assert [each.outcome for each in again] == [SubmitOutcome.DUPLICATE] * 2
        await app.scheduler.idle()
        late = await publish(app.webhooks, "evt_1", "{}", urls[:1])
        assert (late[0].id, late[0].outcome) == (first[0].id, SubmitOutcome.DUPLICATE)
        assert len(app.net.requests) == 2
        await anyio.sleep(DAY.total_seconds())
        [new] = await publish(app.webhooks, "evt_1", "{}", urls[:1])
        assert new.outcome is SubmitOutcome.INSERTED


async def test_an_event_that_is_being_delivered_is_not_delivered_again() -> None:
    async with open_app() as app:
        app.net.seconds = 10
        await publish(app.webhooks, "evt_1", "{}", ["https://a.example/hook"])
        await anyio.sleep(1)
        [again] = await publish(app.webhooks, "evt_1", "{}", ["https://a.example/hook"])
        assert again.outcome is SubmitOutcome.DUPLICATE
        await app.scheduler.idle()
        assert len(app.net.requests) == 1


async def test_a_host_that_takes_no_deliveries_costs_no_attempts() -> None:
    closed = {"a.example"}
    async with open_app(is_enabled=lambda host: host not in closed) as app:
        submitted = await app.webhooks.submit(event(), max_retries=0)
        await anyio.sleep(660)
        closed.clear()
        assert await app.webhooks.result(submitted) == 200
        record = await app.webhooks.get(submitted.id)
        assert (record.attempt, record.run) == (1, 4)
        assert app.net.times == pytest.approx([900])


async def test_what_was_not_delivered_two_days_after_the_first_attempt_expires() -> None:
    async with open_app(is_enabled=lambda _: False) as app:
        submitted = await app.webhooks.submit(event(), delay=DAY)
        record = await app.webhooks.wait(submitted.id)
        assert (record.status, record.reason) == (
            TaskStatus.EXPIRED,
            "could not start again in its time to live",
        )
        assert app.clock.monotonic() == pytest.approx(3 * 24 * 3600, abs=1)


async def test_an_application_limits_each_host_and_all_of_them() -> None:
    async with open_app(
        groups={group_of("https://slow.example/"): GroupPolicy(max_concurrency=1)},
        group_default=GroupPolicy(rate=RateLimit(1, per=MINUTE, burst=2)),
        rates={Deliver: RateLimit(100, per=MINUTE)},
    ) as app:
        app.net.seconds = 5
        await app.webhooks.submit_many([event(n, "a.example") for n in range(4)])
        await app.webhooks.submit_many([event(n, "slow.example") for n in range(3)])
        await app.scheduler.idle()
        sent = [
            (host_of(request.url), time)
            for request, time in zip(app.net.requests, app.net.times, strict=True)
        ]
        assert [time for host, time in sent if host == "a.example"] == pytest.approx(
            [0, 0, 60, 120]
        )
        assert [time for host, time in sent if host == "slow.example"] == pytest.approx([0, 5, 10])


async def test_a_host_that_is_slow_holds_nobody_elses_deliveries() -> None:
    async with open_app(group_default=GroupPolicy(max_concurrency=1)) as app:
        app.net.seconds = 10
        await app.webhooks.submit_many([event(n, "slow.example") for n in range(50)])
        other = await app.webhooks.submit(event(1, "other.example"))
        assert await app.webhooks.result(other) == 200
        assert app.clock.monotonic() == pytest.approx(10)


async def test_a_type_can_be_given_another_rate_while_it_runs() -> None:
    async with open_app() as app:
        app.webhooks.set_rate(Deliver, RateLimit(1, per=MINUTE))
        await app.webhooks.submit_many([event(n) for n in range(3)])
        await app.scheduler.idle()
        assert app.net.times == pytest.approx([0, 60, 120])


async def test_an_application_watches_deliveries_with_their_types() -> None:
    async with open_app() as app, app.webhooks.events(Deliver) as events:
        await app.webhooks.submit(event())
        async for each in events:
            if isinstance(each, Completed):
                assert (each.task.event, each.result) == ("evt_1", 200)
                break
