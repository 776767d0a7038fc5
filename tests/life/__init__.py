"""The life of a task, sentence by sentence: each test runs the engine on SQLite in virtual time."""
