"""The page on the command line says what the commands say."""

from __future__ import annotations

from pathlib import Path

import pytest

from taskmill.cli.commands import COMMANDS
from taskmill.cli.reference import brought_up_to_date

PAGE = Path(__file__).parents[2] / "docs" / "cli.md"


def test_the_page_is_up_to_date() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert page == brought_up_to_date(page), "run python -m taskmill.cli.reference docs/cli.md"
    for name in COMMANDS:
        assert f"### taskmill {name}\n" in page


def test_a_page_without_the_mark_is_refused() -> None:
    with pytest.raises(ValueError, match="the page has no line"):
        brought_up_to_date("# The command line")
