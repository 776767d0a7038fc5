"""A domain that any application can mount: it delivers webhooks."""

import hashlib
import hmac
from collections.abc import Awaitable, Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

import attrs

from taskmill import (
    Context,
    Domain,
    DomainHandle,
    DomainKey,
    Jitter,
    Permanent,
    Priority,
    RetryAfter,
    RetryPolicy,
    Snooze,
    Submitted,
    Task,
    TaskId,
    TtlFrom,
)


@attrs.frozen(kw_only=True)
class Request:
    """What is posted."""

    url: str
    body: bytes
    headers: Mapping[str, str]


@attrs.frozen(kw_only=True)
class Response:
    """What came back; the names of the headers are in lower case."""

    status: int
    headers: Mapping[str, str] = attrs.field(factory=dict[str, str])


Post = Callable[[Request], Awaitable[Response]]
"""Sends one request; raises OSError where no response came."""


def always(_: str) -> bool:
    """Every host takes deliveries."""
    return True


@attrs.frozen(kw_only=True)
class WebhookConfig:
    """What an application decides."""

    post: Post
    secret: bytes = attrs.field(repr=False)
    """Signs each body."""
    is_enabled: Callable[[str], bool] = always
    """Whether a host takes deliveries now."""
    look_again: timedelta = timedelta(minutes=5)
    """After how long to look at a host again that takes none."""
    longest_wait: timedelta = timedelta(hours=6)
    """The longest wait that a Retry-After is believed."""


HOST = "webhooks.host"
EVENT = "webhooks.event"


def host_of(url: str) -> str:
    """The host, and the port where one is named."""
    return urlsplit(url).netloc.rpartition("@")[2].lower()


def group_of(url: str) -> str:
    """The group that deliveries to a URL are in: for the limits of a scheduler."""
    return f"webhooks:{host_of(url)}"


class Webhooks(DomainKey, name="webhooks"):
    """Delivering webhooks."""


class Deliver(
    Task[Webhooks, int],
    name="deliver",
    ttl=timedelta(days=2),
    ttl_from=TtlFrom.FIRST_ATTEMPT,
    unique_for=timedelta(days=1),
    requeue=False,
):
    """Post one event to one endpoint; the result is the status of the response."""

    event: str
    url: str
    body: str

    def task_key(self) -> str | None:
        return f"{self.event} {self.url}"

    def task_label(self) -> str | None:
        return f"{self.event} to {host_of(self.url)}"

    def task_group(self) -> str | None:
        return group_of(self.url)

    def task_tags(self) -> Mapping[str, str]:
        return {HOST: host_of(self.url), EVENT: self.event}


class DeliveryError(Exception):
    """The endpoint answered that it did not take the event, and may do so later."""


@Deliver.handler
async def deliver(task: Deliver, ctx: Context[Webhooks]) -> int:
    config = ctx.state(WebhookConfig)
    host = host_of(task.url)
    if not config.is_enabled(host):
        raise Snooze(config.look_again)
    response = await config.post(request(task, config.secret))
    if response.status < 300:
        return response.status
    answer = f"{host} answered {response.status}"
    if response.status < 500 and response.status not in (408, 425, 429):
        raise Permanent(answer)
    wait = retry_after(response, ctx.record.started_at)
    if wait is not None:
        raise RetryAfter(min(wait, config.longest_wait), answer)
    raise DeliveryError(answer)


def request(task: Deliver, secret: bytes) -> Request:
    """The same for every attempt, so that an endpoint can drop what it has seen."""
    body = task.body.encode()
    signature = hmac.new(secret, body, hashlib.sha256).hexdigest()
    return Request(
        url=task.url,
        body=body,
        headers={"webhook-id": task.event, "webhook-signature": f"sha256={signature}"},
    )


def retry_after(response: Response, asked_at: datetime | None) -> timedelta | None:
    """How long an endpoint asks to be left alone: in seconds, or until a date."""
    value = response.headers.get("retry-after", "")
    if value.isdecimal():
        return timedelta(seconds=min(int(value), 10**9))
    try:
        until = parsedate_to_datetime(value)
    except ValueError:
        return None
    if until.tzinfo is None:
        until = until.replace(tzinfo=UTC)
    return None if asked_at is None else max(until - asked_at, timedelta(0))


RETRY = RetryPolicy.exponential(
    8,
    base=timedelta(seconds=10),
    max_delay=timedelta(hours=1),
    jitter=Jitter.EQUAL,
    retry_on=(DeliveryError, OSError),
)


def webhooks_domain(
    config: WebhookConfig,
    *,
    max_concurrency: int | None = 8,
    timeout: timedelta | None = timedelta(seconds=30),
    retry: RetryPolicy = RETRY,
    priority: int = Priority.BACKGROUND,
) -> Domain[Webhooks]:
    """The domain, for ``Scheduler(domains=[...])``."""
    return Domain(
        Webhooks,
        handlers=[deliver],
        state=[config],
        max_concurrency=max_concurrency,
        timeout=timeout,
        retry=retry,
        priority=priority,
    )


async def publish(
    webhooks: DomainHandle[Webhooks], event: str, body: str, urls: Iterable[str]
) -> list[Submitted[int]]:
    """Deliver an event to all of these endpoints; durable on return, all or none."""
    return await webhooks.submit_many([Deliver(event=event, url=url, body=body) for url in urls])


async def redeliver(webhooks: DomainHandle[Webhooks], host: str) -> list[TaskId]:
    """Try again what this host did not take while there were retries left."""
    return await webhooks.retry_where(tags={HOST: host})
