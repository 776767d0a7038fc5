"""An application whose handlers run in worker processes, and do there what no handler should.

This module is plain, as an application's is: worker processes import it.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import functools
import logging
import os
import re
import resource
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, NoReturn, TypeAlias, TypeVar, cast

import attrs

from taskmill import (
    Cancel,
    Context,
    Domain,
    DomainHandle,
    DomainKey,
    Handler,
    Permanent,
    ProcessExecutor,
    RetryAfter,
    Scheduler,
    Snooze,
    Stopped,
    Submitted,
    Task,
    TaskId,
    TaskRecord,
)

F = TypeVar("F", bound=Callable[..., Any])

SOON = timedelta(milliseconds=50)
MIB = 2**20


class Plant(DomainKey, name="plant"): ...


class Depot(DomainKey, name="depot"): ...


class Do(Task[Plant, str], name="do", executor="process", max_retries=0, max_interruptions=1):
    """Calls one of the acts below, by its name."""

    what: str
    text: str = ""
    number: int = 0


class Fold(Task[Plant, int], name="fold", executor="process", max_retries=0):
    """Spawns children of which its ``finalize`` makes a sum."""

    parts: int = 0
    where: Path | None = None


class Item(Task[Depot, str], name="item"):
    """A task of another domain."""

    name: str = ""


@attrs.frozen
class Settings:
    """A state of the domain."""

    name: str


class Base:
    """What a state is found by, too."""


@attrs.frozen
class Gear(Base):
    """A state of the scheduler."""

    teeth: int


class Socket:
    """A state that no other process can have."""

    def __init__(self) -> None:
        self.lock = threading.Lock()


@attrs.define
class Model:
    """A state that each worker makes for itself."""

    uses: int = 0


def make_model() -> list[object]:
    return [Model()]


def make_nothing() -> Any:
    return None


def make_trouble() -> list[object]:
    raise ConnectionError("no model to be had")


Act: TypeAlias = Callable[[Do, Context[Plant]], str]
ACTS: dict[str, Act] = {}


def act(function: Act) -> Act:
    ACTS[function.__name__] = function
    return function


@Do.handler
def do(task: Do, ctx: Context[Plant]) -> str:
    return ACTS[task.what](task, ctx)


@act
def echo(task: Do, ctx: Context[Plant]) -> str:
    return task.text * (task.number or 1)


@act
def return_a_number(task: Do, ctx: Context[Plant]) -> str:
    wrong: Any = 5
    return cast("str", wrong)  # which it is not


@act
def return_a_coroutine(task: Do, ctx: Context[Plant]) -> str:
    async def later() -> None: ...

    wrong: Any = later()
    return cast("str", wrong)  # which it is not


@act
def pid(task: Do, ctx: Context[Plant]) -> str:
    return str(os.getpid())


# --- errors --------------------------------------------------------------------------------------


class Odd(Exception):
    """Cannot be made of its own args, as pickle would."""

    def __init__(self, left: int, right: int) -> None:
        super().__init__(f"{left}-{right}")
        self.left = left
        self.right = right


class Clumsy(Exception):
    """Its text needs what cannot be sent."""

    def __init__(self, connection: Socket) -> None:
        self.connection = connection
        self.status = 503

    def __str__(self) -> str:
        return f"status {self.status}, locked: {self.connection.lock.locked()}"


@attrs.define
class Slotted(Exception):
    """Keeps what it has in slots."""

    code: int


class PathError(OSError):
    """Has parameters of its own, where its base looks at them."""

    def __init__(self, path: str) -> None:
        super().__init__(28, "no space", path)


MADE: dict[str, Callable[[], BaseException]] = {
    "odd": lambda: Odd(1, 2),
    "clumsy": lambda: Clumsy(Socket()),
    "slotted": lambda: Slotted(7),
    "path": lambda: PathError("/full"),
    "file": lambda: FileNotFoundError(2, "No such file or directory", "/nowhere"),
    "unicode": lambda: UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"),
    "import": lambda: ModuleNotFoundError("No module named 'nowhere'", name="nowhere"),
    "group": lambda: ExceptionGroup("several", [ValueError("one"), Odd(3, 4)]),
    "base": lambda: BaseException("the base"),
    "interrupt": KeyboardInterrupt,
    "exit": lambda: SystemExit(3),
    "permanent": lambda: Permanent("never"),
    "cancel": lambda: Cancel("not wanted"),
    "stopped": lambda: Stopped("nobody said so"),
}
"""Exceptions of which there is more than a class and a message."""


@act
def throw(task: Do, ctx: Context[Plant]) -> str:
    raise MADE[task.text]()


@act
def throw_once(task: Do, ctx: Context[Plant]) -> str:
    if ctx.record.run == 1:
        later = timedelta(milliseconds=1)
        raise Snooze(later) if task.text == "snooze" else RetryAfter(later)
    return f"run {ctx.record.run}, attempt {ctx.attempt}"


@act
def throw_local(task: Do, ctx: Context[Plant]) -> str:
    class Local(Exception): ...

    raise Local("of no other place")


@act
def throw_chained(task: Do, ctx: Context[Plant]) -> str:
    try:
        raise Odd(1, 2)
    except Odd as error:
        raise ValueError("after that") from error


@act
def throw_itself(task: Do, ctx: Context[Plant]) -> str:
    error = ValueError("in a circle")
    error.args = ("in a circle", error)
    raise error


@act
def throw_nested(task: Do, ctx: Context[Plant]) -> str:
    error: Any = ValueError("the core")
    for _ in range(task.number):
        error = ExceptionGroup("around", [error])
    raise error


@act
def recurse(task: Do, ctx: Context[Plant]) -> str:
    return recurse(task, ctx)


@act
def exhaust(task: Do, ctx: Context[Plant]) -> str:
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (256 * MIB, before[1]))
    try:
        return str(len(bytearray(1024 * MIB)))
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


# --- what it says --------------------------------------------------------------------------------


@act
def report(task: Do, ctx: Context[Plant]) -> str:
    ctx.bytes(30, 40)
    ctx.io(read=1, written=2)
    ctx.io(received=3)
    ctx.progress(0.5, "half")
    ctx.blocking.children()  # all of that has been heard now
    forever(ctx)


@act
def misreport(task: Do, ctx: Context[Plant]) -> str:
    """What no type checker would let pass; the second time the same must come of it."""
    nonsense: Any = "many"
    ctx.io(read=nonsense)
    return "unseen"


@act
def flood(task: Do, ctx: Context[Plant]) -> str:
    for number in range(task.number):
        ctx.progress(number / task.number)
    return "said it all"


@act
def flood_and_die(task: Do, ctx: Context[Plant]) -> str:
    if ctx.record.run > 1:
        return "lived"
    for _ in range(task.number):
        ctx.io(read=1)
    os._exit(3)


class Unreadable:
    """Can be pickled, and not be read again."""

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object]]:
        return int, ("no number",)


class Mute:
    def __repr__(self) -> str:
        raise RuntimeError("no comment")

    def __reduce__(self) -> NoReturn:
        raise TypeError("not to be pickled")


@act
def log(task: Do, ctx: Context[Plant]) -> str:
    plain = logging.getLogger("tests.plain")
    extra = {"odd": Odd(1, 2), "lock": threading.Lock(), "bad": Unreadable(), "mute": Mute()}
    plain.warning("with %s", "extras", extra=extra)
    plain.debug("too low")
    logging.getLogger("tests.detailed").debug("low, and wanted")
    try:
        raise Odd(1, 2)
    except Odd:
        plain.exception("it went wrong")
    ctx.log.info("bound", extra={"more": 1})
    plain.warning("x" * task.number)
    return "logged"


@act
def log_in_the_middle(task: Do, ctx: Context[Plant]) -> str:
    """Finalizers and signal handlers speak while another message is on its way."""
    main, ended = threading.main_thread().ident, threading.Event()

    def speak(_number: int, _frame: object) -> None:
        ctx.io(written=1)
        logging.getLogger("tests.plain").warning("in the middle")

    def poke() -> None:
        while not ended.is_set():
            signal.pthread_kill(main or 0, signal.SIGUSR1)

    before = signal.signal(signal.SIGUSR1, speak)
    poking = threading.Thread(target=poke)
    poking.start()
    for _ in range(task.number):
        ctx.io(read=1)
    ended.set()
    poking.join()
    signal.signal(signal.SIGUSR1, before)
    return "said it all"


# --- what it asks --------------------------------------------------------------------------------


@act
def spawn(task: Do, ctx: Context[Plant]) -> str:
    """Everything that `ctx.blocking` has."""
    first = ctx.blocking.spawn(Do(what="echo", text="first"), tags={"of": "spawn"})
    rest = ctx.blocking.spawn_many(Do(what="echo", text=text) for text in ("second", "third"))
    other = ctx.blocking.submit(Item(name="elsewhere"), key="k")
    ctx.blocking.set_tags({"done": "yes"})
    children = ctx.blocking.children()
    same = [child.id for child in children] == [first.id, *(each.id for each in rest)]
    return f"{same} {children[0].tags['of']} {ctx.record.tags['done']} {other.id > first.id}"


@act
def sibling(task: Do, ctx: Context[Plant]) -> str:
    ctx.blocking.spawn_siblings([Do(what="echo"), Do(what="pid")])
    return str(ctx.blocking.spawn_sibling(Do(what="echo", text="sibling")).id)


@act
def adopt(task: Do, ctx: Context[Plant]) -> str:
    ctx.blocking.spawn(Do(what="sibling"))
    return "parent"


@act
def advice(task: Do, ctx: Context[Plant]) -> str:
    """What cannot be done, and what is said of it, a line for each."""
    odd: Any = ctx
    unsendable: Any = {"retry": lambda: None}
    calls: list[Callable[[], object]] = [
        lambda: odd.spawn(Do(what="echo")),
        lambda: odd.set_tags({}),
        lambda: odd.run_in_thread(len, ""),
        lambda: ctx.domain(Depot),
        lambda: ctx.find_domain(Depot),
        lambda: ctx.blocking.spawn_sibling(Do(what="echo")),
        lambda: ctx.blocking.submit(Do(what="echo"), **unsendable),
        lambda: ctx.blocking.submit(Do(what="echo"), depends_on=[TaskId(10**9)]),
        lambda: ctx.state(Socket),
        lambda: ctx.state(Model),
    ]
    return "\n".join(refusal(call) for call in calls)


def refusal(call: Callable[[], object]) -> str:
    try:
        return f"returned {call()!r}"
    except Exception as error:  # noqa: BLE001 - whatever the call raises is told
        return f"{type(error).__name__}: {error}"


@contextlib.contextmanager
def alarms(raised: type[BaseException]) -> Generator[None]:
    """Have SIGALRM raise, as home-made timeouts do."""

    def late(_number: int, _frame: object) -> NoReturn:
        raise raised

    before = signal.signal(signal.SIGALRM, late)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


class Late(BaseException): ...


@act
def interrupt_a_call(task: Do, ctx: Context[Plant]) -> str:
    """A timeout of the handler's own ends the wait for an answer, and not the next one."""
    late = 0
    for number in range(task.number):
        with alarms(Late):
            try:
                signal.setitimer(signal.ITIMER_REAL, 0.000_05 * (number + 1))
                ctx.blocking.spawn(Do(what="echo", number=number))
            except Late:
                late += 1
    children = ctx.blocking.children()
    return f"{late > 0} {all(type(child) is TaskRecord for child in children)}"


@act
def interrupt_reports(task: Do, ctx: Context[Plant]) -> str:
    done = 0
    for _ in range(task.number):
        with alarms(TimeoutError):
            try:
                signal.setitimer(signal.ITIMER_REAL, 0.000_2)
                while True:
                    ctx.io(read=1)
                    done += 1
            except TimeoutError:
                pass
    return str(done)


@act
def leave_a_thread(task: Do, ctx: Context[Plant]) -> str:
    """Leaves a thread behind that uses the context when other tasks have the worker."""

    def speak() -> None:
        is_over.wait()
        ctx.io(read=1000)
        ctx.progress(0.25)
        left.append(refusal(lambda: ctx.blocking.spawn(Do(what="echo"))))
        left.append(f"cancelled: {ctx.cancelled}")

    thread = threading.Thread(target=speak, daemon=True)
    thread.start()
    left.append(thread)
    return "left"


is_over = threading.Event()
left: list[Any] = []


@act
def meet_the_thread(task: Do, ctx: Context[Plant]) -> str:
    """Let the thread go on, as a task of its own, and tell what it saw."""
    is_over.set()
    left[0].join()
    is_over.clear()
    return str([left.pop() for _ in range(3)][:2])


@act
def use_state(task: Do, ctx: Context[Plant]) -> str:
    """Copies of the scheduler's states, found as in the scheduler itself."""
    settings, base = ctx.state(Settings), ctx.state(Base)
    assert isinstance(base, Gear)
    return f"{settings.name} {base.teeth} {ctx.state(Settings) is settings}"


@act
def use_model(task: Do, ctx: Context[Plant]) -> str:
    model = ctx.state(Model)
    model.uses += 1
    return str(model.uses)


# --- how it ends ---------------------------------------------------------------------------------


def forever(ctx: Context[Plant]) -> NoReturn:
    """As good handlers do: until told to stop."""
    while True:
        ctx.check()
        signal.sigtimedwait([], 0.005)


@act
def wait(task: Do, ctx: Context[Plant]) -> str:
    ctx.progress(0.1, str(os.getpid()))
    forever(ctx)


@act
def stick_in_c(task: Do, ctx: Context[Plant]) -> str:
    """In the regular expression engine, which lets nothing in, for centuries."""
    ctx.progress(0.1, str(os.getpid()))
    return stick()


def stick() -> str:
    return str(re.fullmatch(r"(a+)+b", "a" * 60))


@act
def stick_in_python(task: Do, ctx: Context[Plant]) -> str:
    ctx.progress(0.1, str(os.getpid()))
    while True:
        with contextlib.suppress(BaseException):
            forever(ctx)


@act
def finish_when_told(task: Do, ctx: Context[Plant]) -> str:
    """Told to stop, it returns a result all the same."""
    ctx.progress(0.1, str(os.getpid()))
    with contextlib.suppress(Stopped):
        forever(ctx)
    return "finished"


def first_run_only(ctx: Context[Plant], die: Callable[[], object]) -> str:
    if ctx.record.run == 1:
        die()
    return f"run {ctx.record.run}, attempt {ctx.attempt}"


@act
def die(task: Do, ctx: Context[Plant]) -> str:
    """Ends its process by a signal, or for a text by a status."""
    if task.text:
        return first_run_only(ctx, lambda: os._exit(int(task.text)))
    return first_run_only(ctx, lambda: os.kill(os.getpid(), task.number))


@act
def crash(task: Do, ctx: Context[Plant]) -> str:
    return first_run_only(ctx, lambda: ctypes.string_at(0))


@act
def die_always(task: Do, ctx: Context[Plant]) -> str:
    os._exit(3)


@act
def survive(task: Do, ctx: Context[Plant]) -> str:
    """Signals that are meant for the scheduler."""
    os.kill(os.getpid(), signal.SIGINT)
    os.kill(os.getpid(), signal.SIGTERM)
    return "survived"


@act
def close_everything(task: Do, ctx: Context[Plant]) -> str:
    return first_run_only(ctx, lambda: os.closerange(3, 256))


@act
def change_the_process(task: Do, ctx: Context[Plant]) -> str:
    """What a handler may do to its process without harm to what comes after it."""
    os.chdir("/")
    sys.path.clear()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    logging.getLogger().handlers.clear()
    thread = threading.Thread(target=sys.exit)
    thread.start()
    thread.join()
    return str(os.getpid())


@act
def fork(task: Do, ctx: Context[Plant]) -> str:
    """What it forks speaks, asks and returns as if it were the worker."""
    reading, writing = os.pipe()
    if child := os.fork():
        os.waitpid(child, 0)
        return os.read(reading, 1000).decode()
    ctx.io(read=1)
    logging.getLogger("tests.plain").info("from a fork")
    os.write(writing, refusal(lambda: ctx.blocking.children()).encode())
    return "what the fork returned"


@act
def fork_and_die(task: Do, ctx: Context[Plant]) -> str:
    """What it forked lives on, and holds all that it had open, while it dies itself."""
    if ctx.record.run > 1:
        return "again"
    if child := os.fork():
        ctx.progress(0.1, str(child))
        os._exit(3)
    signal.pause()
    os._exit(0)


@act
def fork_and_stick(task: Do, ctx: Context[Plant]) -> str:
    """What it forked lives on, while no thread of it runs but one, which is where C code is."""
    if not (child := os.fork()):
        signal.pause()
        os._exit(0)
    sys.setswitchinterval(1000)
    line = f"task 0 {child}\n".encode()
    ctypes.PyDLL(None).write(1, line, len(line))  # which does not let go of the GIL
    return stick()


@act
def wait_for_a_program(task: Do, ctx: Context[Plant]) -> str:
    with subprocess.Popen(["/bin/sleep", "600"]) as sleeping:
        ctx.progress(0.5, f"{sleeping.pid}")
        if task.text == "die":
            os._exit(3)
        return str(sleeping.wait())


@act
def start_a_program(task: Do, ctx: Context[Plant]) -> str:
    """Which signals a program that a handler starts has blocked or ignores; and what is open."""
    script = "grep -E 'Sig(Blk|Ign)' /proc/self/status; ls -l /proc/self/fd | grep -c socket"
    ended = subprocess.run(["/bin/sh", "-c", script], capture_output=True, close_fds=False)
    return ended.stdout.decode()


@act
def hang_at_exit(task: Do, ctx: Context[Plant]) -> str:
    atexit.register(signal.pause)
    return str(os.getpid())


# --- children, finalize, on_cancel ---------------------------------------------------------------


def fold(task: Fold, ctx: Context[Plant]) -> list[Submitted[str]]:
    found = [ctx.blocking.spawn(Do(what="echo", text="a", number=n + 1)) for n in range(task.parts)]
    if task.where is not None:
        ctx.progress(0.1)
        forever(ctx)
    return found


def folded(task: Fold, memo: list[Submitted[str]], ctx: Context[Plant]) -> int:
    results = {child.id: child.result for child in ctx.blocking.children()}
    return sum(len(results[each.id] or "") - 2 for each in memo)


def unfolded(task: Fold, ctx: Context[Plant]) -> None:
    assert task.where is not None
    state = ctx.state(Settings)
    task.where.write_text(f"{state.name} {os.getpid()} {ctx.cancelled}")


class Stubborn(Task[Plant], name="stubborn", executor="process", cancel_grace=SOON):
    """Waits, and sticks when it is cancelled."""


def be_stubborn(task: Stubborn, ctx: Context[Plant]) -> None:
    ctx.progress(0.1)
    forever(ctx)


def stick_again(task: Stubborn, ctx: Context[Plant]) -> None:
    stick()


stubborn = Stubborn.handler(be_stubborn, on_cancel=stick_again)

fold_handler: Handler[Plant] = Fold.handler(fold, finalize=folded, on_cancel=unfolded)


@Item.handler
async def item(task: Item, ctx: Context[Depot]) -> str:
    return task.name


# --- ways to write a handler ---------------------------------------------------------------------


def logged(function: F) -> F:
    @functools.wraps(function)
    def called(*args: Any) -> Any:
        return function(*args)

    return called  # type: ignore[return-value] # as decorators are


class Decorated(Task[Plant, str], name="decorated", executor="process"): ...


class Partial(Task[Plant, str], name="partial", executor="process"): ...


class Instance(Task[Plant, str], name="instance", executor="process"): ...


class Method(Task[Plant, str], name="method", executor="process"): ...


class Static(Task[Plant, str], name="static", executor="process"): ...


@Decorated.handler
@logged
def decorated(task: Decorated, ctx: Context[Plant]) -> str:
    return "decorated"


def greeting(word: str, task: Task[Plant, str], ctx: Context[Plant]) -> str:
    return word


def shout(task: Partial, ctx: Context[Plant]) -> str:
    return "PARTIAL"


@attrs.frozen
class Greeter:
    word: str

    def __call__(self, task: Instance, ctx: Context[Plant]) -> str:
        return greeting(self.word, task, ctx)

    def greet(self, task: Method, ctx: Context[Plant]) -> str:
        return greeting(self.word, task, ctx)

    @staticmethod
    def static(task: Static, ctx: Context[Plant]) -> str:
        return greeting("static", task, ctx)


KINDS: dict[type[Task[Plant, str]], Handler[Plant]] = {
    Decorated: decorated,
    Partial: Partial.handler(functools.partial(greeting, "partial")),
    Instance: Instance.handler(Greeter("instance")),
    Method: Method.handler(Greeter("method").greet),
    Static: Static.handler(Greeter.static),
}
"""Handlers that return the names of their tasks."""

nameless = Partial.handler(lambda task, ctx: greeting("nameless", task, ctx))


def closure() -> Handler[Plant]:
    def inner(task: Partial, ctx: Context[Plant]) -> str:
        return "closure"

    return Partial.handler(inner)


@Partial.handler
async def coroutine(task: Partial, ctx: Context[Plant]) -> str:
    return "coroutine"


# --- how it is opened ----------------------------------------------------------------------------


@attrs.frozen
class App:
    """An open scheduler whose plain handlers run in worker processes."""

    scheduler: Scheduler
    plant: DomainHandle[Plant]
    pool: ProcessExecutor


def new_scheduler(path: str, pool: ProcessExecutor, **options: Any) -> Scheduler:
    return Scheduler(
        path,
        domains=[
            Domain(Plant, handlers=[do, fold_handler, stubborn], state=[Settings("settings")]),
            Domain(Depot, handlers=[item]),
        ],
        state=[Gear(12), Socket()],
        executors={"process": pool, **options.pop("executors", {})},
        **options,
    )


@asynccontextmanager
async def open_app(
    path: str = ":memory:", *, pool: ProcessExecutor | None = None, **options: Any
) -> AsyncGenerator[App]:
    pool = pool or ProcessExecutor(1, kill_after=SOON)
    async with new_scheduler(path, pool, **options) as scheduler:
        yield App(scheduler, scheduler.domain(Plant), pool)


@asynccontextmanager
async def open_without_handlers(path: str) -> AsyncGenerator[App]:
    """What is left in a file, with nothing of it started."""
    pool = ProcessExecutor(1)
    domains = [Domain(Plant, tasks=[Do, Fold, Stubborn])]
    async with Scheduler(path, domains=domains, executors={"process": pool}) as scheduler:
        yield App(scheduler, scheduler.domain(Plant), pool)
