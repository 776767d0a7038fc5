"""The optional parts, each with its real library."""
