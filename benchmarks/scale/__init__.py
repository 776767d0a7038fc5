"""What a task costs as everything around it grows: ``python -m benchmarks.scale``."""
