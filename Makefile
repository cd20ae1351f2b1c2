# `make check` is what CI runs. PYTHON is the interpreter of the environment with the extra `dev`.
PYTHON ?= .venv/bin/python

.PHONY: check lint types layers test env

check: lint types layers test

env:
	python3 -m venv .venv && .venv/bin/pip install -q -e '.[dev]'

lint:
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .

types:
	$(PYTHON) -m mypy
	$(PYTHON) -m pyright --pythonpath $(PYTHON)

layers:
	$(PYTHON) -c 'from importlinter.cli import lint_imports_command as lint; lint()'

test:
	$(PYTHON) -m pytest
