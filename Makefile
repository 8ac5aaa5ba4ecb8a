# The one door: `make demo` shows the package at work, `make test` proves it. Everything lands in .venv/ and build/.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
KERNELS := $(wildcard pyx/*.pyx pyx/*.pxd pyx/*.pxi)
SHELL  := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help
.PHONY: help demo dev test lint unit sanitize wheel peers bench fuzz soak clean

help:  ## this list
	@sed -n 's/^\([a-z]*\):.*##/\1\t/p' $(MAKEFILE_LIST) | expand -t 12

demo: $(if $(wildcard $(VENV)/.dev),$(VENV)/.dev $(VENV)/.kernels,$(VENV)/.demo)  ## install, then show a study sent, stored and read back (under 3 minutes from a fresh clone)
	$(BIN)/dicomcore demo

test: peers lint unit  ## everything: linters, all tests, sanitizers, the built wheel and sdist
	$(MAKE) --no-print-directory --jobs=2 sanitize wheel
	@echo "make test: all passed"

dev: $(VENV)/.dev $(VENV)/.kernels  ## an editable install with all that the tests need

lint: $(VENV)/.dev $(VENV)/.kernels  ## ruff and mypy --strict
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

unit: $(VENV)/.dev $(VENV)/.kernels  ## every test, in the source tree
	$(BIN)/pytest -q --durations=8

sanitize: $(VENV)/.dev  ## every test under AddressSanitizer and UndefinedBehaviorSanitizer
	bash .ci/sanitize $(BIN)/python

wheel: $(VENV)/.dev  ## build sdist and wheel; test the wheel away from the source tree
	bash .ci/wheel $(BIN)/python

peers:  ## the DICOM programs that the tests talk to (Debian; needs root)
	bash .ci/peers

bench: $(VENV)/.dev $(VENV)/.kernels  ## all benchmarks beside their peers; NAMES="parse write" picks some
	$(BIN)/python -m benchmarks $(NAMES)

fuzz: $(VENV)/.dev $(VENV)/.kernels  ## seeded fuzzing with fresh seeds; SECONDS=600 says how long (60)
	$(BIN)/python -m tests.fuzz $(or $(SECONDS),60)

soak: $(VENV)/.dev $(VENV)/.kernels  ## many simulated worlds, and every systematic fault in them; SEEDS=100000 START=1 say which (20,000)
	$(BIN)/python -m tests.simulation --seeds $(or $(SEEDS),20000) --start $(or $(START),1000000)

clean:  ## remove everything that make made
	rm -rf $(VENV) build dist *.egg-info dicomcore/_core/*.so .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# -- stamps ------------------------------------------------------------------------------------------------------------

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("dicomcore needs Python 3.11 or newer")'
	$(PYTHON) -m venv $(VENV)

# Kernels are built in place, so the editable install need not be made again when one changes.
$(VENV)/.dev: pyproject.toml setup.py | $(BIN)/python
	$(BIN)/python -m pip install -qq --disable-pip-version-check 'setuptools>=77' 'Cython>=3.1'
	DICOMCORE_KERNELS=0 $(BIN)/python -m pip install -qq --disable-pip-version-check --no-build-isolation -e '.[dev]'
	touch $@

$(VENV)/.kernels: setup.py $(KERNELS) | $(VENV)/.dev
	$(BIN)/python setup.py -q build_ext --inplace
	touch $@

# The demo needs less than the tests do; where the tests' install is, it serves the demo too.
$(VENV)/.demo: pyproject.toml setup.py $(KERNELS) $(shell find dicomcore -name '*.py') | $(BIN)/python
	$(BIN)/python -m pip install -qq --disable-pip-version-check '.[cli]'
	touch $@
