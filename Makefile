# A fresh machine needs Python 3.10-3.13 with pip, and make. Everything is installed into $(VENV).
#
#   make train ENV=maze2d-umaze            train and evaluate
#   make test                              run the tests
#   make lint                              ruff, codespell, mypy
#   make fuzz MINUTES=20                   attack every reader of files
#   make docs                              the site, into site/
#
# Variables: PYTHON, VENV, ENV, SEED, UPDATES, OUT, ARGS (more flags of lpt-train), TESTS (of pytest).

PYTHON ?= python3
VENV ?= .venv
ENV = maze2d-umaze
SEED =
UPDATES =
ifdef STEPS
$(error STEPS is UPDATES now: make train UPDATES=$(STEPS))
endif
OUT =
MINUTES = 20
ARGS =
TESTS =
BIN := $(VENV)/bin

.PHONY: help train test test-slow fuzz lint docs figures install clean
.DEFAULT_GOAL := help

help:
	@sed -n 's/^# \{0,1\}//p' Makefile | head -9

$(BIN)/python:
	$(PYTHON) -c 'import sys; v = sys.version_info; (3, 10) <= v < (3, 14) or sys.exit(f"Python 3.10 to 3.13 is needed, PYTHON=$(PYTHON) is {v.major}.{v.minor}")'
	$(PYTHON) -m venv $(VENV)

# The stamps make a second call start at once; they go stale when the pins or the metadata change.
$(VENV)/.installed: pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install -c constraints.txt -e .
	touch $@

$(VENV)/.installed-dev: pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install -c constraints.txt -e '.[dev]'
	touch $(VENV)/.installed $@

install: $(VENV)/.installed

train: $(VENV)/.installed
	$(BIN)/lpt-train --env $(ENV) $(if $(SEED),--seed $(SEED)) $(if $(UPDATES),--updates $(UPDATES)) $(if $(OUT),--out $(OUT)) $(ARGS)

# One thread each: the tests are small, and their exact comparisons assume it.
test: $(VENV)/.installed-dev
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist worksteal $(TESTS)

test-slow: $(VENV)/.installed-dev
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m slow $(TESTS)

# Attacks every reader for MINUTES; what it finds lies in fuzz-found/.
fuzz: $(VENV)/.installed-dev
	OMP_NUM_THREADS=1 $(BIN)/python tests/fuzz/run.py --minutes $(MINUTES)

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/codespell .
	$(BIN)/mypy

# Without a network; links that lead nowhere and docstrings that do not parse are errors.
docs: $(VENV)/.installed-dev
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

# The tables, from results/**/seed*.json; other figures: lpt-report --help.
figures: $(VENV)/.installed
	$(BIN)/lpt-report table --summary --into README.md
	$(BIN)/lpt-report table --into docs/results.md
	$(BIN)/lpt-report table --summary --into docs/mujoco.md --only halfcheetah hopper walker2d

clean:
	rm -rf $(VENV) build dist site .mypy_cache .ruff_cache .pytest_cache
