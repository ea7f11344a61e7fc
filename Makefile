PART   ?= fine
STACK  ?= openmmlab
PYTEST_ARGS ?=
JOBS   ?= $(shell nproc)

# Without PYTHON, an existing environment is kept, regardless of the Python that it was created from.
PYTHON ?=
SETUP   = $(or $(PYTHON),python3) requirements/install.py --stack $(STACK) \
          $(if $(PYTHON),--rebuild-with-this-python)
ENV     = $(if $(filter onedl,$(STACK)),.venv-onedl,.venv)

# Tests run in one single-threaded process per core.
PYTEST  = -m pytest -n $(JOBS) --dist worksteal $(PYTEST_ARGS)

# Idle OpenMP threads spin by default, which slows down everything else on a few cores.
export GOMP_SPINCOUNT ?= 4000
test test-all coverage: export OMP_NUM_THREADS = 1

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-all coverage lint clean

help:
	@echo 'make demo [PART=fine|cfsam|scsa|cla]  train a stock model and the same model with a module, and compare them'
	@echo 'make test [PYTEST_ARGS=...]           run the tests that are not marked slow'
	@echo 'make test-all [PYTEST_ARGS=...]       run all tests'
	@echo 'make coverage [PYTEST_ARGS=...]       run all tests of layers, ops and models; fail below the required line coverage'
	@echo 'make lint                             check style, types, imports and language'
	@echo 'make setup                            create the environment (all targets above do this first)'
	@echo 'make clean                            remove environments and build products; compiled wheels stay cached'
	@echo
	@echo 'STACK=openmmlab|onedl  OpenMMLab in .venv (default), or OneDL in .venv-onedl'
	@echo 'PYTHON=...             create the environment from this Python, and use its torch if it has one'
	@echo 'JOBS=...               number of test processes (default: number of cores)'

setup:
	@$(SETUP)

demo: setup
	@$(ENV)/bin/python tools/demo.py --part $(PART)

test: setup
	$(ENV)/bin/python $(PYTEST) -m 'not slow'

test-all: setup
	$(ENV)/bin/python $(PYTEST)

coverage: setup
	$(ENV)/bin/python -m coverage erase
	$(ENV)/bin/python -m coverage run $(PYTEST) tests/layers tests/ops tests/models
	$(ENV)/bin/python -m coverage combine --quiet
	$(ENV)/bin/python -m coverage report

lint: setup
	$(ENV)/bin/python -m ruff check
	$(ENV)/bin/python -m mypy
	$(ENV)/bin/lint-imports --no-cache
	$(ENV)/bin/python .ci/check_language.py

clean:
	rm -rf .venv .venv-onedl .venv*.lock .venv*.old build dist *.egg-info mmxattn/.mim .pytest_cache .ruff_cache .mypy_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
