"""Which keys were pressed, from the bytes that a terminal sends."""

from __future__ import annotations

import re

_NAMES = {
    "A": "up",
    "B": "down",
    "C": "right",
    "D": "left",
    "H": "home",
    "F": "end",
    "Z": "back-tab",
    "1~": "home",
    "7~": "home",
    "4~": "end",
    "8~": "end",
    "5~": "page-up",
    "6~": "page-down",
}
_PLAIN = {"\t": "tab", "\r": "enter", "\n": "enter", " ": "page-down", "\x1b": "escape"}
_KEY = re.compile(r"\x1b[\[O](?P<sequence>[0-9;]*[A-Za-z~])|(?P<char>[\s\S])")


def keys_of(data: bytes) -> list[str]:
    """The keys by name; a character is its own name, and what nobody knows is left out.

    An escape sequence that is cut off reads as the keys it is made of.
    """
    keys: list[str] = []
    for found in _KEY.finditer(data.decode("utf-8", "replace")):
        sequence, char = found["sequence"], found["char"]
        if sequence is not None:
            keys += [name for name in [_NAMES.get(sequence)] if name is not None]
        elif char in _PLAIN:
            keys.append(_PLAIN[char])
        elif char.isprintable():
            keys.append(char)
    return keys
