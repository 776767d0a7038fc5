"""How fast taskmill is, and how far from what the machine allows: ``python -m benchmarks``."""
