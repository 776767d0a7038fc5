"""A scheduler in a process that does not dispatch: it submits, asks and looks on."""
