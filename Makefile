# `make up` and `make test` need Python 3.11 with pip, and nothing else.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV   := .venv
BIN    := $(VENV)/bin

# pip runs again only when pyproject.toml changed: a second `make up` or `make test` goes straight to work.
RUN_STAMP  := $(VENV)/.installed-run
TEST_STAMP := $(VENV)/.installed-test

PYTEST = $(BIN)/python -m pytest $(ALL)

.DEFAULT_GOAL := help
.PHONY: help up down test test-all test-unit test-integration test-dataplane test-docker models-prepared lint lint-check lint-format lint-types bench eval clean

help:  ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

up: $(RUN_STAMP)  ## Install, prepare the models once, start the quick start, send three sample prompts
	@if $(BIN)/archgw status --json >/dev/null 2>&1; then \
	  echo "a gateway runs already; stop it with: make down"; $(BIN)/archgw status; \
	else \
	  $(BIN)/archgw models prepare && $(BIN)/archgw up --quick-start --local -cpu --runtime native; \
	fi

down:  ## Stop what `make up` started
	$(BIN)/archgw down

# One pytest run per tier. Unit and integration tests run in parallel. The tests of whole gateways wait more than they work:
# processes and containers are tested side by side, each with one gateway for the session.
# With ARGS, one run of what ARGS selects: make test ARGS='tests/unit -k guard'
test: $(TEST_STAMP)  ## Run the tests, against a real Envoy and a real Triton; ARGS selects some
ifdef ARGS
	$(BIN)/archgw models prepare
	$(PYTEST) $(ARGS)
else
	@$(MAKE) --no-print-directory test-unit
	@$(MAKE) --no-print-directory test-integration
	@echo "processes and containers are tested side by side; each prints its results when it ends"
	@$(MAKE) --no-print-directory --jobs 2 --output-sync=target test-dataplane test-docker
endif

test-all: export ALL := --all
test-all: test  ## Run the tests outside the gate too: load for minutes, large matrices, tools

test-unit: $(TEST_STAMP)  ## Run the tests that need no process and no socket
	$(PYTEST) -n auto tests/unit

test-integration: models-prepared  ## Run the tests of one real part: an Envoy, a command, a model
	$(PYTEST) -n auto --dist loadfile tests/integration

test-dataplane: models-prepared  ## Run the tests of a whole gateway, as processes
	$(PYTEST) tests/dataplane -m 'not docker'

test-docker: models-prepared  ## Run the tests of a whole gateway, in containers
	$(PYTEST) tests/dataplane tests/docker -m docker

models-prepared: $(TEST_STAMP)
	$(BIN)/archgw models prepare

lint: lint-check lint-format lint-types  ## ruff and mypy

lint-check: $(TEST_STAMP)
	$(BIN)/ruff check .

lint-format: $(TEST_STAMP)
	$(BIN)/ruff format --check .

lint-types: $(TEST_STAMP)
	$(BIN)/mypy

bench: $(RUN_STAMP)  ## Measure the gateway beside plain Envoy and LiteLLM; prints one report
	$(BIN)/python -m bench --check $(ARGS)
	$(BIN)/archgw models prepare
	$(BIN)/python -m bench $(ARGS)

eval: $(RUN_STAMP)  ## Measure the decisions on labelled data; writes docs/quality.md
	$(BIN)/archgw models prepare
	$(BIN)/python -m evaluation $(ARGS)

clean:  ## Stop, and remove everything that make and the tools built here
	-test ! -x $(BIN)/archgw || $(BIN)/archgw down
	rm -rf $(VENV) bench/.work build dist .pytest_cache .mypy_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Debian's Python comes without ensurepip unless python3-venv is installed; its pip can fill a venv all the same.
$(BIN)/python:
	$(PYTHON) -m venv $(VENV) || { \
	  $(PYTHON) -m venv --clear --without-pip $(VENV) && \
	  $(PYTHON) -m pip --python $(BIN)/python install --quiet pip; }

$(RUN_STAMP): pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[local]'
	@touch $@

$(TEST_STAMP): pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[local,test]'
	@touch $@ $(RUN_STAMP)
