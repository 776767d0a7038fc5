"""What runs: each attempt from its start to the result that is settled."""
