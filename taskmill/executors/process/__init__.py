"""Handlers in processes of their own: the place of work that keeps a core busy."""

from taskmill.executors.process.executor import ProcessExecutor as ProcessExecutor
