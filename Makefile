# make train   install into .venv, train on the built-in phantom, print the scores and the report's path
# make test    install into .venv, then ruff, mypy, import-linter and pytest
#
# Needs Python 3.11, 3.12 or 3.13, make and git. Versions are those of constraints.txt; pip's own configuration is used.
# Variables: PYTHON=python3.12  VENV=.venv  DATA=folder  EPOCHS=n  MINUTES=n  OUT=run-folder  PYTEST="-k words"

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

OK := import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do $$p -c '$(OK)' 2>/dev/null && { echo $$p; break; }; done)
VENV ?= .venv
DATA ?= phantom
EPOCHS ?=
# What the plan may choose a training for: short for the phantom; other data take the default of the settings.
MINUTES ?= $(if $(filter phantom%,$(DATA)),4)
OUT ?=
PYTEST ?=
BENCH ?= phantom_shortcuts

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
TOOLS := PATH="$(abspath $(BIN)):$$PATH"

.PHONY: help install install-dev train test test-browser lint format test-install test-all-pythons wheel bench start model gate docs constraints clean

help:
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 20

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "tumorlens needs Python 3.11, 3.12 or 3.13; name one with: make PYTHON=/path/to/python" >&2; exit 2; }
	@$(PYTHON) -c '$(OK)' || { echo "$(PYTHON) is $$($(PYTHON) -V); tumorlens needs Python 3.11, 3.12 or 3.13" >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)

# Stamps: an installation is repeated only when what it depends on has changed.
$(VENV)/.dev: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) install --quiet --constraint constraints.txt pip hatchling
	$(PIP) install --quiet --constraint constraints.txt --no-build-isolation --editable '.[dev]'
	@touch $(VENV)/.train $@

$(VENV)/.train: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) install --quiet --constraint constraints.txt pip hatchling
	$(PIP) install --quiet --constraint constraints.txt --no-build-isolation --editable '.[train]'
	@touch $@

install: $(VENV)/.train ## install what training needs into .venv

install-dev: $(VENV)/.dev ## install everything for development into .venv

train: $(VENV)/.train ## train on the phantom (DATA=, MINUTES=, OUT=)
	$(BIN)/tumorlens train $(DATA) $(if $(EPOCHS),--epochs $(EPOCHS)) $(if $(MINUTES),--set train.minutes=$(MINUTES)) $(if $(OUT),--out $(OUT))

# Three processes on two cores, as some tests wait for other programs; a file of tests each at a time, as what a file has
# made is made once; in order, as the files with few tests are the long ones and must not come last. A process that dies
# is not replaced: xdist can wait for ever for a replaced one (pytest-xdist issue 1378).
test: lint ## ruff, mypy, import-linter, pytest (PYTEST="-k words")
	$(BIN)/python -m pytest --numprocesses 3 --dist loadfile --no-loadscope-reorder --max-worker-restart 0 $(PYTEST)

test-browser: $(VENV)/.dev ## the page in Chromium, on every size, with axe-core; 1,000 requests of every kind to the API
	TUMORLENS_CASES=1000 $(BIN)/python -m pytest -m "browser or not browser" tests/web

lint: $(VENV)/.dev ## ruff, mypy and import-linter only
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.dev ## let ruff rewrite the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

test-install: $(VENV)/.dev ## install the wheel alone in a fresh environment and predict with it
	$(BIN)/python -m pytest -m slow tests/packaging

test-all-pythons: ## make test with each of Python 3.11, 3.12 and 3.13 that is here
	@found=$$($(or $(PYTHON),python3) scripts/pythons.py); failed=""; \
	for version in 3.11 3.12 3.13; do \
		python=$$(awk -F '\t' -v v=$$version '$$1 == v { print $$2 }' <<< "$$found"); \
		if [ -z "$$python" ]; then echo "Python $$version: not on this machine, skipped"; continue; fi; \
		echo "Python $$version: $$python"; \
		$(MAKE) --no-print-directory test VENV=.venv-$$version PYTHON=$$python || failed="$$failed $$version"; \
	done; \
	if [ -n "$$failed" ]; then echo "failed with Python$$failed" >&2; exit 1; fi; \
	awk -F '\t' '{ printf "passed with Python %s\n", $$1 }' <<< "$$found"

wheel: $(VENV)/.dev ## build dist/*.whl
	$(BIN)/python -m build --wheel --no-isolation --outdir dist

bench: $(VENV)/.dev ## run benchmarks/$(BENCH).py
	$(BIN)/python benchmarks/$(BENCH).py

# 12,000 drawn slices of a seed that no other phantom has by default; half an hour on two cores with bfloat16.
start: $(VENV)/.dev ## learn again, from the phantom, the weights that training starts from
	test -f runs/start-data/manifest.csv || $(BIN)/tumorlens phantom runs/start-data --count 12000 --seed 5227
	test -d runs/start/bundle || $(BIN)/tumorlens train runs/start-data/manifest.csv --config recipes/start.toml --out runs/start
	$(BIN)/python scripts/start_weights.py runs/start

model: $(VENV)/.dev ## rebuild the shipped model from DATA=folder (see recipes/default-data.toml); stopped, it continues
	@test "$(DATA)" != phantom || { echo "name the folder of the data: make model DATA=../shared/data" >&2; exit 2; }
	$(BIN)/python scripts/shipped_model.py $(DATA) $(or $(OUT),runs/default)

gate: $(VENV)/.dev ## make the gate again, which refuses what is no brain MRI, from DATA=folder
	@test "$(DATA)" != phantom || { echo "name the folder of the data: make gate DATA=../shared/data" >&2; exit 2; }
	$(BIN)/python scripts/gate $(DATA)

docs: $(VENV)/.dev ## rewrite the generated pages: settings, the shipped model, third-party licences
	$(BIN)/python scripts/settings_page.py
	$(BIN)/python scripts/model_page.py
	$(BIN)/python scripts/licenses.py

constraints: $(VENV)/.dev ## rewrite constraints.txt with the newest versions (needs all three Pythons)
	$(TOOLS) $(BIN)/python scripts/constraints.py

clean: ## remove environments, builds and caches; runs/ is kept
	rm -rf .venv .venv-* build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find src tests scripts benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +
