# make run     the whole pipeline on the toy dataset, into runs/
# make test    the tests
# make coverage  how much of the rooms of maths their tests run, with a floor
# make reliability  what is promised against deaths, faults and hostile files, into docs/
# make fuzz    the parsers, for ARGS="--seconds 60" each
# make site    the documentation as a site, with strict links, into build/site/
# make test-docs  every command of every page, the long ones too
# make test-wheel a wheel in an empty environment, to the end of the toy pipeline; prints sizes and times
# make lint    format, lint, types, direction of imports
# make image   the container image
# make test-image  the image, and the whole pipeline with every step in a container of its own
# make lock    every dependency by version and hash, into requirements/
# make sbom    what is installed here, as CycloneDX; make sbom-image what is in the image
SHELL := bash
.SHELLFLAGS := -o pipefail -c
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ARGS ?=
export IMAGE ?= $(shell sed -n 's/^IMAGE = "\(.*\)"/\1/p' components/image.py)
NUM_WORKERS ?= 2

.PHONY: run test coverage site test-docs test-wheel reliability fuzz lint format compile image test-image lock sbom sbom-image clean

run: $(VENV)/.run
	$(BIN)/dico run pipelines/dico.yaml $(ARGS)

test: $(VENV)/.dev
	env -u PYTHONDONTWRITEBYTECODE OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(NUM_WORKERS) --dist loadfile --no-loadscope-reorder $(ARGS)

coverage: $(VENV)/.dev
	OMP_NUM_THREADS=1 $(BIN)/coverage run -m pytest tests/configuration tests/facts tests/rewards tests/metrics tests/evaluation $(ARGS)
	$(BIN)/coverage report

fuzz: $(VENV)/.dev
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.reliability.fuzz $(ARGS)

reliability: $(VENV)/.dev
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.reliability --write docs/reliability.md $(ARGS)

site: $(VENV)/.site
	$(BIN)/python scripts/site
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict -f mkdocs.yml

test-docs: $(VENV)/.site
	DICO_TEST_DOCS=1 OMP_NUM_THREADS=1 $(BIN)/python -m pytest -v tests/docs $(ARGS)

test-wheel: $(VENV)/.dev
	DICO_TEST_WHEEL=1 $(BIN)/python -m pytest -v -s tests/test_installed_wheel.py $(ARGS)

lint: $(VENV)/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

compile: $(VENV)/.run
	$(BIN)/python -m dico_pipelines.compile

image:
	scripts/build-image

test-image: image $(VENV)/.containers
	DICO_TEST_IMAGE=$(IMAGE) $(BIN)/python -m pytest -v -p no:cacheprovider tests/pipelines/test_containers.py $(ARGS)

lock:
	test -x $(VENV)/lock/bin/uv || ($(PYTHON) -m venv $(VENV)/lock && $(VENV)/lock/bin/python -m pip install -q -c constraints.txt uv)
	scripts/lock $(VENV)/lock/bin/uv

sbom: $(VENV)/.run $(VENV)/tools/.made
	scripts/sbom $(VENV)/tools build/sbom.cdx.json $(BIN)/python

sbom-image: $(VENV)/tools/.made
	scripts/sbom $(VENV)/tools build/sbom-image.cdx.json image $(IMAGE)

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache

# uv leaves bytecode to the first import, so the tests may write it.
# Each stamp is newer than what it was installed from, so an unchanged environment costs nothing.
$(VENV)/.containers: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q -c constraints.txt -e '.[pipelines]' docker pytest
	@touch $@

$(VENV)/tools/.made: requirements/tools.txt
	$(PYTHON) -m venv $(VENV)/tools
	$(VENV)/tools/bin/python -m pip install -q --require-hashes -r requirements/tools.txt
	@touch $@

$(VENV)/.run: EXTRAS := all
$(VENV)/.run: SIZE := 1.9 GB
$(VENV)/.dev: EXTRAS := all,dev
$(VENV)/.dev: SIZE := 2.2 GB
$(VENV)/.run $(VENV)/.dev: pyproject.toml constraints.txt scripts/install scripts/install-torch scripts/mend-torchvision
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "dico needs Python 3.11 or newer: make PYTHON=/path/to/python3.11")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing dico[$(EXTRAS)] into $(VENV): about $(SIZE), some minutes"
	scripts/install-torch $(BIN)/python constraints.txt
	scripts/install $(BIN)/python constraints.txt $(EXTRAS)
	scripts/mend-torchvision $(BIN)/python
	@touch $@ $(VENV)/.run

$(VENV)/.site: $(VENV)/.dev
	$(BIN)/python -m pip install -q -c constraints.txt -e '.[docs]'
	@touch $@
