"""A domain whose tasks hold secrets, where a worker process can import it."""

from __future__ import annotations

from taskmill import Context, DomainKey, Secret, Task

HIDDEN = "hunter2-cleartext"


class Vault(DomainKey, name="vault"): ...


class Nested(Task[Vault], name="nested"):
    token: Secret[str]
    note: str = ""


class Sign(Task[Vault, str], name="sign"):
    token: Secret[str] = Secret(HIDDEN)


def sign(task: Sign, ctx: Context[Vault]) -> str:
    child = Nested(token=task.token, note="from elsewhere")
    ctx.blocking.spawn(child)
    return f"{len(task.token.reveal())} letters, {task.token}"
