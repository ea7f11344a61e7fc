PART   ?= fine
STACK  ?= openmmlab
PYTEST_ARGS ?=

# Without PYTHON an environment that is there stays as it is, whichever Python it was made from.
PYTHON ?=
SETUP   = $(or $(PYTHON),python3) requirements/install.py --stack $(STACK) \
          $(if $(PYTHON),--rebuild-with-this-python)
ENV     = $(if $(filter onedl,$(STACK)),.venv-onedl,.venv)

# Threads that wait spin for long by default; where anything else runs on the machine, a training step then takes many
# times as long. A short spin costs little on an idle one.
export GOMP_SPINCOUNT ?= 4000

.DEFAULT_GOAL := help
.PHONY: help setup demo test coverage lint clean

help:
	@echo 'make demo [PART=fine|cfsam|scsa|cla]  train a stock model and the same with the part, side by side'
	@echo 'make test [PYTEST_ARGS=...]           run the tests'
	@echo 'make coverage [PYTEST_ARGS=...]       run those of layers and components; fails where they leave out too many lines'
	@echo 'make lint                             check style and types: ruff, mypy'
	@echo 'make setup                            make the environment that both of them use, and make by themselves'
	@echo 'make clean                            remove the environments and what was built; compiled wheels stay cached'
	@echo
	@echo 'STACK=openmmlab|onedl  the toolboxes: OpenMMLab in .venv (default), or OneDL in .venv-onedl'
	@echo 'PYTHON=...             make the environment from this Python, and use its torch where it has one'

setup:
	@$(SETUP)

demo: setup
	@$(ENV)/bin/python tools/demo.py --part $(PART)

test: setup
	$(ENV)/bin/python -m pytest $(PYTEST_ARGS)

coverage: setup
	$(ENV)/bin/python -m coverage run -m pytest $(PYTEST_ARGS) tests/layers tests/models
	$(ENV)/bin/python -m coverage report

lint: setup
	$(ENV)/bin/python -m ruff check
	$(ENV)/bin/python -m mypy

clean:
	rm -rf .venv .venv-onedl .venv*.lock .venv*.old build dist *.egg-info mmxattn/.mim .pytest_cache .ruff_cache .mypy_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
