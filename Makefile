# Everything a newcomer needs, on a fresh Debian or Ubuntu with python3 (3.11 to 3.14), python3-venv and make.
# Another interpreter:      make install PYTHON=python3.12
# More arguments for pip:   make install PIP_ARGS="--extra-index-url https://download.pytorch.org/whl/cpu"
# More for pytest:          make test PYTEST_ARGS="-x --durations=20"
# A history again:          make chaos KILLS=60 SEED=7 CHAOS_ARGS="--json /tmp/chaos.json --keep /tmp/chaos"
# On a GPU image:           make gpu-check PYTHON=python3 GPU_CHECK_ARGS="--json /tmp/gpu.json --markdown /tmp/gpu.md"

PYTHON         ?= python3
PIP_ARGS       ?=
PYTEST_ARGS    ?=
GPU_CHECK_ARGS ?=
KILLS          ?= 60
SEED           ?=
CHAOS_ARGS     ?=
PACKAGES       := oplstm search_spaces tracking jobs
BIN            := .venv/bin
STAMP          := .venv/.installed
SELDOM         := /(tests?|testing|plotly|sympy|sklearn|networkx|narwhals|fontTools|rllib|serve|llm|_inductor|_dynamo|onnx|pip|mypy)/
DOCS_STAMP     := .venv-docs/.installed

.DEFAULT_GOAL := help
.PHONY: help install demo ui test test-long test-unit lint types imports docs site bench chaos gpu-check clean

help:  ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{ printf "%-18s %s\n", $$1, $$2 }'

install: $(STAMP)  ## make .venv with the tested versions (about 3 minutes; again only when they change)

$(STAMP): pyproject.toml constraints.txt
	@command -v $(PYTHON) >/dev/null || { echo "error: $(PYTHON) not found: install Python 3.11 to 3.14 (Debian, Ubuntu: apt-get install python3 python3-venv)" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14))' || { echo "error: oplstm needs Python 3.11 to 3.14, but $(PYTHON) is $$($(PYTHON) --version 2>&1): make install PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "error: $(PYTHON) cannot make a virtual environment (Debian, Ubuntu: apt-get install python3-venv)" >&2; exit 1; }
	@$(BIN)/python -c 'import pip' 2>/dev/null || $(PYTHON) -m venv --clear .venv
	$(BIN)/python -m pip install --no-compile --disable-pip-version-check $(PIP_ARGS) -c constraints.txt -e ".[test]"
	@# on all cores, where pip uses one, and without what is seldom imported; a few files are of no Python that there is
	@$(BIN)/python -m compileall -q -j 0 -x '$(SELDOM)' .venv/lib >/dev/null || true
	@touch $@

demo: install  ## a small sine sweep from job file to tracked result
	$(BIN)/python -m jobs.cli.demo

ui: install  ## open the tracked runs in a browser
	$(BIN)/oplstm ui

# A file is one process's, because its tests share what they set up; the longest early (tests/conftest.py); three for two
# cores, because they wait for much.
BY_FILE = -n 3 --dist loadfile --no-loadscope-reorder

test: install  ## the tests that CI runs: all but the longest
	@echo "Tests: unit (about 1 minute), then integration and slow (some ten minutes: real Ray, MLflow server, browser; chaos, statistics)."
	tests/in_memory.sh $(BIN)/python -m pytest -m unit -n 2 --dist worksteal $(PYTEST_ARGS)
	tests/in_memory.sh $(BIN)/python -m pytest -m "integration or slow" $(BY_FILE) $(PYTEST_ARGS)

test-long: install  ## the longest tests: whole sweeps, each hurt in one more way (some twenty minutes; before a release)
	tests/in_memory.sh $(BIN)/python -m pytest -m long $(BY_FILE) $(PYTEST_ARGS)

test-unit: install  ## the unit tier alone (about 1 minute)
	tests/in_memory.sh $(BIN)/python -m pytest -m unit -n 2 --dist worksteal $(PYTEST_ARGS)

lint: install  ## ruff
	$(BIN)/ruff check $(PACKAGES) tests docs

types: install  ## mypy, strict
	$(BIN)/mypy

imports: install  ## who may import whom
	$(BIN)/lint-imports

docs: site  ## build the documentation site, and check its links, commands and the equation map
	$(BIN)/python -m pytest tests/test_docs.py tests/test_documented_commands.py $(PYTEST_ARGS)

site: install $(DOCS_STAMP)  ## build the documentation site alone
	$(BIN)/python -m docs.site build/docs
	cd build/docs && PYTHONPATH=$(CURDIR) $(CURDIR)/.venv-docs/bin/zensical build --strict
	$(BIN)/python -m docs.site.built build/docs/site

$(DOCS_STAMP): pyproject.toml constraints.txt
	@.venv-docs/bin/python -c 'import pip' 2>/dev/null || $(BIN)/python -m venv --clear .venv-docs
	@$(BIN)/python -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["project"]["optional-dependencies"]["docs"], sep="\n")' \
		| xargs -d '\n' .venv-docs/bin/python -m pip install -q --disable-pip-version-check $(PIP_ARGS) -c constraints.txt
	@touch $@

bench: install  ## measure this machine (some 20 minutes)
	$(BIN)/python -m tests.benchmark

chaos: install  ## hurt real sweeps at random and compare them with unbroken ones: KILLS=60 SEED=7 (some 15 s a kill)
	$(BIN)/python -m tests.chaos --kills $(KILLS) $(if $(SEED),--seed $(SEED)) $(CHAOS_ARGS)

gpu-check:  ## test and measure an NVIDIA GPU (at most 6 minutes); with PYTHON=python3 without an installation
	$(if $(filter command environment,$(origin PYTHON)),$(PYTHON),$(BIN)/python) -m tests.benchmark.gpu_check $(GPU_CHECK_ARGS)

clean:  ## delete caches and build outputs; keeps .venv and oplstm-home
	rm -rf build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
	find $(PACKAGES) tests -name __pycache__ -type d -prune -exec rm -rf {} +
