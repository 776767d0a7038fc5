r"""How text that strangers wrote is printed: no control character reaches a terminal.

Labels, payloads and errors may hold escape sequences, which would move the cursor, change the
title or rewrite what stands above. They are shown as ``\x1b`` and the like; so is what turns the
direction of writing around.
"""

from __future__ import annotations

from unicodedata import category

_SPACES = frozenset({"Zs"})


def one_line(text: str) -> str:
    """``text`` on one line, with everything that does not show spelt out."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(map(_shown, text))


def lines(text: str) -> str:
    """``text`` with its line breaks, and everything else that does not show spelt out."""
    return "\n".join(one_line(line.expandtabs(4)) for line in text.splitlines())


def shortened(text: str, length: int) -> str:
    """At most ``length`` characters of ``text``, which says so itself where that is not all."""
    return text if len(text) <= length else f"{text[: length - 1]}…"


def _shown(char: str) -> str:
    if char.isprintable():
        return char
    if category(char) in _SPACES:
        return " "
    return char.encode("unicode_escape", "surrogatepass").decode("ascii")
