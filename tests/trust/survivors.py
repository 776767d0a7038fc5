"""Which small changes of the rules no test notices.

    python -m tests.trust.survivors [MODULE ...] [--sample N] [--seed N] [--list]

Changes one operator, number, condition or statement of a module in ``taskmill/rules`` at a time,
and runs the tests of that module until one fails, the fastest first. A change that all tests let
pass is a survivor: a test is missing, or the change means the same. A run that takes many times
as long as the tests do unchanged counts as noticed, since it does not end.
"""

from __future__ import annotations

import argparse
import ast
import gc
import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import json
import os
import random
import resource
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

import attrs
import hypothesis
import pytest

ROOT = Path(__file__).parents[2]
RULES = ROOT / "taskmill/rules"

TESTS: Mapping[str, Sequence[str]] = {
    "aging": ["test_aging"],
    "arrivals": ["test_timers", "test_plan", "test_pauses"],
    "cascade": ["test_cascade", "test_dependencies", "test_children"],
    "dedup": ["test_dedup", "test_children"],
    "dependencies": ["test_dependencies", "test_lives"],
    "ending": ["test_ending", "test_children"],
    "entitlement": ["test_entitlement", "test_shares"],
    "estimates": ["test_estimates"],
    "explain": ["test_plan", "test_pauses", "../engine/test_explain"],
    "gates": ["test_plan", "test_preempt", "test_throttle", "test_ratelimit", "test_pools"],
    "hindrance": ["test_plan", "test_ready_queue"],
    "iobudget": ["test_iobudget"],
    "limits": ["test_plan", "test_throttle", "test_ratelimit", "test_ready_queue"],
    "moves": ["test_settle", "test_ending", "test_reviving"],
    "options": ["test_options"],
    "pacing": ["test_ratelimit"],
    "patterns": ["test_routing"],
    "pauses": ["test_pauses", "test_plan"],
    "plan": ["test_plan", "test_preempt", "test_aging", "test_ready_queue"],
    "preempt": ["test_preempt"],
    "quantiles": ["test_quantiles"],
    "ratelimit": ["test_ratelimit"],
    "recurrence": ["test_recurrence"],
    "retry": ["test_retry", "test_settle"],
    "reviving": ["test_reviving", "test_dependencies"],
    "routing": ["test_routing"],
    "schedules": ["test_recurrence", "../life/test_schedules"],
    "settle": ["test_settle", "test_ending"],
    "shares": ["test_shares", "test_pools"],
    "steps": ["test_dependencies", "test_children", "test_reviving"],
    "stored": ["test_dedup", "test_settle"],
    "throttle": ["test_throttle"],
}
"""The tests that concern each module, in ``tests/rules``."""

SWAPPED: Mapping[type[ast.AST], type[ast.AST]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.And: ast.Or,
    ast.Or: ast.And,
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.FloorDiv,
    ast.FloorDiv: ast.Mult,
    ast.Div: ast.Mult,
    ast.Mod: ast.FloorDiv,
}
OPTIONS = (
    *("-x", "-q", "-m", "not nightly", "--assert=plain"),
    *("-p", "no:cacheprovider", "-p", "no:xdist"),
)
CALLED = {"min": "max", "max": "min", "any": "all", "all": "any"}


@attrs.frozen
class Mutant:
    """One change of a module."""

    module: str
    line: int
    what: str
    compiled: Callable[[], CodeType]
    is_in_function: bool

    def __str__(self) -> str:
        return f"taskmill/rules/{self.module}.py:{self.line}: {self.what}"


@attrs.frozen
class Baseline:
    """What the tests of a module take, unchanged."""

    seconds: Mapping[str, float]
    cpu: float


def mutants_of(module: str) -> list[Mutant]:
    """Every change of the module, in the order of its lines."""
    path = RULES / f"{module}.py"
    tree = ast.parse(path.read_text())
    return sorted(_changed(module, str(path), tree), key=lambda mutant: mutant.line)


def _changed(module: str, path: str, tree: ast.Module) -> Iterator[Mutant]:
    for parent, field, index, is_in_function in list(_places(tree, is_in_function=False)):
        node = _get(parent, field, index)
        for replacement in _replacements(node, is_in_function=is_in_function):
            what = f"{_text(node)}  ->  {_text(replacement)}"
            line = getattr(node, "lineno", 0)
            compiled = partial(_compiled, tree, path, (parent, field, index), replacement)
            yield Mutant(module, line, what, compiled, is_in_function)


def _compiled(
    tree: ast.Module, path: str, place: tuple[ast.AST, str, int | None], replacement: ast.AST
) -> CodeType:
    node = _get(*place)
    _set(*place, ast.copy_location(replacement, node))
    code: CodeType = compile(ast.fix_missing_locations(tree), path, "exec")
    _set(*place, node)
    return code


Place = tuple[ast.AST, str, int | None, bool]


def _places(node: ast.AST, *, is_in_function: bool) -> Iterator[Place]:
    """Where a change may be: not in annotations, decorators, messages, or what checkers read."""
    for field, value in ast.iter_fields(node):
        if field in {"annotation", "returns", "decorator_list", "bases", "type_params"}:
            continue
        inside = is_in_function or (
            isinstance(node, ast.FunctionDef | ast.Lambda) and field == "body"
        )
        children: list[Any] = value if isinstance(value, list) else [value]
        for number, child in enumerate(children):
            if not isinstance(child, ast.AST) or _is_for_checkers(child):
                continue
            yield node, field, number if isinstance(value, list) else None, inside
            if not isinstance(child, ast.Raise):
                yield from _places(child, is_in_function=inside)


def _is_for_checkers(node: ast.AST) -> bool:
    match node:
        case ast.If(test=ast.Name(id="TYPE_CHECKING")):
            return True
        case ast.Expr(value=ast.Call(func=ast.Name(id="assert_never")) | ast.Constant()):
            return True
        case ast.Assert() | ast.Import() | ast.ImportFrom():
            return True
        case ast.Call(func=ast.Name(id="TypeVar" | "cast")):
            return True
        case _:
            return False


def _replacements(node: ast.AST, *, is_in_function: bool) -> Iterator[ast.AST]:
    match node:
        case ast.expr():
            yield from _expressions(node)
        case ast.stmt() if is_in_function:
            yield from _statements(node)
        case ast.match_case(guard=ast.expr()):
            yield ast.match_case(node.pattern, None, node.body)
        case _:
            return


def _expressions(node: ast.expr) -> Iterator[ast.AST]:
    match node:
        case ast.Compare(left=left, ops=ops, comparators=others):
            for number, op in enumerate(ops):
                changed: list[Any] = [*ops[:number], SWAPPED[type(op)](), *ops[number + 1 :]]
                yield ast.Compare(left, changed, others)
        case ast.BoolOp(op=op, values=values):
            other: Any = SWAPPED[type(op)]()
            yield ast.BoolOp(other, values)
        case ast.UnaryOp(op=ast.Not() | ast.USub(), operand=operand):
            yield operand
        case ast.BinOp(left=left, op=op, right=right) if type(op) in SWAPPED:
            swapped: Any = SWAPPED[type(op)]()
            yield ast.BinOp(left, swapped, right)
        case ast.Constant(value=bool(value)):
            yield ast.Constant(not value)
        case ast.Constant(value=int(value) | float(value)):
            yield ast.Constant(value + 1)
        case ast.IfExp(test=test, body=body, orelse=orelse):
            yield ast.IfExp(test, orelse, body)
        case ast.Call(func=ast.Name(id=name), args=args, keywords=keywords) if name in CALLED:
            yield ast.Call(ast.Name(CALLED[name], ast.Load()), args, keywords)
        case ast.ListComp() | ast.SetComp() | ast.GeneratorExp() | ast.DictComp():
            yield from _unfiltered(node)
        case _:
            return


def _unfiltered(
    node: ast.ListComp | ast.SetComp | ast.GeneratorExp | ast.DictComp,
) -> Iterator[ast.AST]:
    for number, part in enumerate(node.generators):
        if part.ifs:
            free = ast.comprehension(part.target, part.iter, [], part.is_async)
            parts = [*node.generators[:number], free, *node.generators[number + 1 :]]
            match node:
                case ast.DictComp(key=key, value=value):
                    yield ast.DictComp(key, value, parts)
                case _:
                    yield type(node)(node.elt, parts)


def _statements(node: ast.stmt) -> Iterator[ast.AST]:
    match node:
        case ast.If(test=test, body=body, orelse=orelse):
            yield ast.If(ast.UnaryOp(ast.Not(), test), body, orelse)
        case ast.AugAssign(target=target, op=op, value=value) if type(op) in SWAPPED:
            other: Any = SWAPPED[type(op)]()
            yield ast.AugAssign(target, other, value)
            yield ast.Pass()
        case ast.Assign(targets=[ast.Attribute() | ast.Subscript()]):
            yield ast.Pass()
        case ast.Expr(value=ast.Call() | ast.Yield() | ast.YieldFrom()):
            yield ast.Pass()
        case ast.Delete() | ast.Raise():
            yield ast.Pass()
        case ast.Continue():
            yield ast.Break()
        case ast.Break():
            yield ast.Continue()
        case _:
            return


def _get(parent: ast.AST, field: str, index: int | None) -> ast.AST:
    value = getattr(parent, field)
    node: ast.AST = value if index is None else value[index]
    return node


def _set(parent: ast.AST, field: str, index: int | None, node: ast.AST) -> None:
    if index is None:
        setattr(parent, field, node)
    else:
        getattr(parent, field)[index] = node


def _text(node: ast.AST) -> str:
    """The first line of the source, as far as it fits on one line."""
    if isinstance(node, ast.match_case):
        guard = "" if node.guard is None else f" if {ast.unparse(node.guard)}"
        return f"case {ast.unparse(node.pattern)}{guard}:"[:80]
    lines = ast.unparse(ast.fix_missing_locations(node)).splitlines()
    return f"{lines[0][:80]}{' ...' if len(lines) > 1 or len(lines[0]) > 80 else ''}"


class _Fastest:
    """Orders the tests by what they took, and notes what they take."""

    def __init__(self, before: Mapping[str, float]) -> None:
        self._before = before
        self.seconds: dict[str, float] = {}

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        items.sort(key=lambda item: self._before.get(item.nodeid, 0.0))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.seconds[report.nodeid] = self.seconds.get(report.nodeid, 0.0) + report.duration


class _Changed(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Imports one module as it was changed."""

    def __init__(self, mutant: Mutant) -> None:
        self._mutant = mutant

    def find_spec(
        self,
        fullname: str,
        path: object,  # noqa: ARG002 - as importlib calls it
        target: ModuleType | None = None,  # noqa: ARG002 - as above
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname != f"taskmill.rules.{self._mutant.module}":
            return None
        return importlib.util.spec_from_loader(fullname, self)

    def exec_module(self, module: ModuleType) -> None:
        exec(self._mutant.compiled(), module.__dict__)  # noqa: S102 - our own source, changed


def _apply(mutant: Mutant) -> None:
    """Change the functions of the imported module; or have all imported anew, changed."""
    if mutant.is_in_function:
        changed = dict(_functions(mutant.compiled()))
        for function in gc.get_objects():
            if isinstance(function, FunctionType):
                old = function.__code__
                new = changed.get((old.co_filename, old.co_qualname, old.co_firstlineno))
                if new is not None and new.co_freevars == old.co_freevars:
                    function.__code__ = new
        return
    for name in [name for name in sys.modules if name.split(".")[0] in {"taskmill", "tests"}]:
        if name != __name__:
            del sys.modules[name]
    sys.meta_path.insert(0, _Changed(mutant))


def _functions(code: CodeType) -> Iterator[tuple[tuple[str, str, int], CodeType]]:
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield (
                (constant.co_filename, constant.co_qualname, constant.co_firstlineno),
                constant,
            )
            yield from _functions(constant)


def _files(module: str) -> list[str]:
    paths = [(ROOT / "tests/rules" / f"{name}.py").resolve() for name in TESTS[module]]
    return [str(path.relative_to(ROOT)) for path in paths]


def _run(module: str, mutant: Mutant | None, before: Baseline | None, notes: Path) -> int:
    """Run the tests in a child process; return how that ended, as `os.wait4` says it."""
    child = os.fork()
    if child == 0:
        code = 3
        try:
            code = _test(module, mutant, before, notes)
        finally:
            sys.stdout.flush()
            os._exit(code)
    return os.waitpid(child, 0)[1]


def _test(module: str, mutant: Mutant | None, before: Baseline | None, notes: Path) -> int:
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2) if mutant else (0,):
        os.dup2(nowhere, descriptor)
    if before is not None:
        bound = int(before.cpu * 5) + 10
        resource.setrlimit(resource.RLIMIT_CPU, (bound, bound))
        resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))
        signal.alarm(1000)  # for one that waits for ever
    if mutant is not None:
        _apply(mutant)
    order = _Fastest({} if before is None else before.seconds)
    ended = pytest.main([*OPTIONS, *_files(module)], plugins=[order])
    if mutant is None:
        used = resource.getrusage(resource.RUSAGE_SELF)
        cpu = used.ru_utime + used.ru_stime
        notes.write_text(json.dumps({"seconds": order.seconds, "cpu": cpu}))
    return int(ended)


def _measured(module: str, notes: Path) -> Baseline:
    if _run(module, None, None, notes) != 0:
        sys.exit(f"the tests of {module} fail before anything is changed: {_files(module)}")
    found = json.loads(notes.read_text())
    return Baseline(seconds=found["seconds"], cpu=found["cpu"])


def survivors_of(module: str, mutants: Sequence[Mutant], folder: Path) -> list[Mutant]:
    """Those that the tests of the module let pass; prints each as it is found."""
    notes = folder / f"{module}.json"
    before = _measured(module, notes)
    print(f"{module}: {len(mutants)} changes; {len(before.seconds)} tests, {before.cpu:.1f} s")
    survivors: list[Mutant] = []
    for mutant in mutants:
        if _run(module, mutant, before, notes) == 0:
            survivors.append(mutant)
            print(f"  survives {mutant}", flush=True)
    noticed = len(mutants) - len(survivors)
    print(f"{module}: {noticed} of {len(mutants)} noticed", flush=True)
    return survivors


def _settle_in(folder: Path) -> None:
    """Import what children share, and have failures found, not made small."""
    os.chdir(ROOT)
    os.environ["HYPOTHESIS_STORAGE_DIRECTORY"] = str(folder)
    phases = (hypothesis.Phase.explicit, hypothesis.Phase.generate)
    hypothesis.settings.register_profile(
        "mutants",
        phases=phases,
        deadline=None,
        database=None,
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    hypothesis.settings.load_profile("mutants")
    importlib.import_module("taskmill.testing")
    for path in RULES.glob("*.py"):
        importlib.import_module(f"taskmill.rules.{path.stem}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("modules", nargs="*", metavar="MODULE", help="default: all of them")
    parser.add_argument("--sample", type=int, help="so many changes of each module, by chance")
    parser.add_argument("--seed", type=int, default=0, help="of that chance")
    parser.add_argument("--list", action="store_true", help="show the changes, run nothing")
    chosen = parser.parse_args()
    for name in chosen.modules:
        if name not in TESTS:
            parser.error(f"no tests are named for {name!r}; there are {', '.join(TESTS)}")
    with tempfile.TemporaryDirectory() as folder:
        _settle_in(Path(folder))
        total = survived = 0
        for module in chosen.modules or TESTS:
            mutants = mutants_of(module)
            if chosen.sample is not None and chosen.sample < len(mutants):
                picked = random.Random(chosen.seed).sample(mutants, chosen.sample)  # noqa: S311
                mutants = sorted(picked, key=lambda mutant: mutant.line)
            if chosen.list:
                print(*mutants, sep="\n")
                continue
            total += len(mutants)
            survived += len(survivors_of(module, mutants, Path(folder)))
    if total:
        print(f"{total - survived} of {total} noticed ({100 * (total - survived) // total} %)")


if __name__ == "__main__":
    main()
