# Each target does its own set-up in .venv; nothing else has to be installed but Python 3.11+ and make.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready

# Many tests start processes, which start three times as fast where compiled modules are kept.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: demo test check bench nightly mutants format reference clean

demo: $(READY)
	$(BIN)/taskmill demo $(DEMO)

test: $(READY)
	$(BIN)/pytest -m "not nightly" -n auto --dist worksteal

check: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/lint-imports

bench: $(READY)
	$(BIN)/python -m benchmarks $(BENCH)

nightly: $(READY)
	$(BIN)/pytest

mutants: $(READY)
	$(BIN)/python -m tests.trust.survivors $(MUTANTS)

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

reference: $(READY)
	$(BIN)/python -m taskmill.cli.reference docs/cli.md

clean:
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

$(READY): pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "taskmill needs Python 3.11 or newer; set PYTHON=...")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[dev]"
	touch $(READY)
