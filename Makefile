# Every target sets up what it needs in .venv. Needs Python 3.11 or newer.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
PINNED := pyproject.toml constraints.txt
PIP = $(BIN)/python -m pip --disable-pip-version-check install -qq -c constraints.txt

# one thread: two runs side by side must not fight over the cores, and timings must compare
ONE_THREAD := OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 MKL_NUM_THREADS=1

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup demo test lint docs bench

help: ## this list
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## (.*)/  make \1\t\2/' | expand -t 16

setup: $(VENV)/stamp-dev ## everything for working on rlopt

demo: $(VENV)/stamp-demo ## a small benchmark and its report, from nothing
	$(BIN)/rlopt run experiments/quick.yaml

test: $(VENV)/stamp-dev ## the tests
	$(ONE_THREAD) $(BIN)/python -m pytest -n 2 $(ARGS)

lint: $(VENV)/stamp-dev ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: $(VENV)/stamp-docs ## the documentation, into site/
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

bench: $(VENV)/stamp-dev ## speed, as ratios within one run
	$(ONE_THREAD) $(BIN)/python benchmarks/run.py $(ARGS)

# A stamp is written last, so that an interrupted installation is done again.
$(VENV)/stamp-venv:
	@test -n "$(PYTHON)" && $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "rlopt needs Python 3.11 or newer, found '$(PYTHON)'; try: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/stamp-demo: $(VENV)/stamp-venv $(PINNED)
	@echo 'installing rlopt into $(VENV), which takes a minute or two'
	$(PIP) -e .
	@touch $@

$(VENV)/stamp-dev: $(VENV)/stamp-venv $(PINNED)
	@echo 'installing rlopt and its tools into $(VENV), which takes a minute or two'
	$(PIP) -e '.[dev,contrib]'
	@touch $@ $(VENV)/stamp-demo

$(VENV)/stamp-docs: $(VENV)/stamp-venv $(PINNED)
	@echo 'installing the documentation tools into $(VENV)'
	$(PIP) -e '.[docs]'
	@touch $@ $(VENV)/stamp-demo
