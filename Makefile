# The project's commands. Needs make and Python 3.11 or later with venv; everything else is
# installed into .venv, at the versions and hashes of requirements.lock.

PYTHON ?= python3
JOBS ?= 2

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
READY := $(VENV)/ready
TVM := $(VENV)/ready-tvm

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test test-tvm lint types bench clean

help: ## print this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 16

demo: $(READY) ## compile a network for DIANA, run it on the virtual SoC, check every layer
	$(BIN)/htvm run zoo:resnet8 --input random:0 --samples 1 --check --check-layers

test: $(READY) ## run all tests: pytest, then lit with FileCheck
	$(BIN)/python -m pytest -n $(JOBS)
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/lit -v -j $(JOBS) filecheck_tests

test-tvm: $(TVM) ## install the extra tvm as well, and run the tests that need it
	$(BIN)/python -c 'import sys, htvm_ir.fallback as f; sys.exit(not f.is_installed())'
	$(BIN)/python -m pytest -n $(JOBS) -m tvm

lint: $(READY) ## check style and formatting
	$(BIN)/ruff check
	$(BIN)/ruff format --check

types: $(READY) ## check types
	PYRIGHT_PYTHON_IGNORE_WARNINGS=1 $(BIN)/pyright --pythonpath $(BIN)/python

bench: $(READY) ## measure speed and size on this machine, against what was to be reached
	$(BIN)/python -m benchmarks

clean: ## remove everything the commands above have created
	rm -rf $(VENV) build dist out *.egg-info .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
	  { echo "error: $(PYTHON) is missing or older than 3.11; name another one: make PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
	  { echo "error: $(PYTHON) has no venv; install it (Debian: apt-get install python3-venv)" >&2; exit 1; }
	@echo "Installing into $(VENV); the first time this downloads about 350 MB ..."
	@$(PYTHON) -m venv $(VENV)
	@$(PIP) install --quiet --only-binary :all: --requirement requirements.lock
	@$(PIP) install --quiet --no-deps --no-build-isolation --editable .
	@$(BIN)/python -m compileall -q htvm_ir # as pip does, but not for what stays editable
	@touch $@

$(TVM): $(READY) requirements-tvm.lock
	@echo "Installing TVM into $(VENV); this downloads about 100 MB more ..."
	@$(PIP) install --quiet --only-binary :all: --requirement requirements-tvm.lock
	@touch $@
