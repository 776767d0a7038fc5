"""Where handlers run, with real worker processes."""
