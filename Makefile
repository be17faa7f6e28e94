# `make` lists the targets.
PYTHON ?= python3
BIN := .venv/bin
JOBS ?= 2
INSTALLED := .venv/.installed
ROOT := $(if $(filter 0,$(shell id -u)),--allow-root)

.DEFAULT_GOAL := help
.PHONY: help install reproduce test check coverage bench docs lab doctor clean

help: ## list the targets
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

install: $(INSTALLED) ## make .venv with the pinned versions and every extra

$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or later is needed: make PYTHON=python3.11")'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt torch
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[test]'
	touch $@

reproduce: $(INSTALLED) ## run the notebooks: train the paper's two networks, draw the notebooks' figures, write their results
	$(BIN)/asl reproduce

# A browser that ends by itself says nothing about the package: its test runs again.
test: $(INSTALLED) ## run every test, the notebooks too (small profile); JOBS=4 for four at a time
	ASLLIB_PROFILE=ci OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(JOBS) --dist loadfile --ignore tests/e2e tests
	ASLLIB_PROFILE=ci $(BIN)/python -m pytest -n $(JOBS) --reruns 2 --only-rerun TargetClosedError tests/e2e
	ASLLIB_PROFILE=ci OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(JOBS) \
		--nbval-lax --nbval-current-env --nbval-cell-timeout=600 -x notebooks

check: $(INSTALLED) ## within a minute: lint, format, types, quick tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	ASLLIB_PROFILE=ci OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n $(JOBS) --dist loadfile -m 'not slow' tests

coverage: $(INSTALLED) ## say which lines and branches of asllib no test runs; pages in build/coverage
	$(BIN)/coverage erase
	ASLLIB_PROFILE=ci OMP_NUM_THREADS=1 $(BIN)/coverage run -m pytest -n $(JOBS) --dist loadfile \
		--ignore tests/e2e --ignore tests/test_faults.py tests
	$(BIN)/coverage combine -q
	$(BIN)/coverage html -q --fail-under=0 -d build/coverage
	$(BIN)/coverage report

bench: $(INSTALLED) ## measure speed and memory side by side with other ways; see benchmarks/README.md
	$(BIN)/python benchmarks/bench.py

docs: $(INSTALLED) ## build the pages in docs/ into build/docs; a warning is an error
	$(BIN)/python -m sphinx -W --keep-going -q -d build/doctrees docs build/docs

lab: $(INSTALLED) ## open the notebooks in JupyterLab
	$(BIN)/jupyter lab notebooks $(ROOT) --ServerApp.kernel_websocket_connection_class=asllib.live.connection.PromptConnection

doctor: $(INSTALLED) ## say what is missing on this machine and how to mend it
	$(BIN)/asl doctor

clean: ## remove the environment and caches of this folder
	rm -rf .venv build dist *.egg-info .pytest_cache .ruff_cache .coverage*
