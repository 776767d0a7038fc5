"""What the guides say, tested; their code is in ``examples/``."""
