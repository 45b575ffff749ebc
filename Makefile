# Two commands: `make demo` and `make test`. Each sets up .venv by itself; a second call is fast.
# torch on more than one thread is far slower on the small operations here when cores are shared,
# so everything below runs on one unless OMP_NUM_THREADS says otherwise.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
export OMP_NUM_THREADS ?= 1
export OMP_WAIT_POLICY ?= passive
ifneq ($(wildcard ../shared/data),)
export FAIRPO_DATA ?= ../shared/data
endif

.PHONY: help install demo test test-slow lint types bench clean

help:
	@echo "make demo       train every method on the embedded digit scenes; table and runs/demo/report.html"
	@echo "make test       lint, types and tests"
	@echo "make test-slow  the tests that take minutes"
	@echo "make bench      the benchmarks of docs/benchmarks.md"

install: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	@echo "setting up $(VENV) (about 80 s the first time)"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "fairpo needs Python 3.11 or newer, got " + sys.version.split()[0] + ". Try: make PYTHON=python3.11 $(MAKECMDGOALS)")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev]"
	@touch $(STAMP)

demo: $(STAMP)
	@$(BIN)/fairpo demo

lint: $(STAMP)
	@echo "lint: ruff, codespell"
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/codespell

types: $(STAMP)
	@echo "types: mypy --strict"
	@$(BIN)/mypy

test: lint types
	@echo "tests, one process a core"
	@$(BIN)/python -m pytest -n auto --dist loadfile

test-slow: $(STAMP)
	@$(BIN)/python -m pytest -m slow

bench: $(STAMP)
	@for file in benchmarks/*.py; do echo "== $$file"; $(BIN)/python $$file || exit 1; done

clean:
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache
