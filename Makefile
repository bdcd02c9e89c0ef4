# A fresh machine needs Python 3.10-3.13 with pip, and make. Everything is installed into $(VENV).
#
#   make train ENV=maze2d-umaze            train and evaluate
#   make test                              run the tests
#   make test-lowest PYTHON=python3.10     test the core with the oldest versions that are allowed
#   make lint                              ruff, codespell, mypy, licenses
#   make fuzz MINUTES=20                   attack every reader of files
#   make docs                              the site, into site/
#   make results                           every table and figure of results/, into docs/
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
CORE = tests/test_config.py tests/test_checkpoint.py tests/test_training.py tests/test_policy.py \
	tests/test_run.py tests/test_cli_train.py tests/data/test_files.py tests/data/test_mapped.py
BIN := $(VENV)/bin

.PHONY: help train test test-slow test-lowest fuzz lint licenses docs figures results install clean
.DEFAULT_GOAL := help

help:
	@sed -n 's/^# \{0,1\}//p' Makefile | head -10

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

$(VENV)-lowest/.installed: pyproject.toml constraints-lowest.txt
	$(PYTHON) -m venv --clear $(VENV)-lowest
	$(VENV)-lowest/bin/python -m pip install -c constraints-lowest.txt -e '.[dev]'
	touch $@

# Other versions compute other last bits, and warn of other things: what is tested is that all works.
test-lowest: $(VENV)-lowest/.installed
	OMP_NUM_THREADS=1 $(VENV)-lowest/bin/python -m pytest -n 2 --dist worksteal $(or $(TESTS),$(CORE))

# Attacks every reader for MINUTES; what it finds lies in fuzz-found/.
fuzz: $(VENV)/.installed-dev
	OMP_NUM_THREADS=1 $(BIN)/python tests/fuzz/run.py --minutes $(MINUTES)

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/codespell .
	$(BIN)/mypy
	$(BIN)/python scripts/licenses.py > /dev/null

# Lists the licenses of all that is needed at run time.
licenses: $(VENV)/.installed-dev
	$(BIN)/python scripts/licenses.py

# Without a network; links that lead nowhere and docstrings that do not parse are errors.
docs: $(VENV)/.installed-dev
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

# The tables, from results/**/seed*.json; other figures: lpt-report --help.
figures: $(VENV)/.installed
	$(BIN)/lpt-report table --summary --into README.md
	$(BIN)/lpt-report table --into docs/results.md
	$(BIN)/lpt-report table --summary --into docs/mujoco.md --only halfcheetah hopper walker2d
	$(BIN)/lpt-report table --summary --into docs/own_environment.md --only recorded-

# All that the files in results/ say: docs/results/ and the tables above.
results: figures
	$(BIN)/lpt-report all results --out docs/results --overwrite

clean:
	rm -rf $(VENV) $(VENV)-lowest build dist site .mypy_cache .ruff_cache .pytest_cache
