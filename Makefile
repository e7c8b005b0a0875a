# Everything happens in .venv, which each target makes when it is missing.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet install -c constraints.txt
TEST_ARGS ?=
#: Anything: `make check` also runs what is marked nightly, each case of the sweeps, and all files that are marked dear.
NIGHTLY ?=
DEMO_ARGS ?=
BENCH_ARGS ?=
SCALE_ARGS ?=
CHAOS_ARGS ?=
NIGHT_ARGS ?=
PLAIN_ARGS ?=
HOSTILE_ARGS ?=
REFERENCE_ARGS ?=
SEEDS ?= 1000
#: Where not everything is run: a sweep tries each Nth case, and of the files marked dear each commit runs another Nth.
#: What was run before is run again by TURN, the number that the tests print first.
FEW := --every-nth 16 --turns 5
SHARE := --every-nth 8 --turns 5
TURN ?=
#: Workers for two cores: tests of processes wait for them often, which leaves time for two more; others seldom do.
test: JOBS ?= 3
every-test hostile: JOBS ?= 4
# Hundreds of processes of a run of the tests import our code, which the first one compiles for all of them.
unexport PYTHONDONTWRITEBYTECODE
#: The test that sees a scheduled run: Prefect's scheduler fails silently with a SQLAlchemy that it does not know.
SCHEDULES := tests/flows/test_schedules.py
SIMULATE_ARGS ?=
#: Tests that share something costly go to one worker, see tests/conftest.py; the long ones come first.
PYTEST = $(BIN)/python -m pytest -n $(JOBS) --dist loadgroup --no-loadscope-reorder
#: Tests with commands, servers and browsers in processes of their own, which `make test` leaves to `make check`, as it
#: does with those that are marked `processes` or have a database server.
IN_PROCESSES := tests/flows tests/chaos tests/browser

#: The extras whose libraries a deployment has installed as well.
EXTRAS := mail s3 sftp
#: Resolves for every Python and system with hashes, and writes the list of components; nothing else needs them.
MAKES_PAPERS := 'uv>=0.9,<1' 'cyclonedx-bom>=7,<8'

#: Puts the lower end of a library's range in pyproject.toml into the environment of `make lock`.
install_oldest = $(VENV)-lock/bin/python -m pip --disable-pip-version-check --quiet install \
  "$$(sed -n 's/.*"\($(1)\)>=\([0-9.]*\),.*/\1==\2/p' pyproject.toml)"

.DEFAULT_GOAL := help
.PHONY: help install demo test check every-test lint types format docs images bench scale chaos night plain contract reference hostile simulate mutants measure browser lock hashes clean

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

test: $(VENV)/.installed-dev ## the tests that start no interpreter, server or browser, of sweeps a few cases; JOBS, TEST_ARGS
	@$(PYTEST) $(addprefix --ignore=,$(IN_PROCESSES)) --in-process $(FEW) $(TEST_ARGS)

check: lint browser ## what CI runs before a short night: format, lint, types, tests; NIGHTLY=1 runs all of them, TURN=N another fifth of what is dear
	@$(MAKE) --no-print-directory --jobs=2 types every-test

every-test: $(VENV)/.installed-dev # of make check, beside the types: mypy has use for one core only
	@$(PYTEST) $(if $(NIGHTLY),--nightly,$(SHARE) $(if $(TURN),--turn $(TURN))) $(TEST_ARGS)

lint: $(VENV)/.installed-dev ## formatting and lint
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .

types: $(VENV)/.installed-dev ## mypy --strict
	@$(BIN)/mypy

format: $(VENV)/.installed-dev ## rewrite files in the house's format
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

docs: $(VENV)/.installed-dev ## write what is read from the code: docs/reference, deployments/automations
	@$(BIN)/python -m docs.generate
	@$(BIN)/python -m tests.contract --write
	@$(BIN)/python -m tests.browser.buttons

images: $(VENV)/.installed-dev browser ## write the pictures of docs/images again, each by the test that looks at its page
	@$(BIN)/python -m pytest --images tests/browser/test_pages.py tests/browser/test_digest.py tests/browser/test_door.py

bench: $(VENV)/.installed-dev ## learners per minute: sequential driver, ours, bare requests; BENCH_ARGS=jobs, BENCH_ARGS=start measure others
	@$(BIN)/python -m tests.benchmarks.throughput $(BENCH_ARGS)

scale: $(VENV)/.installed-dev ## queue runs of 100, 1,000 and 10,000 learners: what one more learner costs; SCALE_ARGS are other sizes
	@$(BIN)/python -m tests.benchmarks.scale $(SCALE_ARGS)

chaos: $(VENV)/.installed-dev ## the fault matrix, then kills before, during and after every request; CHAOS_ARGS
	@$(BIN)/python -m tests.chaos $(CHAOS_ARGS)

night: $(VENV)/.installed-dev ## three nights of a site by itself, in a quarter of an hour; NIGHT_ARGS=--short is one of few learners
	@$(BIN)/python -m tests.night $(NIGHT_ARGS)

plain: $(VENV)/.installed-dev ## each deployment by a schedule on a plain Prefect server with a worker, on SQLite and on PostgreSQL; PLAIN_ARGS
	@$(BIN)/python -m tests.plain $(PLAIN_ARGS)

contract: $(VENV)/.installed-dev ## every operation of every connector in every situation, as a table
	@$(BIN)/python -m tests.contract

reference: $(VENV)/.installed-dev ## each job of the reference scripts, case by case: what its own tests demand, what ours does, and whether it holds
	@$(BIN)/python -m tests.reference $(REFERENCE_ARGS)

hostile: $(VENV)/.installed-dev ## every route of a retirement, and every misbehaviour of a proxy before it, as a table; HOSTILE_ARGS
	@$(BIN)/python -m tests.hostile --jobs $(JOBS) $(HOSTILE_ARGS)

simulate: $(VENV)/.installed-dev ## SEEDS random histories in virtual time, each checked against the invariants
	@$(BIN)/python -m tests.simulation --seeds $(SEEDS) $(SIMULATE_ARGS)

mutants: $(VENV)/.installed-dev ## remove one guard after another: the simulation has to notice each
	@$(BIN)/python -m tests.simulation.mutants

measure: $(VENV)/.installed-dev ## sizes, complexity, docstrings and duplicates of the code, and the functions to cut
	@$(BIN)/python -m tests.house.measure

browser: # a Chromium for the tests of pages, from the system's packages when we may install them
	@command -v chromium >/dev/null || command -v chromium-browser >/dev/null || command -v google-chrome >/dev/null || \
	  { test "$$(id -u)" = 0 && command -v apt-get >/dev/null && echo "installing Chromium …" && \
	    apt-get -qq update >/dev/null && apt-get -qq install -y --no-install-recommends chromium >/dev/null 2>&1; } || \
	  echo "no Chromium here and none can be installed: the tests of pages will be skipped"

lock: ## resolve the newest versions into constraints.txt; schedules have to fire at both ends of Prefect's and SQLAlchemy's ranges
	@rm -rf $(VENV)-lock && $(PYTHON) -m venv $(VENV)-lock
	@$(VENV)-lock/bin/python -m pip --disable-pip-version-check --quiet install -e '.[dev]'
	@{ echo "# What the tests ran with; written by make lock."; \
	   $(VENV)-lock/bin/python -m pip freeze --exclude-editable; } > constraints.txt
	@$(MAKE) --no-print-directory hashes
	@echo "the newest of our ranges: schedules have to fire, and each deployment has to run on a plain server …"
	@$(VENV)-lock/bin/python -m pytest $(SCHEDULES)
	@$(VENV)-lock/bin/python -m tests.plain
	@echo "the oldest SQLAlchemy of our range: schedules have to fire …"
	@$(call install_oldest,sqlalchemy)
	@$(VENV)-lock/bin/python -m pytest $(SCHEDULES)
	@echo "the oldest Prefect of our range, with it: schedules have to fire, and each deployment has to run …"
	@$(call install_oldest,prefect)
	@$(VENV)-lock/bin/python -m pytest $(SCHEDULES)
	@$(VENV)-lock/bin/python -m tests.plain
	@rm -rf $(VENV)-lock

hashes: ## of the versions in constraints.txt: requirements.lock with the hashes of every file, and the SBOM of what it installs
	@rm -rf $(VENV)-papers $(VENV)-sbom && $(PYTHON) -m venv $(VENV)-papers && $(PYTHON) -m venv --without-pip $(VENV)-sbom
	@$(VENV)-papers/bin/python -m pip --disable-pip-version-check --quiet install $(MAKES_PAPERS)
	@{ echo "# What a deployment installs, with the hashes of its files, for each Python and system; written by make hashes."; \
	   echo hatchling | $(VENV)-papers/bin/uv pip compile --quiet pyproject.toml - $(addprefix --extra ,$(EXTRAS)) \
	     --constraint constraints.txt --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
	     --no-emit-index-url; } > requirements.lock
	@$(VENV)-papers/bin/python -m pip --disable-pip-version-check --quiet --python $(VENV)-sbom install \
	  --no-deps --require-hashes -r requirements.lock
	@$(VENV)-papers/bin/cyclonedx-py environment --pyproject pyproject.toml --output-reproducible --short-PURLs \
	  --output-file $(VENV)-papers/sbom.json $(VENV)-sbom
	@$(PYTHON) -c 'import json, sys; told = json.load(sys.stdin); told["metadata"].pop("tools"); \
	  [each.pop("externalReferences", None) for each in told["components"]]; print(json.dumps(told, indent=1))' \
	  < $(VENV)-papers/sbom.json > sbom.cdx.json
	@rm -rf $(VENV)-papers $(VENV)-sbom

clean: ## remove .venv and caches
	@rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache build dist
