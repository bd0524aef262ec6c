# The two commands of a newcomer are `make demo` and `make test`; `make help` lists the rest.

PYTHON ?= $(or $(shell command -v python3.11),$(shell command -v python3))
VENV := .venv
BIN := $(VENV)/bin

.PHONY: help install demo run test bench chaos lint lock
.DEFAULT_GOAL := help

help: ## list the targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*##/\t/' | expand -t 12

install: $(VENV)/.installed ## install what the service needs into .venv

$(VENV)/bin/pip:
	@test -n "$(PYTHON)" || { echo "CodeNotify needs Python 3.11 or newer: install it, or name it with make PYTHON=/path/to/python3"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "CodeNotify needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) -V). Name another one with make PYTHON=/path/to/python3"; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { echo "$(PYTHON) could not make a virtual environment. On Debian and Ubuntu: apt install python3-venv"; rm -rf $(VENV); exit 1; }

$(VENV)/.installed: requirements.txt | $(VENV)/bin/pip
	@echo "Installing into $(VENV) ..."
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements.txt
	@touch $@

$(VENV)/.installed-dev: requirements-dev.txt $(VENV)/.installed
	@echo "Installing what the tests need into $(VENV) ..."
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.txt
	@touch $@

demo: install ## show it all in a small world of its own, without accounts or network
	@$(BIN)/python manage.py demo

run: install ## start web, worker and beat
	@$(BIN)/python manage.py migrate --verbosity 0
	@$(BIN)/python manage.py up

test: $(VENV)/.installed-dev ## run all tests; two files at a time: make test ARGS='-n 2 --dist loadfile'
	@$(BIN)/python -m pytest $(ARGS)

bench: $(VENV)/.installed-dev ## measure planning, sending, syncing and the scheduler, or a part: make bench ARGS=ticking
	@$(BIN)/python -m tests.benchmarks $(ARGS)

chaos: $(VENV)/.installed-dev ## kill everything for ten minutes, and see whether each occurrence is finished and each reminder sent
	@$(BIN)/python -m tests.chaos $(ARGS)

lint: $(VENV)/.installed-dev ## format check, lint, types, missing migrations, import rules
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy .
	@$(BIN)/python manage.py makemigrations --check --dry-run
	@$(BIN)/lint-imports

lock: $(VENV)/.installed-dev ## pin the newest allowed versions, with hashes
	@$(BIN)/uv pip compile -q --upgrade --generate-hashes --universal --python-version 3.11 --no-header --no-emit-index-url --no-annotate pyproject.toml -o requirements.txt
	@$(BIN)/uv pip compile -q --upgrade --generate-hashes --universal --python-version 3.11 --no-header --no-emit-index-url --no-annotate -c requirements.txt --group dev pyproject.toml -o requirements-dev.txt
