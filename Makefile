# The entries to the project. On a fresh clone each makes .venv and installs what it needs, and no more; a second run
# installs nothing. `make PYTHON=python3.13 demo` takes another Python.

PYTHON ?= python3
ARGS ?=
PYTEST_ARGS ?=
# Four workers on two cores, for they often wait; each has servers and ports of its own. A file's tests stay with one
# worker, in their order, and files come in the order of tests/conftest.py, which spreads the ones that take long.
IN_PARALLEL ?= -n 4 --dist loadfile --no-loadscope-reorder

VENV := .venv
BIN := $(VENV)/bin
PIP_INSTALL := install --quiet --disable-pip-version-check --no-input --no-compile

# Where it is set (container images often do), each of the demo's processes would compile every module anew: 1 s each.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:
.PHONY: help demo test coverage nightly check bench bench-quick bench-guard wheel format lock clean

help:
	@echo 'make demo     run the demo              (ARGS="--for 30" are passed on to edgebus demo)'
	@echo 'make test     run every test            (PYTEST_ARGS="tests/bus -k channel" to pytest)'
	@echo 'make check    what CI runs: format, lint, types, imports, then the tests'
	@echo 'make coverage run every test and say which lines and branches none of them went through'
	@echo 'make nightly  the tests that take long: the whole laboratory in full size, the whole Autobahn library, more fuzzing'
	@echo 'make bench    ours beside its peers at the same work, half an hour; make bench-quick: three minutes (docs/benchmarks.md)'
	@echo 'make bench-guard   fails when a hot path, a connect or a publish got 15 % dearer (UPDATE=1: the new baseline)'
	@echo 'make wheel    build the wheel into dist/'
	@echo 'make format   format the code and fix what ruff can fix'
	@echo 'make lock     write the requirements files anew (UPGRADE=1: with the newest versions)'
	@echo 'make clean    remove everything that make, the tests and the tools made'

demo: $(VENV)/.runtime
	@$(BIN)/edgebus demo $(ARGS)

test: $(VENV)/.dev
	$(BIN)/python -m pytest $(IN_PARALLEL) $(PYTEST_ARGS)

# Apart from `make test`: to trace a process makes everything in it take 1.7 times the work (decisions/0081).
coverage: $(VENV)/.dev
	@$(MAKE) --no-print-directory test PYTEST_ARGS="--cov --cov-report=term $(PYTEST_ARGS)"

nightly: $(VENV)/.dev
	$(BIN)/python -m pytest -m nightly $(PYTEST_ARGS)
	@$(MAKE) --no-print-directory coverage
	FUZZ_TIMES=50 $(BIN)/python -m pytest $(IN_PARALLEL) --timeout 3000 tests/fuzz tests/edges/rooms/test_recovery_model.py

check: $(VENV)/.dev
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports
	@$(MAKE) --no-print-directory test

# One table of ratios, benchmarks/results/<date>.json and the chart of the README; ARGS="--only ours,floor" are passed on.
bench: $(VENV)/.dev
	@$(BIN)/python -m benchmarks.bench --write $(ARGS)

bench-quick: $(VENV)/.dev
	@$(BIN)/python -m benchmarks.bench --quick $(ARGS)

# `make test` has it as a test. UPDATE=1 belongs into the commit that changes a cost and says why (decisions/0161).
bench-guard: $(VENV)/.dev
	@$(BIN)/python -m benchmarks.guard $(if $(UPDATE),--update) $(ARGS)

# With the locked build backend, so nothing is fetched for it.
wheel: $(VENV)/.runtime
	@rm -f dist/edgebus-*.whl
	@$(BIN)/python -m hatchling build -t wheel -d dist

format: $(VENV)/.dev
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

# The second file is resolved under the first, so that both name the same versions.
lock: $(VENV)/.dev
	$(BIN)/pip-compile --quiet $(if $(UPGRADE),--upgrade) --extra demo --extra lock -o requirements.txt pyproject.toml
	$(BIN)/pip-compile --quiet $(if $(UPGRADE),--upgrade) --all-extras -c requirements.txt -o requirements-dev.txt pyproject.toml
	@for file in requirements.txt requirements-dev.txt; do \
		{ echo '# Made from pyproject.toml by `make lock`.' && grep -v '^# Made from' $$file; } > $(VENV)/lock && \
		cat $(VENV)/lock > $$file || exit 1; \
	done
	@for folder in tests/conformance benchmarks/peers/python_socketio; do \
		$(BIN)/pip-compile --quiet $(if $(UPGRADE),--upgrade) --no-config --generate-hashes --allow-unsafe --strip-extras \
			--no-header --no-annotate --no-emit-index-url --no-emit-trusted-host --no-emit-find-links \
			-o $$folder/requirements.txt $$folder/requirements.in || exit 1; \
	done

clean:
	rm -rf $(VENV) .conformance build dist htmlcov .coverage .coverage.* .hypothesis
	rm -rf .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find bus producers edges clients edgebus tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true

# The pip that a Python brings takes up to 20 s for what follows; the locked one, put there by it, takes 6 s. It comes
# out of requirements.txt, so that its hash is checked like any other.
$(VENV)/.pip:
	@command -v $(PYTHON) >/dev/null || { \
		echo "There is no $(PYTHON). Install Python 3.11 or newer, or name one: make PYTHON=/path/to/python3.12"; exit 1; } >&2
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "$$($(PYTHON) --version) is too old: edgebus needs 3.11 or newer. Name one: make PYTHON=/path/to/python3.12"; exit 1; } >&2
	@$(PYTHON) -c 'import venv; import pip' 2>/dev/null || $(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { \
		echo "$(PYTHON) has no venv or no pip. On Debian or Ubuntu: apt-get install python3-venv python3-pip"; exit 1; } >&2
	@echo 'Installing into $(VENV) (once; some ten seconds) ...'
	@$(PYTHON) -m venv --without-pip $(VENV)
	@sed -n '/^pip==/,/# via/p' requirements.txt > $(VENV)/pip.txt
	@$(PYTHON) -m pip --python $(BIN)/python $(PIP_INSTALL) --require-hashes -r $(VENV)/pip.txt 2>/dev/null || { \
		$(BIN)/python -m ensurepip >/dev/null && $(BIN)/python -m pip $(PIP_INSTALL) --require-hashes -r $(VENV)/pip.txt; }
	@touch $@

$(VENV)/.runtime: requirements.txt pyproject.toml | $(VENV)/.pip
	@$(BIN)/python -m pip $(PIP_INSTALL) --require-hashes -r requirements.txt
	@$(BIN)/python -m pip $(PIP_INSTALL) --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.dev: requirements-dev.txt $(VENV)/.runtime
	@echo 'Installing the tools of development into $(VENV) (once) ...'
	@$(BIN)/python -m pip $(PIP_INSTALL) --require-hashes -r requirements-dev.txt
	@touch $@
