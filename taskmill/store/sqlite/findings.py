"""What an examination of a database file says: findings, each with what to do about it."""

from __future__ import annotations

import enum

import attrs


class Severity(enum.StrEnum):
    """How bad a finding is."""

    OK = "ok"
    WARNING = "warning"
    """Nothing is lost or stuck, but somebody should know."""
    PROBLEM = "problem"
    """The database cannot be used, has lost something, or holds tasks that nothing will move."""


@attrs.frozen(kw_only=True)
class Finding:
    """The answer to one question about a database file."""

    subject: str
    """What was looked at, in one or two words."""
    severity: Severity
    sentence: str
    advice: str | None = None
    """What to do about it; None where there is nothing to do."""


def fine(subject: str, sentence: str) -> Finding:
    """What is as it should be."""
    return Finding(subject=subject, severity=Severity.OK, sentence=sentence)


def warning(subject: str, sentence: str, advice: str) -> Finding:
    """What somebody should know."""
    return Finding(subject=subject, severity=Severity.WARNING, sentence=sentence, advice=advice)


def problem(subject: str, sentence: str, advice: str) -> Finding:
    """What somebody has to mend."""
    return Finding(subject=subject, severity=Severity.PROBLEM, sentence=sentence, advice=advice)
