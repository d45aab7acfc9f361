# Every target works from a fresh clone: what it needs is installed into .venv first.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
# For two cores: a third of the time, tests wait for processes that they have started.
PYTEST_WORKERS ?= 3
PROJECTS = core/pyproject.toml $(wildcard $(addsuffix /*/pyproject.toml,plugins contrib_connectors themes)) bench/pyproject.toml

unexport PYTHONDONTWRITEBYTECODE  # else each process that tests start would compile everything again

.DEFAULT_GOAL := help
.PHONY: help setup demo test browser faults lint types imports bench docs check constraints clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

$(VENV)/.installed: $(PROJECTS) pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -c 'import sys; sys.exit(sys.version_info < (3, 11) and "zhike needs Python 3.11 or newer")'
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade "pip>=25.1"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt --group dev $(PROJECTS:%/pyproject.toml=-e %)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps lifetimes==0.11.3  # only its data file is used
	touch $@

setup: $(VENV)/.installed ## install everything into .venv

demo: setup ## start Zhike on a sample company
	$(BIN)/zhike demo

test: setup ## run the tests on the embedded database, but for the heaviest, which CI runs
	$(BIN)/python -m pytest -n $(PYTEST_WORKERS) --dist loadgroup -m "not heavy and not browser"

browser: setup ## look at every page of the sample company in Debian's Chromium
	$(BIN)/python -m pytest tests/browser -n $(PYTEST_WORKERS) --dist loadgroup

faults: setup ## run the fault tests at full size
	ZHIKE_FAULT_SCALE=1 $(BIN)/python -m pytest -m faults -s --timeout 1800

lint: setup ## ruff: style and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: setup ## mypy strict
	$(BIN)/mypy $(wildcard $(PROJECTS:%/pyproject.toml=%/src)) bench/limits

imports: setup ## import-linter: who may import whom
	$(BIN)/lint-imports

bench: setup ## performance figures at full size
	$(BIN)/zhike bench

docs: setup ## write the generated pages of docs/
	$(BIN)/python docs/generate.py

check: lint types imports test ## everything that needs no server

constraints: ## renew the pins (needs uv)
	uv pip compile --universal --python-version 3.11 --no-header --no-annotate --no-emit-index-url --no-emit-find-links \
	  --group dev $(PROJECTS) | grep -v '^-e ' > constraints.txt

clean: ## remove what the targets made
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis
