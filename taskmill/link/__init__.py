"""How the processes that share a database file talk to each other beside it."""
