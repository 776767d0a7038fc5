"""How a message shows a value that somebody has given, whatever that is."""

from __future__ import annotations


def shown(value: object, length: int = 100) -> str:
    """The start of its repr; of what has none, such as an int with 5,000 digits, its class."""
    try:
        return repr(value)[:length]
    except Exception:  # noqa: BLE001 - the repr may be the user's, and raise anything
        return f"a {type(value).__qualname__} that cannot be shown"
