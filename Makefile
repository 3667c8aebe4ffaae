# `make demo` and `make test` do everything on a fresh clone; they need Python 3.11 or newer, make
# and a package index.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
COMPILE := uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-header --no-emit-index-url --no-emit-find-links --custom-compile-command "make lock"

.PHONY: demo test test-fast check lint types docs reference chaos images bench lock clean

demo: $(VENV)/demo.installed
	@$(BIN)/scrapy demo

# Compiled once, also where the environment says not to keep what is compiled: pytest compiles all
# tests anew otherwise, in each of its processes.
test test-fast: export PYTHONDONTWRITEBYTECODE :=

# Four at a time, each process with servers of its own, as tests also wait. A process runs whole files,
# so that what a file needs is made once, in their order, which has the short ones at the end.
test: $(VENV)/test.installed
	$(BIN)/python -m pytest -n 6 --dist loadfile --no-loadscope-reorder

# Those that start neither servers nor other programs: about a minute.
test-fast: $(VENV)/test.installed
	$(BIN)/python -m pytest -n auto -m "not programs"

check: lint types test

lint: $(VENV)/test.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-cache

types: $(VENV)/test.installed
	$(BIN)/mypy

# Into build/docs; a warning, such as a link to a heading that is not there, fails it.
docs: $(VENV)/test.installed
	$(BIN)/python -m sphinx -W --keep-going -q -b html docs build/docs
	@echo "The documentation is in build/docs/index.html"

# Writes the pages of docs/reference that are made from the code.
reference: $(VENV)/test.installed
	$(BIN)/python -m docs.generator

# Half an hour of random kills and restarts instead of the seconds that `make test` spends on them.
chaos: $(VENV)/test.installed
	$(BIN)/python -m pytest tests/integration/test_chaos.py --chaos-minutes 30 -o faulthandler_timeout=0

# As root, with buildah and debootstrap: some minutes.
images: $(VENV)/test.installed
	$(BIN)/python -m pytest tests/deployment --images -o faulthandler_timeout=0

bench: $(VENV)/test.installed
	$(BIN)/python -m benchmarks

$(VENV)/%.installed: requirements/%.txt | $(BIN)/python
	@echo "Installing requirements/$*.txt into $(VENV) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $< || { \
		echo "Could not install the requirements: is a package index reachable (pip config list)?" >&2; \
		exit 1; }
	@touch $@

$(BIN)/python:
	@command -v $(PYTHON) >/dev/null || { \
		echo "$(PYTHON) was not found: install Python 3.11 or newer, or say PYTHON=/path/to/python." >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "$(PYTHON) is too old: Python 3.11 or newer is needed; say PYTHON=/path/to/python." >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
		echo "Python's venv module does not work: install it (on Debian: apt install python3-venv)." >&2; exit 1; }

# Needs uv. The files carry hashes and no index address, so that every index serves them.
lock:
	$(COMPILE) pyproject.toml requirements/runtime.in --extra xlsx --extra images --extra fast --output-file requirements/runtime.txt
	$(COMPILE) pyproject.toml --extra servers --extra xlsx --output-file requirements/demo.txt
	$(COMPILE) pyproject.toml --extra dev --output-file requirements/test.txt

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
