# Everything below needs make and Python 3.11 or newer, nothing else; uv is used when it is there.
# `make test ARGS="-k inbox"` passes ARGS on (ARGS="-n 0": in one process). Set-up runs again only when pyproject.toml or requirements.lock has changed.

.DEFAULT_GOAL := help
.PHONY: help demo test reference chaos soak fuzz model coverage lint format bench lock clean
.SUFFIXES:

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.frontdesk-ready
IS_NEW_ENOUGH := -c 'import sys; sys.exit(sys.version_info < (3, 11))'
# An activated environment of someone else's must not be what is installed into.
unexport VIRTUAL_ENV PYTHONPATH PYTHONHOME

help: ## Show these lines
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

demo: $(STAMP) ## Set up, then talk to the demo desk
	@$(BIN)/frontdesk demo $(ARGS)

test: $(STAMP) ## Set up, then run the tests
	$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist worksteal $(ARGS)

# A long test may stand still for a while: the run shows where every thread stands only when it hangs.
CHAOS := $(BIN)/python -m pytest -s -o faulthandler_timeout=3600

chaos: $(STAMP) ## Kill, stop, cut off and fill up everything, for as long as it takes
	FRONTDESK_CHAOS=long $(CHAOS) tests/chaos tests/test_crashes.py $(ARGS)

soak: $(STAMP) ## Load a server for SECONDS (3600) and watch its memory
	FRONTDESK_CHAOS=long FRONTDESK_CHAOS_SOAK=$(or $(SECONDS),3600) $(CHAOS) tests/chaos/test_soak.py $(ARGS)

# Schemathesis has an environment of its own: what it needs is nobody else's business.
fuzz: $(STAMP) ## Send the server EXAMPLES (5000) times what no client should
	@if uv --version >/dev/null 2>&1; then uv --quiet venv --allow-existing --python $(BIN)/python $(VENV)/fuzz; \
		install="uv --quiet pip install --python $(VENV)/fuzz/bin/python"; \
	else $(BIN)/python -m venv $(VENV)/fuzz; install="$(VENV)/fuzz/bin/python -m pip install --quiet --disable-pip-version-check"; fi; \
	$$install --require-hashes -r tests/schemathesis.lock || echo "Schemathesis could not be installed; the rest goes on." >&2
	FRONTDESK_FUZZ=$(or $(EXAMPLES),5000) $(CHAOS) tests/test_server_fuzz.py tests/test_server_openapi_fuzz.py $(ARGS)

coverage: $(STAMP) ## Run the tests and show what they do not reach
	$(BIN)/python -m pytest --cov --cov-report=term $(ARGS)

lint: $(STAMP) ## Check style, format and types
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/basedpyright

format: $(STAMP) ## Mend style and format where that can be done by machine
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

bench: $(STAMP) ## Measure this checkout on this machine
	@if uv --version >/dev/null 2>&1; then install="uv --quiet pip install --python $(BIN)/python"; \
	else install="$(BIN)/python -m pip install --quiet --disable-pip-version-check"; fi; \
	$$install --no-deps --require-hashes -r bench/requirements.lock || echo "What is measured beside could not be installed." >&2
	$(BIN)/python -m frontdesk.bench.run $(ARGS)

model: $(STAMP) ## Check the models in docs/model (needs spin and gcc)
	@$(BIN)/python -m frontdesk.tests.spin

# What is measured beside gets the versions that are tested (--constraint); --override takes back a bound that only it has.
reference: $(STAMP) ## Write docs/reference.md from the docstrings
	$(BIN)/python .dev/reference.py > docs/reference.md

# Without `--no-config` a private index of this machine could decide which files are hashed.
lock: ## Choose current versions of all dependencies and write the three locks (needs uv)
	uv pip compile --no-config --universal --python-version 3.11 --upgrade --generate-hashes \
		--no-emit-index-url --no-emit-find-links --no-strip-extras --custom-compile-command "make lock" \
		--group dev --output-file requirements.lock --quiet pyproject.toml
	uv pip compile --no-config --universal --python-version 3.11 --upgrade --generate-hashes \
		--no-emit-index-url --no-emit-find-links --no-strip-extras --custom-compile-command "make lock" \
		--constraint requirements.lock --override bench/overrides.txt \
		--group bench --output-file bench/requirements.lock --quiet
	uv pip compile --no-config --universal --python-version 3.11 --upgrade --generate-hashes \
		--no-emit-index-url --no-emit-find-links --no-strip-extras --custom-compile-command "make lock" \
		--group fuzz --output-file tests/schemathesis.lock --quiet

clean: ## Remove the environment, caches and build results
	rm -rf $(VENV) dist build htmlcov .coverage .coverage.* .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find agents broker tasks server tests examples bench -name __pycache__ -type d -prune -exec rm -rf {} +

# The lock holds every package with its hashes, and what builds the project too: after it, nothing is fetched.
$(STAMP): pyproject.toml requirements.lock
	@set -eu; \
	python=; uv=; \
	for candidate in $(PYTHON) python3.13 python3.12 python3.11 python3 python; do \
		if "$$candidate" $(IS_NEW_ENOUGH) 2>/dev/null; then python=$$candidate; break; fi; \
	done; \
	if uv --version >/dev/null 2>&1; then uv="uv --quiet"; fi; \
	if [ -z "$$python$$uv" ]; then \
		echo "Frontdesk needs Python 3.11 or newer, and none was found in PATH (or set PYTHON=/path/to/python3)." >&2; \
		exit 1; \
	fi; \
	echo "Setting up $(VENV) (this is done once; it takes a minute without uv) ..."; \
	if ! $(BIN)/python $(IS_NEW_ENOUGH) 2>/dev/null; then \
		if [ -n "$$uv" ]; then $$uv venv --clear --python "$${python:->=3.11}" $(VENV); \
		else "$$python" -m venv --clear $(VENV); fi; \
	fi; \
	if [ -n "$$uv" ]; then \
		install="$$uv pip install --python $(BIN)/python"; compile=--compile-bytecode; \
	else \
		$(BIN)/python -m pip --version >/dev/null 2>&1 || $(BIN)/python -m ensurepip --default-pip >/dev/null; \
		install="$(BIN)/python -m pip install --quiet --disable-pip-version-check"; compile=--compile; \
	fi; \
	$$install $$compile --require-hashes -r requirements.lock; \
	$$install --no-deps --no-build-isolation --editable .; \
	touch $@
