"""The worked example: find duplicate files with three domains on one scheduler.

Read it in this order:

- `scan`, `digest` and `report` are three libraries that do not know each other; each exports
  one ``*_domain`` function;
- `app` mounts them on one scheduler and submits a run: one graph, which its docstring draws;
- `leftovers` says what becomes of the graph of an earlier run;
- `catalogue` is the application's own table, which outlives any run;
- `session` says how a run ends, and `view`, `pace` and `summary` what a person sees of it.

What a run promises. It lists the directory anew, because a listing is cheap and must be fresh, and
reads only files that may have a twin and whose size or modification time changed since they were
last read. So it can be killed at any moment: the next run lists again, goes on with the digests
still queued, and reads nothing twice. Nothing about a single file is fatal; it becomes one of the
answer's errors.
"""
