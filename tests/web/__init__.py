"""Web applications with a scheduler inside."""
