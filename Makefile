# Everything a newcomer needs: Python 3.11 or newer, and make. `make demo` first, then `make test`.
# PYTHON=/path/to/python3.12 chooses the interpreter that .venv is made with.

VENV := .venv
PY := $(VENV)/bin/python
STAMP := $(VENV)/.installed
unexport PYTHONDONTWRITEBYTECODE # dozens of processes would each compile the source again
NOT_ALONE := http_load.py precision_study.py routing.py sampler_study.py
BENCHES = $(filter-out $(addprefix tests/benchmarks/,$(NOT_ALONE)),$(shell grep -l __main__ tests/benchmarks/*.py))
CANDIDATES := $(if $(PYTHON),$(PYTHON),python3 python3.13 python3.12 python3.11 python3.14 python)

.DEFAULT_GOAL := help
.PHONY: help demo test test-ray test-rest test-all check format bench

help:
	@echo 'make demo      draw a small world, fit, label, serve, and write demo/report.html (about five minutes)'
	@echo 'make test      check, then the tests'
	@echo 'make test-all  check, then all tests, the slow ones too'
	@echo 'make check     ruff, ruff format --check, mypy, import-linter'
	@echo 'make format    let ruff put the code in order'
	@echo 'make bench     run the benchmarks in tests/benchmarks that need no data, one after the other (an hour)'

demo: $(STAMP)
	@echo '==> demo: draws a world in ./demo, then add, fit, label, serve, report'
	$(PY) -m cluster demo

test: check
	@echo '==> tests: those that start a Ray, and all others beside them, which are told of when they are through'
	@$(MAKE) --no-print-directory -j2 --keep-going test-ray test-rest

test-ray:
	$(PY) -m pytest tests/cluster tests/serve

test-rest:
	@$(PY) -m pytest --ignore=tests/cluster --ignore=tests/serve >$(VENV)/test-rest.txt 2>&1; code=$$?; cat $(VENV)/test-rest.txt; exit $$code

test-all: check
	@echo '==> all tests, the slow ones too'
	$(PY) -m pytest -m ''

check: $(STAMP)
	@echo '==> lint, format, types, imports'
	$(PY) -m ruff check
	$(PY) -m ruff format --check
	$(PY) -m mypy
	$(VENV)/bin/lint-imports

format: $(STAMP)
	$(PY) -m ruff check --fix
	$(PY) -m ruff format

bench: $(STAMP)
	@echo '==> benchmarks'
	@set -e; for bench in $(BENCHES); do echo "==> $$bench"; OMP_NUM_THREADS=1 $(PY) "$$bench"; done

$(PY):
	@set -e; for python in $(CANDIDATES); do \
	  if command -v "$$python" >/dev/null 2>&1 && "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
	    echo "==> making $(VENV) with $$($$python --version) ($$(command -v $$python))"; \
	    "$$python" -m venv $(VENV) && exit 0; \
	    rm -rf $(VENV); \
	    echo "error: $$python cannot make a virtual environment (Debian, Ubuntu: apt install python3-venv)" >&2; exit 1; \
	  fi; \
	done; \
	echo 'error: found no Python 3.11 or newer (tried: $(CANDIDATES)); install one, or say make PYTHON=/path/to/python' >&2; exit 1

$(STAMP): pyproject.toml | $(PY)
	@echo '==> installing into $(VENV) (first time: some minutes; torch and ray are large)'
	$(PY) -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	@touch $(STAMP)
