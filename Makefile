# Everything that a developer or CI runs. Needs make, git and a Python of 3.11 or newer; the rest comes from the registries.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

VENV   := .venv
BIN    := $(VENV)/bin
UV     := $(BIN)/uv
READY  := $(VENV)/.ready
AWSCLI := 1.46.2
CLI    := .venv-cli/.ready-$(AWSCLI)
LANGCHAIN_AWS := 1.9.1
LANGCHAIN := .venv-langchain/.ready-$(LANGCHAIN_AWS)
AIRFLOW ?= 3.3
PYTHON_VERSION ?= 3.11
# Processes that share the tests, 0 for none but this one. Each collects for itself, so all have one hash seed.
WORKERS ?= 2
MATRIX := .venv-airflow-$(AIRFLOW)-py$(PYTHON_VERSION)

export UV_LINK_MODE ?= copy
export UV_NO_PROGRESS ?= 1
# An interpreter is the machine's business; nothing is fetched from outside the registries.
export UV_PYTHON_DOWNLOADS ?= never
export PIP_DISABLE_PIP_VERSION_CHECK ?= 1

# A virtual environment needs the interpreter's own ensurepip, which some distributions package apart.
USABLE := import sys, ensurepip, venv; sys.exit(not sys.version_info >= (3, 11))

.PHONY: help
help:  ## list the commands
	@grep -hE '^[a-z0-9-]+:.*  ## ' $(MAKEFILE_LIST) | sed -E 's/:.*  ## /\t/' | expand -t 16

.PHONY: setup
setup: $(READY)  ## make .venv with all that development needs; does nothing when up to date

$(VENV)/bin/uv:
	@python=; \
	for candidate in $(PYTHON) python3 python3.13 python3.12 python3.11; do \
	    if $$candidate -c '$(USABLE)' >/dev/null 2>&1; then python=$$candidate; break; fi; \
	done; \
	if [ -z "$$python" ]; then \
	    echo "No usable Python: 3.11 or newer with its venv module is needed (on Debian: apt-get install python3-venv)." >&2; \
	    echo "Name one with: make setup PYTHON=/path/to/python3" >&2; \
	    exit 1; \
	fi; \
	[ -x $(BIN)/python ] || "$$python" -m venv $(VENV); \
	$(BIN)/python -m pip --version >/dev/null 2>&1 || $(BIN)/python -m ensurepip >/dev/null; \
	$(BIN)/python -m pip install --quiet -c constraints.txt uv

$(READY): $(VENV)/bin/uv pyproject.toml constraints.txt
	$(UV) pip install --quiet --python $(BIN)/python -c constraints.txt -e '.[local,numpy]' --group dev
	@touch $@

# The AWS CLI pins botocore exactly, so it gets an environment of its own.
$(CLI): $(VENV)/bin/uv
	$(UV) venv --quiet --clear --python $(BIN)/python .venv-cli
	$(UV) pip install --quiet --python .venv-cli/bin/python awscli==$(AWSCLI)
	@touch $@

# langchain-aws is a client that the local AWS is tested with, and no dependency; so it has its own, too.
$(LANGCHAIN): $(VENV)/bin/uv
	$(UV) venv --quiet --clear --python $(BIN)/python .venv-langchain
	$(UV) pip install --quiet --python .venv-langchain/bin/python -c constraints.txt langchain-aws==$(LANGCHAIN_AWS)
	@touch $@

.PHONY: lint
lint: setup  ## ruff, mypy --strict, import-linter, schemas of the compose file and the workflow
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/check-jsonschema --builtin-schema vendor.compose-spec docker-compose.yaml
	$(BIN)/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml

.PHONY: format
format: setup  ## let ruff format and fix what it can
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

.PHONY: test
test: lint $(CLI) $(LANGCHAIN)  ## lint, then unit, contract and integration tests with the coverage gate
	PYTHONHASHSEED=0 $(BIN)/python -m pytest -n $(WORKERS) --cov --cov-report=term

.PHONY: e2e
e2e: setup  ## the provider on a real Airflow, PostgreSQL and the compose file's services
	$(BIN)/python -m pytest tests/e2e

.PHONY: demo
demo: setup  ## run the example DAGs on a real Airflow against the local AWS
	$(BIN)/python tests/e2e/run_demo.py

.PHONY: up
up: setup  ## the same, left running with its UI
	$(BIN)/python tests/e2e/run_demo.py --keep

.PHONY: browser
browser: setup  ## tests in a real browser; on Debian: apt-get install chromium chromium-driver
	@command -v chromedriver >/dev/null || { echo "chromedriver is needed (on Debian: apt-get install chromium chromium-driver)." >&2; exit 1; }
	$(BIN)/python -m pytest tests/browser

.PHONY: system
system: setup  ## where a real account puts outputs; buys four inferences: ENDPOINT=name [OPTIONS='--input s3://...']
	@[ -n "$(ENDPOINT)" ] || { echo "Name an asynchronous endpoint: make system ENDPOINT=name" >&2; exit 1; }
	$(BIN)/python -m tests.system.check_output_locations "$(ENDPOINT)" $(OPTIONS)

.PHONY: bench
bench: setup  ## the benchmarks, each beside what a user would pick instead
	$(BIN)/python benchmarks/run_all.py

.PHONY: wheel
wheel: setup  ## build the wheel into dist/
	rm -rf dist
	$(UV) build --quiet --wheel --out-dir dist
	@ls dist/*.whl

.PHONY: wheel-check
wheel-check: wheel  ## install the built wheel into an empty environment, look at it through Airflow, run the README's DAG
	rm -rf .venv-wheel
	$(UV) venv --quiet --python $(BIN)/python .venv-wheel
	$(UV) pip install --quiet --python .venv-wheel/bin/python -c constraints.txt dist/*.whl
	.venv-wheel/bin/python -I tests/e2e/check_installed.py
	$(BIN)/python tests/e2e/run_readme_dag.py .venv-wheel/bin/airflow
	rm -rf .venv-wheel

.PHONY: test-lowest
test-lowest: $(VENV)/bin/uv $(CLI) $(LANGCHAIN)  ## the tests with every direct dependency at its floor
	[ -x .venv-lowest/bin/python ] || $(UV) venv --quiet --python $(PYTHON_VERSION) .venv-lowest
	$(UV) pip install --quiet --python .venv-lowest/bin/python --resolution lowest-direct -e '.[local,numpy]' --group dev
	.venv-lowest/bin/python -m pytest

.PHONY: test-matrix
test-matrix: $(VENV)/bin/uv $(CLI) $(LANGCHAIN)  ## the tests on another Airflow and Python: AIRFLOW=3.1 PYTHON_VERSION=3.12
	[ -x $(MATRIX)/bin/python ] || $(UV) venv --quiet --python $(PYTHON_VERSION) $(MATRIX)
	$(UV) pip install --quiet --python $(MATRIX)/bin/python -e '.[local,numpy]' --group dev 'apache-airflow==$(AIRFLOW).*'
	$(MATRIX)/bin/python -m pytest

.PHONY: constraints
constraints: $(VENV)/bin/uv  ## pin anew what CI installs
	$(UV) pip compile --quiet --upgrade --universal --strip-extras --no-annotate --no-emit-index-url --no-header \
	    --all-extras --group dev pyproject.toml -o constraints.txt

.PHONY: env
env: .env  ## write .env with fresh secrets for docker compose; never overwrites one

.env:
	@umask 077; python3 -c 'import base64, os, secrets; \
	print("AIRFLOW_FERNET_KEY=" + base64.urlsafe_b64encode(os.urandom(32)).decode()); \
	[print(name + "=" + secrets.token_urlsafe(32)) for name in \
	("AIRFLOW_JWT_SECRET", "AIRFLOW_API_SECRET_KEY", "AIRFLOW_ADMIN_PASSWORD", "POSTGRES_PASSWORD")]' > $@
	@echo "Wrote .env; log in as admin with the AIRFLOW_ADMIN_PASSWORD in it."

.PHONY: clean
clean:  ## remove the environments and everything that was made
	rm -rf .venv .venv-* build dist .run .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	rm -f .coverage .coverage.*
	find airflow_provider_aiml tests example_dags benchmarks -name __pycache__ -prune -exec rm -rf {} + 2>/dev/null || true
