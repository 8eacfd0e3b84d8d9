# `make demo` and `make test` set everything up; `make quick` is for while you work.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
WORKERS ?= auto
# Processes that test: the processor's cores, at most 8, since each takes over 1 GB.
CORES := $(shell getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2)
TESTERS ?= $(shell echo $$(( $(CORES) < 8 ? $(CORES) : 8 )))
# As pip would, but on all cores; some templates in packages are no modules.
COMPILE := $(BIN)/python -m compileall -q -j 0 $(VENV)/lib > /dev/null || true
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest --dist loadgroup -q

.PHONY: demo readme test quick mutations check env dev

demo: env  ## train a small grid on handwritten digits, measure FID, write reports/demo/, which git ignores
	$(BIN)/lab sweep sweeps/demo.yaml --workers $(WORKERS)
	$(BIN)/lab report demo

readme:  ## the figure and pictures of the README, from the report of `make demo`
	cp reports/demo/scaling.png reports/demo/samples.png docs/demo/

test: dev check  ## everything that must pass; one process more than cores, since slow tests wait for what they start
	$(PYTEST) -n $$(( $(TESTERS) + 1 ))

quick: dev  ## style, and every test that is not marked slow: under 90 seconds on two cores
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(PYTEST) -n $(TESTERS) -m "not slow"

mutations: dev  ## break the code in a copy, one line in each room, and see that a test fails
	OMP_NUM_THREADS=1 $(BIN)/python tests/mutations.py

check: dev  ## style, types, layers: under a minute
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

env: $(VENV)/.env
dev: $(VENV)/.dev

$(VENV)/.env: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --no-compile --constraint constraints.txt --editable .
	$(COMPILE)
	touch $@

$(VENV)/.dev: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --no-compile --constraint constraints.txt --editable '.[dev]'
	$(COMPILE)
	touch $@ $(VENV)/.env
