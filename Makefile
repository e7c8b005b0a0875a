# Everything happens in .venv, which each target makes when it is missing.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet install -c constraints.txt
TEST_ARGS ?=
JOBS ?= 2
DEMO_ARGS ?=
BENCH_ARGS ?=
CHAOS_ARGS ?=
SEEDS ?= 1000
SIMULATE_ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help install demo test check lint types format docs bench chaos contract simulate mutants browser lock clean

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1\t\2/p' $(MAKEFILE_LIST) | expand -t 12

$(VENV)/.installed: pyproject.toml constraints.txt
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing into $(VENV) …"
	@$(PIP) -e .
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	@echo "installing the development tools …"
	@$(PIP) -e '.[dev]'
	@touch $@

install: $(VENV)/.installed ## install the console script .venv/bin/retirement

demo: install ## retire 25 simulated learners and stay up; DEMO_ARGS=--exit ends with an exit code
	@$(BIN)/retirement demo $(DEMO_ARGS)

test: $(VENV)/.installed-dev browser ## all tests, JOBS at a time; TEST_ARGS goes to pytest
	@$(BIN)/python -m pytest -n $(JOBS) --dist loadfile $(TEST_ARGS)

check: lint types test ## format, lint, types and tests: what CI runs

lint: $(VENV)/.installed-dev ## formatting and lint
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .

types: $(VENV)/.installed-dev ## mypy --strict
	@$(BIN)/mypy

format: $(VENV)/.installed-dev ## rewrite files in the house's format
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

docs: $(VENV)/.installed ## write the generated parts of docs/reference
	@$(BIN)/python -m docs.generate

bench: $(VENV)/.installed-dev ## learners per minute: sequential driver, ours, bare requests
	@$(BIN)/python -m tests.benchmarks.throughput $(BENCH_ARGS)

chaos: $(VENV)/.installed-dev ## the fault matrix, then kills before, during and after every request; CHAOS_ARGS
	@$(BIN)/python -m tests.chaos $(CHAOS_ARGS)

contract: $(VENV)/.installed-dev ## every operation of every connector in every situation, as a table
	@$(BIN)/python -m tests.contract

simulate: $(VENV)/.installed-dev ## SEEDS random histories in virtual time, each checked against the invariants
	@$(BIN)/python -m tests.simulation --seeds $(SEEDS) $(SIMULATE_ARGS)

mutants: $(VENV)/.installed-dev ## remove one guard after another: the simulation has to notice each
	@$(BIN)/python -m tests.simulation.mutants

browser: # a Chromium for the tests of pages, from the system's packages when we may install them
	@command -v chromium >/dev/null || command -v chromium-browser >/dev/null || command -v google-chrome >/dev/null || \
	  { test "$$(id -u)" = 0 && command -v apt-get >/dev/null && echo "installing Chromium …" && \
	    apt-get -qq update >/dev/null && apt-get -qq install -y --no-install-recommends chromium >/dev/null 2>&1; } || \
	  echo "no Chromium here and none can be installed: the tests of pages will be skipped"

lock: ## resolve the newest versions that pyproject.toml allows into constraints.txt
	@rm -rf $(VENV)-lock && $(PYTHON) -m venv $(VENV)-lock
	@$(VENV)-lock/bin/python -m pip --disable-pip-version-check --quiet install -e '.[dev]'
	@{ echo "# What the tests ran with; written by make lock."; \
	   $(VENV)-lock/bin/python -m pip freeze --exclude-editable; } > constraints.txt
	@rm -rf $(VENV)-lock

clean: ## remove .venv and caches
	@rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache build dist
