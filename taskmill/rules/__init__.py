"""Decisions, as functions of values: no await, no clock, no randomness, no IO, no logging."""
