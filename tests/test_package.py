"""The package as users get it."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_a_wheel_holds_everything_and_works_where_the_sources_are_not(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path)]
    subprocess.run([*build, str(ROOT)], check=True, capture_output=True, timeout=120)
    [wheel] = tmp_path.glob("taskmill-*.whl")
    site = tmp_path / "site"
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        archive.extractall(site)
    sources = {
        str(path.relative_to(ROOT))
        for path in (ROOT / "taskmill").rglob("*")
        if path.suffix in (".py", ".sql", ".typed") and "__pycache__" not in path.parts
    }
    assert sources == {name for name in names if name.startswith("taskmill/")}
    program = (
        "import taskmill, anyio\n"
        "class D(taskmill.DomainKey, name='d'): ...\n"
        "class T(taskmill.Task[D, int], name='t'): ...\n"
        "async def run(task, ctx): return 42\n"
        "async def main():\n"
        "    domain = taskmill.Domain(D, handlers=[T.handler(run)])\n"
        "    async with taskmill.Scheduler('app.db', domains=[domain]) as scheduler:\n"
        "        print(await scheduler.result(await scheduler.submit(T())), taskmill.__file__)\n"
        "anyio.run(main)\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env={"PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert run.stdout.split() == ["42", str(site / "taskmill" / "__init__.py")]
