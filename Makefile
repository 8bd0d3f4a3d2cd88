# `make` lists the targets. PYTHON=python3.12 runs any of them with another Python,
# in a virtual environment of its own.

PYTHON ?= python3
VENV := .venv$(patsubst python%,-%,$(filter-out python3,$(notdir $(PYTHON))))
LOWEST := $(VENV)-lowest
BENCH := $(VENV)-bench
BIN := $(VENV)/bin

UV_COMPILE = $(BIN)/uv pip compile --quiet --no-config --universal --python-version 3.11 \
	--custom-compile-command 'make lock' --extra cli --extra embedded pyproject.toml

.DEFAULT_GOAL := help
.PHONY: help demo test test-lowest mutants bench lint lock clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

demo: $(VENV)/installed ## Run the demo on a PostgreSQL of its own (data in .demo/)
	@exec $(BIN)/python examples/demo.py

test: lint ## Run every gate: lint, then the tests with branch coverage
	$(BIN)/python -m pytest --cov --cov-report=term

test-lowest: $(LOWEST)/installed ## Run the tests with the oldest dependencies allowed
	$(LOWEST)/bin/python -m pytest

mutants: $(VENV)/installed ## Break each law on purpose; see that a named test notices
	$(BIN)/python tests/mutation.py

bench: $(BENCH)/installed ## Compare the peers (BENCH_OPTIONS="--quick": see that it runs)
	$(BENCH)/bin/python -m benchmarks $(BENCH_OPTIONS)

lint: $(VENV)/installed ## Check format, style, types and layers
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	PATH="$(CURDIR)/$(BIN):$$PATH" pyright
	PATH="$(CURDIR)/$(BIN):$$PATH" pyright --ignoreexternal --verifytypes pgsession
	$(BIN)/lint-imports

lock: $(VENV)/installed ## Renew requirements/*.txt (UPGRADE=1: to the newest versions)
	$(UV_COMPILE) --group dev --generate-hashes $(if $(UPGRADE),--upgrade) -o requirements/dev.txt
	$(UV_COMPILE) --no-deps --resolution lowest-direct --no-header -o $(VENV)/lowest-direct.txt
	cp requirements/dev.txt requirements/lowest.txt
	$(UV_COMPILE) --group dev --generate-hashes --no-annotate \
		--constraint $(VENV)/lowest-direct.txt -o requirements/lowest.txt
	$(UV_COMPILE) --generate-hashes $(if $(UPGRADE),--upgrade) \
		--constraint requirements/dev.txt benchmarks/requirements.in -o requirements/bench.txt

clean: ## Remove environments, caches, build output and the demo's data
	rm -rf .venv .venv-* .demo .coverage .coverage.* build dist htmlcov
	rm -rf .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find . -name .git -prune -o -name __pycache__ -prune -exec rm -rf {} +

$(VENV)/installed: requirements/dev.txt
$(LOWEST)/installed: requirements/lowest.txt
$(BENCH)/installed: requirements/bench.txt

%/installed: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit(f"pgsession needs Python 3.11 or later, and $(PYTHON) is {sys.version.split()[0]}: try make PYTHON=python3.12")'
	$(PYTHON) -m venv --clear $*
	$*/bin/python -m pip install --quiet --require-hashes -r $(filter requirements/%,$^)
	$*/bin/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@
