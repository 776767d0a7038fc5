"""What strangers, mistakes and machines put in: values for every place that takes one."""

from __future__ import annotations

import math
from typing import Any

from hypothesis import strategies as st

from taskmill import TaskmillError

LONGEST_MESSAGE = 3000
"""Characters that a message may have, whatever value it shows."""

HOSTILE = st.sampled_from(
    [
        "",
        " ",
        "\0",
        "\x1b[2J\x1b]0;owned\x07",
        "\x9b31m",
        "\u202etxt.exe",
        "\ud800",
        "\udcff",
        "a\nb",
        "%",
        "_",
        "'; DROP TABLE taskmill_tasks; --",
        "::",
        "x" * 70,
        "x" * 300,
        "ä" * 600,
        "x" * 2000,
        "💥" * 300,
        "NaN",
        "None",
        "{columns}",
        ":id",
        "?",
        "../../etc/passwd",
    ]
)
TEXTS = HOSTILE | st.text(max_size=20) | st.text(st.characters(codec=None), max_size=8)
NUMBERS = st.sampled_from(
    [0, -1, 1, 2**31, 2**53 + 1, 2**63 - 1, 2**63, -(2**63) - 1, 10**400, 10**4000]
)
FLOATS = st.floats() | st.sampled_from([math.nan, math.inf, -math.inf, -0.0, 5e-324])
ODD: st.SearchStrategy[Any] = st.sampled_from(
    [object(), object, len, b"\xff", {1}, (1,), ..., NotImplemented, 1j, range(3), ValueError("x")]
)
LEAVES: st.SearchStrategy[Any] = (
    st.none() | st.booleans() | NUMBERS | st.integers() | FLOATS | TEXTS | ODD
)
ANYTHING: st.SearchStrategy[Any] = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(TEXTS | NUMBERS | st.booleans(), inner, max_size=4)
        | st.tuples(inner, inner)
    ),
    max_leaves=12,
)


def nested(depth: int) -> Any:
    """A list in a list in a list."""
    value: Any = []
    for _ in range(depth):
        value = [value]
    return value


def check_error(error: TaskmillError) -> None:
    """An error says something, and not endlessly, whatever it was given."""
    text = str(error)
    assert text.strip()
    assert len(text) <= LONGEST_MESSAGE, text[:500]
    assert " object at 0x" not in type(error).__name__
