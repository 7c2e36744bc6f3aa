# make run     the whole pipeline on the small world, into runs/
# make test    the tests
# make reliability  what is promised against deaths, faults and hostile files, into docs/
# make lint    format, lint, types, direction of imports
# make image   the container image
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ARGS ?=
IMAGE ?= dico:0.1.0
NUM_WORKERS ?= 2

.PHONY: run test reliability lint format compile image clean

run: $(VENV)/.run
	$(BIN)/dico run pipelines/dico.yaml $(ARGS)

test: $(VENV)/.dev
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(NUM_WORKERS) --dist loadgroup $(ARGS)

reliability: $(VENV)/.dev
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.reliability --write docs/reliability.md $(ARGS)

lint: $(VENV)/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

compile: $(VENV)/.run
	$(BIN)/python -m pipelines.compile

image:
	docker build --tag $(IMAGE) --build-arg REVISION=$$(git rev-parse HEAD) .

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache

# Each stamp is newer than what it was installed from, so an unchanged environment costs nothing.
$(VENV)/.run: pyproject.toml constraints.txt scripts/install-torch
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "dico needs Python 3.11 or newer: make PYTHON=/path/to/python3.11")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	scripts/install-torch $(BIN)/python constraints.txt
	$(BIN)/python -m pip install -q -c constraints.txt -e '.[all]'
	@touch $@

$(VENV)/.dev: $(VENV)/.run
	$(BIN)/python -m pip install -q -c constraints.txt -e '.[all,dev]'
	@touch $@
