"""What is stored is data: nothing of it is run, put into SQL, open to others, or obeyed by a
terminal."""

from __future__ import annotations

import ast
import os
import pickle
import stat
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import anyio
import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

import taskmill
from taskmill import (
    Context,
    Domain,
    DomainKey,
    ProcessExecutor,
    Route,
    Routing,
    Scheduler,
    Task,
    TaskStatus,
)
from taskmill.cli.harmless import lines, one_line
from taskmill.model.record import TaskId
from taskmill.model.selection import Selection
from taskmill.store.sqlite import selection as clauses
from tests.cli.live import called
from tests.engine.app import Board, Nap, domains
from tests.trust.inputs import HOSTILE, TEXTS
from tests.trust.vault import Nested, Sign, Vault, sign

pytestmark = pytest.mark.anyio

PACKAGE = Path(taskmill.__file__).parent
SOURCES = sorted(PACKAGE.rglob("*.py"))

# --- payloads are data ---------------------------------------------------------------------------

CODE_MAKERS = {"pickle", "marshal", "shelve", "dill", "cloudpickle", "jsonpickle", "yaml", "code"}
CODE_RUNNERS = {"eval", "exec", "compile", "__import__"}
BETWEEN_OWN_PROCESSES = {
    f"executors/process/{name}.py" for name in ("wire", "worker", "child", "references", "executor")
}
"""What they unpickle comes from the other end of a socket pair without a name: another process of
the same program. No row and no file gets there but as text."""


def trees() -> Iterator[tuple[str, ast.Module]]:
    for path in SOURCES:
        name = path.relative_to(PACKAGE).as_posix()
        yield name, ast.parse(path.read_text(encoding="utf-8"))


def test_nothing_makes_objects_of_what_is_stored_but_the_codec() -> None:
    users: set[str] = set()
    for name, tree in trees():
        for node in ast.walk(tree):
            modules: list[str] = []
            if isinstance(node, ast.Import):
                modules = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                modules = [node.module or ""]
            if {module.partition(".")[0] for module in modules} & CODE_MAKERS:
                users.add(name)
    assert users == BETWEEN_OWN_PROCESSES


def test_no_text_is_run_as_code_or_by_a_shell() -> None:
    for name, tree in trees():
        for node in ast.walk(tree):
            if not isinstance(node, ast.Call):
                continue
            if isinstance(node.func, ast.Name):
                assert node.func.id not in CODE_RUNNERS, f"{name}:{node.lineno}"
            if isinstance(node.func, ast.Attribute):
                assert node.func.attr not in {"system", "popen"}, f"{name}:{node.lineno}"
            assert not any(keyword.arg == "shell" for keyword in node.keywords), name


class Post(DomainKey, name="post"): ...


class Anything(Task[Post, Any], name="any"):
    value: Any


class Bomb:
    """Unpickled, it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


async def echo(task: Anything, ctx: Context[Post]) -> Any:
    return task.value


async def test_a_payload_that_would_be_code_elsewhere_is_text(tmp_path: Path) -> None:
    mark = tmp_path / "it ran"
    texts = [
        pickle.dumps(Bomb(mark), protocol=0).decode("latin-1"),
        f"__import__('pathlib').Path({str(mark)!r}).touch()",
        f"!!python/object/apply:pathlib.Path.touch [{mark}]",
        '{"py/reduce": [{"py/function": "pathlib.Path.touch"}]}',
        "{{ 7 * 7 }}",
        "${jndi:ldap://localhost/a}",
    ]
    domain = Domain(Post, handlers=[Anything.handler(echo)])
    async with Scheduler(tmp_path / "app.db", domains=[domain], loop_limit=None) as scheduler:
        for text in texts:
            value = {text: [text]}
            assert await scheduler.result(await scheduler.submit(Anything(value=value))) == value
    assert not mark.exists()


# --- SQL -----------------------------------------------------------------------------------------

BUILDERS = {"all_ids", "count", "size"}
"""Of `store.sqlite.selection`, which a test below looks at."""
NAMES = {
    "store/sqlite/inline.py": {"sql"},  # handed on as it was given
    "store/sqlite/opening.py": {"statement"},  # of a migration
    "store/sqlite/reading.py": {"statement"},  # made by the builders
    "store/sqlite/store.py": {"checkpoint"},  # a constant
    "store/sqlite/timetables.py": {"statement"},  # one of two of the files
}
"""Where a statement has a name of its own, which these tests know."""


def test_every_statement_is_a_constant_or_a_file_and_no_value_is_written_into_one() -> None:
    for name, tree in trees():
        for node in ast.walk(tree):
            match node:
                case ast.Call(func=ast.Attribute(attr=verb), args=[statement, *_]):
                    if verb in {"execute", "executemany", "executescript"}:
                        known = NAMES.get(name, set())
                        assert is_safe(statement, known), f"{name}: {ast.unparse(node)}"
                case _:
                    pass


def is_safe(statement: ast.expr, names: set[str]) -> bool:
    match statement:
        case ast.Constant(value=str()):
            return True
        case ast.Subscript(value=ast.Name(id="SQL" | "INSPECTION")):
            return True
        case ast.Call(func=ast.Attribute(value=ast.Name(id="clauses"), attr=attr)):
            return attr in BUILDERS
        case ast.JoinedStr(values=[ast.Constant(value=str(start)), *_]):
            return start.startswith("PRAGMA ")  # those take no bound values; all are of our own
        case ast.Name(id=name):
            return name in names or name.isupper()
        case _:
            return False


SELECTIONS = st.builds(
    Selection,
    domain=st.none() | TEXTS,
    types=st.none() | st.frozensets(TEXTS, min_size=1, max_size=3),
    statuses=st.frozensets(st.sampled_from(list(TaskStatus)), min_size=1),
    ids=st.none() | st.frozensets(st.integers(1, 99).map(TaskId), min_size=1, max_size=3),
    any_group=st.booleans(),
    group=st.none() | TEXTS,
    parent=st.none() | st.integers(1, 99).map(TaskId),
    key=st.none() | TEXTS,
    tags=st.dictionaries(TEXTS, TEXTS, max_size=3),
    tag_prefix=st.none() | TEXTS,
    created_after=st.none() | st.just(datetime(2031, 2, 3, tzinfo=UTC)),
)


@given(SELECTIONS, st.booleans())
def test_the_text_of_a_query_depends_on_which_filters_there_are_and_not_on_their_values(
    selection: Selection, is_any_paused: bool
) -> None:
    def texts(of: Selection) -> list[str]:
        terms = clauses.terms(of, is_any_paused=is_any_paused, tag_domains=lambda _: [])
        if terms is None:
            return []
        found = [clauses.count(terms, None), clauses.all_ids(terms, None)]
        for source in terms.sources:
            found += [clauses.all_ids(terms, source), clauses.next_ids(terms, source)]
            found += [clauses.size(source), clauses.count_by_tag(terms, source)]
        return found

    tame = attrs.evolve(
        selection,
        domain=None if selection.domain is None else "d",
        types=None if selection.types is None else frozenset({"t"}),
        ids=None if selection.ids is None else frozenset({TaskId(1)}),
        group=None if selection.group is None else "g",
        parent=None if selection.parent is None else TaskId(1),
        key=None if selection.key is None else "k",
        tags={f"tag {n}": "x" for n in range(len(selection.tags))},
        tag_prefix=None if selection.tag_prefix is None else "p",
    )
    assert texts(selection) == texts(tame)


# --- files ---------------------------------------------------------------------------------------


async def keep(task: Nested, ctx: Context[Vault]) -> None: ...


async def test_every_file_is_its_owners_alone_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        path = tmp_path / "app.db"
        async with Scheduler(
            path,
            domains=[
                Domain(Vault, handlers=[Sign.handler(sign), Nested.handler(keep)]),
                *domains(Board()),
            ],
            executors={"process": ProcessExecutor(1)},
            routing=Routing(rules=[Route("vault::sign", "process")]),
            loop_limit=None,
        ) as scheduler:
            await scheduler.result(await scheduler.submit(Nap(name="a")))
            await scheduler.wait((await scheduler.submit(Sign())).id)
            while not (tmp_path / "app.db.sock").exists():  # noqa: ASYNC110 - made beside
                await anyio.sleep(0.001)
            backup = await called(path, "backup", str(tmp_path / "copy.db"))
            assert backup.exit_code == 0
            modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in tmp_path.iterdir()}
        modes |= {file.name: stat.S_IMODE(file.stat().st_mode) for file in tmp_path.iterdir()}
    finally:
        os.umask(before)
    assert {
        "app.db",
        "app.db-wal",
        "app.db-shm",
        "app.db.lock",
        "app.db.sock",
        "app.db.workers",
    } <= set(modes)
    assert {"copy.db"} <= set(modes)
    assert set(modes.values()) == {0o600}, modes


# --- terminals -----------------------------------------------------------------------------------


@given(st.text() | HOSTILE)
def test_no_control_character_is_left_in_what_is_printed(text: str) -> None:
    for shown in (one_line(text), *lines(text).split("\n")):
        assert shown.isprintable() or not shown
        shown.encode()


def test_what_turns_writing_around_is_spelt_out() -> None:
    assert one_line("a\u202eb\x1b[2J\x9b") == r"a\u202eb\x1b[2J\x9b"
