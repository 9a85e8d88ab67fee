# `make demo` and `make test` need Python 3.11 or newer and make; they set up .venv themselves, from constraints.txt.
#
#   make demo    simulate a small TESS survey, reduce it, draw it; demo/ is made anew each time
#   make test    ruff, mypy, import-linter, pytest
#   make lint    the first three of these
#   make faults  what becomes of every fault in every situation (a table), of 50 kills, full disks and 10,000 broken headers
#   make bench   time cuvee against its peers (table on the screen, JSON beside it; twenty minutes, 5 GB in benchmarks/data)
#   make docs    write docs/flags.md again from the registry of flags, docs/archive_faults.md from what clients do
#   make clean   remove everything that make has made, .venv too
#
# PYTHON=/path/to/python chooses the interpreter that .venv is made from; WORKERS the number of test processes.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

WORKERS ?= 2
BIN := .venv/bin
PINS := constraints.txt
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet --constraint $(PINS) --build-constraint $(PINS)

# The interpreter must be new enough and able to make a virtual environment (Debian ships that apart).
SUITS := import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))
PYTHON ?= $(shell for name in python3.11 python3.12 python3.13 python3; do \
	if $$name -c '$(SUITS)' >/dev/null 2>&1; then echo $$name; break; fi; done)

.PHONY: help demo test faults lint format bench docs clean

help:
	@sed -n 's/^#   //p' Makefile

.venv/made:
	@if [ -z "$(PYTHON)" ]; then \
	  echo "cuvee needs Python 3.11 or newer with its venv module, and found none on the PATH: install one, or say 'make PYTHON=/path/to/python3'." >&2; exit 2; fi
	@if ! $(PYTHON) -c '$(SUITS)' >/dev/null 2>&1; then \
	  echo "cuvee needs Python 3.11 or newer with its venv module, and $(PYTHON) is not that: say 'make PYTHON=/path/to/python3'." >&2; exit 2; fi
	@echo "making .venv with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip --disable-pip-version-check install --quiet --upgrade --constraint $(PINS) pip
	@touch $@

.venv/installed: .venv/made pyproject.toml constraints.txt
	@echo "installing cuvee and what it needs into .venv (once; a minute or two)"
	@$(PIP) --editable .
	@touch $@

.venv/installed-test: .venv/installed
	@echo "installing the tools of the tests into .venv (once; a minute or two)"
	@$(PIP) --group test --group lint
	@touch $@

.venv/installed-bench: .venv/installed-test
	@echo "installing the peers of the benchmarks into .venv (once)"
	@$(PIP) --group bench
	@touch $@

demo: .venv/installed
	@rm -rf demo
	@$(BIN)/cuvee demo demo
	@echo "(cuvee lies in $(BIN): say '$(BIN)/cuvee status -w demo', or put it on your PATH)"

test: lint
	$(BIN)/python -m pytest -n $(WORKERS)

# The same tests as in `make test`, with more kills and more headers; the table is printed first.
faults: .venv/installed-test
	$(BIN)/python -m tests.run.fault_table
	CUVEE_KILLS=50 CUVEE_HEADERS=10000 $(BIN)/python -m pytest -rs -s -p no:xdist --timeout 3600 \
	  tests/run/test_kill.py tests/run/test_disk_full.py tests/run/test_mischief.py tests/instruments/test_headers.py

lint: .venv/installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: .venv/installed-test
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: .venv/installed-bench
	$(BIN)/python -m benchmarks.table

docs: .venv/installed-test
	$(BIN)/python docs/make_tables.py
	$(BIN)/python -m tests.testing.archive.fault_page

clean:
	rm -rf .venv demo build dist benchmarks/data benchmarks/*.json .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
