# `make` lists the targets. Each makes the environment it needs; .venv belongs to make.

PACKAGE_FILES := pyproject.toml constraints.txt

# $(call find,NAMES,TEST): the first of these Pythons that runs and passes the test.
find = $(shell for python in $(1); do \
	"$$python" -c 'import sys; $(2)' 2>/dev/null && { echo "$$python"; break; }; done)
# $(call named,VERSIONS): python3.X on the PATH, then in pyenv where that exists.
named = $(foreach version,$(1),python$(version) \
	$(shell pyenv whence --path python$(version) 2>/dev/null))

# The Pythons that have packages of the versions in constraints.txt.
SUPPORTED := assert (3, 11) <= sys.version_info < (3, 15)
CANDIDATES = python3 $(call named,3.14 3.13 3.12 3.11)
PYTHON ?= $(or $(call find,$(CANDIDATES),$(SUPPORTED); import ensurepip),$(call \
	find,$(CANDIDATES),$(SUPPORTED)),python3)
PYTHON_NEWEST ?= $(call find,$(call named,3.14 3.13 3.12),import ensurepip)
PYTHON_OLDEST ?= $(call find,$(call named,3.11),import ensurepip)

# Test processes: one for each core, eight at most.
JOBS ?= $(shell nproc 2>/dev/null || getconf _NPROCESSORS_ONLN)
PYTEST = -m pytest -n $(JOBS) --maxprocesses 8 $(ARGS)

export PIP_DISABLE_PIP_VERSION_CHECK := 1
.NOTPARALLEL: # two installations into one environment must not meet
.PHONY: help train test test-torch test-stax test-faults test-modes check format notebooks \
	docs bench test-newest test-oldest test-onnx clean

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | while IFS="$$(printf '\t')" \
		read -r target text; do printf '  make %-12s %s\n' "$$target" "$$text"; done

train: .venv/.train ## train LeNet on handwritten digits; ARGS="--epochs 5" adds options
	.venv/bin/lenetjax train $(ARGS)

test: .venv/.test ## run the tests; JOBS=1 for one process, ARGS="-k name" for some
	.venv/bin/python $(PYTEST)

# Ten times as many examples for each comparison with PyTorch; and the variants that
# `make test` leaves out, as the laws of all configurations in the catalogue. Random files
# for a minute, other ones each time.
test-torch: .venv/.test ## compare with PyTorch and check laws at length
	.venv/bin/python $(PYTEST) --hypothesis-profile=sweep tests/test_torch_*.py
	.venv/bin/python $(PYTEST) --hypothesis-profile=sweep -m variant tests
	LENETJAX_FUZZ=2 .venv/bin/python $(PYTEST) tests/test_fuzz.py

# jax's own tests of stax, of which jax has no copy in its packages, run on ours.
OLD_STAX = from jax.example_libraries import stax
NEW_STAX = from lenetjax.interop import stax

test-stax: .venv/.test ## run jax's tests/stax_test.py on ours; STAX_TEST=path/to/it
	@grep -qx '$(OLD_STAX)' "$(STAX_TEST)" 2>/dev/null || { \
		echo "make: set STAX_TEST to tests/stax_test.py of a copy of jax" >&2; exit 1; }
	sed 's/^$(OLD_STAX)$$/$(NEW_STAX)/' "$(STAX_TEST)" > .venv/stax_test.py
	JAX_PLATFORMS=cpu JAX_NUM_GENERATED_CASES=1000 .venv/bin/python .venv/stax_test.py

# 200 kills, 50 races, and more random files than in `make test`.
test-faults: .venv/.test ## kill, cut and corrupt trainings and files at length
	LENETJAX_FAULTS=1 .venv/bin/python -m pytest $(ARGS) tests/test_faults.py \
		tests/test_fuzz.py tests/test_checkpoint.py

# Some ten minutes for each mode; ARGS=64 for that one.
test-modes: .venv/.test ## run the tests with 64 bits, without jit, without a home, ...
	.venv/bin/python tests/modes.py $(ARGS)

check: .venv/.dev ## lint, formatting and types
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy --strict lenetjax

format: .venv/.dev ## put imports and layout in order
	.venv/bin/ruff check --fix .
	.venv/bin/ruff format .

notebooks: .venv/.notebook ## run the notebooks and write their outputs into them
	.venv/bin/python notebooks/run.py

docs: .venv/.docs ## build the manual; it begins with docs/_build/html/index.html
	.venv/bin/python -m sphinx -W --keep-going -q docs docs/_build/html

bench: .venv/.bench ## measure lenetjax beside its peers; ARGS=--quick to try it
	.venv/bin/python -m benchmarks $(ARGS)

test-newest: ## run the tests on the newest Python here and the newest jax
	@if [ -z "$(PYTHON_NEWEST)" ]; then \
		echo "make: no Python newer than 3.11 here; nothing to test"; \
	else \
		set -ex; \
		"$(PYTHON_NEWEST)" -m venv --clear .venv-newest; \
		.venv-newest/bin/python -m pip install -q --upgrade jax -e '.[test]'; \
		.venv-newest/bin/python $(PYTEST); \
	fi

# The lowest versions are those that pyproject.toml names.
LOWEST = import tomllib; project = tomllib.load(open("pyproject.toml", "rb"))["project"]; \
	print(*(text.replace(">=", "==") for text in project["dependencies"]))

test-oldest: ## run the tests on Python 3.11 with the oldest supported versions
	@[ -n "$(PYTHON_OLDEST)" ] || { echo "make: found no Python 3.11" >&2; exit 1; }
	"$(PYTHON_OLDEST)" -m venv --clear .venv-oldest
	.venv-oldest/bin/python -m pip install -q -e '.[test]' \
		$$(.venv-oldest/bin/python -c '$(LOWEST)')
	.venv-oldest/bin/python $(PYTEST)

# jax2onnx wants an older Orbax than the tests, so it has an environment of its own.
ONNX = -m pip install -q -c constraints-onnx.txt
test-onnx: ## convert nets to ONNX and run them in onnxruntime
	"$(PYTHON)" -m venv --clear .venv-onnx
	.venv-onnx/bin/python $(ONNX) hatchling editables
	.venv-onnx/bin/python $(ONNX) --no-build-isolation -e . jax2onnx onnxruntime pytest \
		hypothesis
	.venv-onnx/bin/python -m pytest -W default $(ARGS) tests/onnx_recipe.py

clean: ## remove the environments, caches and the manual; runs/ stays
	rm -rf .venv .venv-newest .venv-oldest .venv-onnx .hypothesis .mypy_cache .pytest_cache \
		.ruff_cache dist docs/_build docs/notebooks docs/reference
	find docs lenetjax tests -name __pycache__ -prune -exec rm -rf {} +

.venv/.made:
	@"$(PYTHON)" -c 'import sys; $(SUPPORTED)' 2>/dev/null || { \
		echo "make: found no Python from 3.11 to 3.14; install one," \
			"or name it: make PYTHON=/path/to/python3" >&2; exit 1; }
	@"$(PYTHON)" -c 'import ensurepip' 2>/dev/null || { \
		echo "make: $(PYTHON) cannot make environments; install its venv package" \
			"(on Debian and Ubuntu: apt install python3-venv)" >&2; exit 1; }
	"$(PYTHON)" -m venv --clear .venv
	@touch $@

# .venv/.EXTRA says that lenetjax[EXTRA] is installed, with the versions pinned.
.venv/.%: .venv/.made $(PACKAGE_FILES)
	@echo "Installing lenetjax[$*] into .venv; the first time takes a few minutes."
	.venv/bin/python -m pip install -q -c constraints.txt hatchling editables
	.venv/bin/python -m pip install -q -c constraints.txt --no-build-isolation -e '.[$*]'
	@touch $@
