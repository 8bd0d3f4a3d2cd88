# `make` lists the targets. PYTHON=python3.13 runs a target with another Python,
# in a separate virtual environment.

PYTHON ?= python3
VENV := .venv
ifneq ($(PYTHON),python3)
VENV := .venv-$(or $(shell $(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null),missing)
endif
DEMO := $(VENV)-demo
LOWEST := $(VENV)-lowest
BENCH := $(VENV)-bench
MATRIX := $(VENV)-matrix
BIN := $(VENV)/bin
SITE := build/docs

# Each of the some 400 processes of the tests would otherwise compile all that it imports.
unexport PYTHONDONTWRITEBYTECODE

# A file's tests run in one process, as they share servers and browsers.
PYTEST = python -m pytest --numprocesses=auto --dist=loadfile --no-loadscope-reorder

# A lock file names a wheel for each package, so that its installation builds nothing.
UV_COMPILE = $(BIN)/uv pip compile --quiet --no-config --universal --python-version 3.11 \
	--only-binary :all: --generate-hashes --custom-compile-command 'make lock'

.DEFAULT_GOAL := help
.PHONY: help demo test tests covered test-lowest mutants matrix bench docs docs-release dist release lint style mypy pyright lock clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

demo: $(DEMO)/installed ## Run the demo with its own PostgreSQL server (data in .demo/)
	@PYTHONPATH=src exec $(DEMO)/bin/python examples/demo.py

# Lint comes first: what it finds would otherwise be lost in the output of the tests.
test: lint ## Run every gate: lint, and the tests with branch coverage
	@$(MAKE) --no-print-directory covered

covered: $(VENV)/installed
	$(BIN)/$(PYTEST) --cov --cov-report=term

tests: $(VENV)/installed ## Run the tests alone
	$(BIN)/$(PYTEST)

test-lowest: $(LOWEST)/installed ## Run the tests with the oldest dependencies allowed
	$(LOWEST)/bin/$(PYTEST)

mutants: $(VENV)/installed ## Break each law on purpose; check that a named test fails
	$(BIN)/python tests/mutation.py

matrix: $(VENV)/installed $(MATRIX)/installed ## Try each PostgreSQL, PgBouncer, Python and web server that is here
	$(BIN)/python -m tests.matrix --servers $(MATRIX)/bin/python $(MATRIX_OPTIONS)

bench: $(BENCH)/installed ## Compare the peers (BENCH_OPTIONS="--quick": only check that it runs)
	$(BENCH)/bin/python -m benchmarks $(BENCH_OPTIONS)

docs: $(VENV)/installed ## Build the site of the documentation; each warning is an error
	$(BIN)/python -m sphinx --fail-on-warning --keep-going --quiet --jobs=auto -b html -d $(SITE)/doctrees docs $(SITE)/html
	@echo "Open $(SITE)/html/index.html"

docs-release: $(VENV)/installed ## Add this version's pages to SITE_DIR (SITE_PATH=/, DOCS_VERSION=)
	@test -n "$(SITE_DIR)" || { echo "Name the folder of the site: make docs-release SITE_DIR=site" >&2; exit 2; }
	$(BIN)/python docs/publish.py "$(SITE_DIR)" --path "$(or $(SITE_PATH),/)" $(if $(DOCS_VERSION),--version "$(DOCS_VERSION)")

dist: $(VENV)/installed ## Build the sdist and the wheel in dist/, and try each in an empty environment
	$(BIN)/python -m tests.archives

release: $(VENV)/installed ## VERSION=1.2.3: test, build, commit, tag and push; CI uploads it
	@$(BIN)/python -m tests.archives.ready "$(VERSION)"
	$(MAKE) --no-print-directory test docs
	$(BIN)/bump-my-version bump --new-version "$(VERSION)"
	git push --atomic origin HEAD "v$(VERSION)"

lint: style ## Check format, style, types and imports
	@$(MAKE) --no-print-directory --jobs=2 mypy pyright

style: $(VENV)/installed
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/lint-imports

mypy: $(VENV)/installed
	$(BIN)/python -m tests.project.programs .programs
	MYPYPATH=.programs/testing $(BIN)/mypy src tests examples benchmarks docs .programs

pyright: $(VENV)/installed
	PATH="$(CURDIR)/$(BIN):$$PATH" pyright
	PATH="$(CURDIR)/$(BIN):$$PATH" pyright --ignoreexternal --verifytypes pgsession

lock: $(VENV)/installed ## Update requirements/*.txt (UPGRADE=1: to the newest versions)
	$(UV_COMPILE) $(if $(UPGRADE),--upgrade) --extra cli --extra dbsc --extra embedded --extra otel --group dev \
		pyproject.toml -o requirements/dev.txt
	$(UV_COMPILE) --constraint requirements/dev.txt --extra embedded --group demo \
		pyproject.toml -o requirements/demo.txt
	$(UV_COMPILE) $(if $(UPGRADE),--upgrade) --constraint requirements/dev.txt --extra embedded \
		--group matrix pyproject.toml -o requirements/matrix.txt
	$(UV_COMPILE) --no-deps --resolution lowest-direct --no-header --extra cli --extra dbsc --extra embedded \
		--extra otel pyproject.toml -o $(VENV)/lowest-direct.txt
	cp requirements/dev.txt requirements/lowest.txt
	$(UV_COMPILE) --no-annotate --constraint $(VENV)/lowest-direct.txt --extra cli --extra dbsc --extra embedded \
		--extra otel --group dev pyproject.toml -o requirements/lowest.txt
	$(UV_COMPILE) $(if $(UPGRADE),--upgrade) --constraint requirements/dev.txt --extra cli --extra dbsc \
		--extra embedded --extra otel pyproject.toml benchmarks/requirements.in -o requirements/bench.txt

clean: ## Remove environments, caches, build output and the demo's data
	rm -rf .venv .venv-* .demo .matrix .programs .coverage .coverage.* build dist htmlcov
	rm -rf benchmarks/node/node_modules .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find . -name .git -prune -o -name __pycache__ -prune -exec rm -rf {} +

$(VENV)/installed: requirements/dev.txt pyproject.toml
$(DEMO)/installed: requirements/demo.txt
$(MATRIX)/installed: requirements/matrix.txt
$(LOWEST)/installed: requirements/lowest.txt pyproject.toml
$(BENCH)/installed: requirements/bench.txt pyproject.toml

# The demo and the matrix run without installing the project.
%/installed: requirements/install.py
	@command -v $(PYTHON) >/dev/null || { echo "There is no $(PYTHON): name another Python, such as PYTHON=python3.12." >&2; exit 1; }
	@$(PYTHON) requirements/install.py $* $(filter requirements/%.txt,$^) $(if $(filter %-demo %-matrix,$*),,--project)
	@touch $@
