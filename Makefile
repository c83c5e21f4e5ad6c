# Each target makes its own virtual environment on a fresh machine, so that nothing is set up by hand.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# Byte code is made of what is imported, not of all that is installed: most of it never is.
INSTALL := $(BIN)/python -m pip install --quiet --no-compile --constraint constraints.txt --editable
# One thread each: small networks gain nothing from more, and threads that wait for a core are slow.
TEST_ENV := OMP_NUM_THREADS=1 MPLBACKEND=agg PYTHONWARNINGS=

.PHONY: demo test lint types unit doctest examples docs

demo: $(VENV)/.demo
	OMP_NUM_THREADS=1 $(BIN)/python examples/quickstart.py

# The site takes one core for minutes: beside the tests, which take what is left, no core waits.
test: lint
	$(MAKE) --jobs=2 unit docs types doctest

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.dev
	$(BIN)/mypy

unit: $(VENV)/.dev
	$(TEST_ENV) $(BIN)/python -m pytest -n auto

doctest: $(VENV)/.dev
	$(TEST_ENV) $(BIN)/python -m pytest --doctest-modules skmeta

examples: $(VENV)/.dev
	set -e; for example in examples/*.py; do echo $$example; \
		$(TEST_ENV) $(BIN)/python -W error $$example; done

# Runs every example and notebook too, so that `make test` leaves `make examples` out.
docs: $(VENV)/.dev
	rm -rf docs/_build docs/api docs/gallery
	$(TEST_ENV) $(BIN)/python -m sphinx -b html -n -W --keep-going -q docs docs/_build/html
	$(BIN)/python docs/check_links.py docs/_build/html

$(VENV)/.demo: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(INSTALL) '.[plot]'
	touch $@

$(VENV)/.dev: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(INSTALL) '.[dev]'
	touch $@
