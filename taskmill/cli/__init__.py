"""The command line; it needs the extra ``cli``, and says so where that is missing."""

from __future__ import annotations

import sys
from importlib.util import find_spec


def main() -> None:
    """Run the command named in ``sys.argv``."""
    if any(find_spec(module) is None for module in ("click", "rich")):
        sys.stderr.write(
            "taskmill: the command line needs the extra \"cli\": pip install 'taskmill[cli]'\n"
        )
        sys.exit(2)
    try:
        from taskmill.cli.commands import taskmill  # it imports click, which may be missing
    except KeyboardInterrupt:
        sys.exit(130)
    taskmill(prog_name="taskmill")
