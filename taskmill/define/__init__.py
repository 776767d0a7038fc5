"""Declaring work: task types, handlers and domains, as values that register nothing globally."""
