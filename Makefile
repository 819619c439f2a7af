# gp_literate: every command of the project. `make` lists them.
# Needs only Python >= 3.11, make and a package index; works with GNU make 3.81 and later.

PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
DEPS   := setup.py settings.ini

.DEFAULT_GOAL := help
.PHONY: help demo test lab replicate docs bench export notebooks wheel lint clean

help: ## show this list
	@echo "usage: make TARGET"; echo
	@sed -n 's/^\([a-z]*\):.*## \(.*\)$$/\1|\2/p' Makefile | while IFS='|' read -r t d; do printf '  %-11s %s\n' "$$t" "$$d"; done

# --- the environment: one directory, one stamp per set of requirements -------------------------------------------------

$(BIN)/python:
	@sh tools/make_venv.sh "$(PYTHON)" "$(VENV)"

$(VENV)/.stamp-replicate: $(DEPS) | $(BIN)/python
	@sh tools/pip_install.sh "$(VENV)" replicate
	@touch $@

$(VENV)/.stamp-dev: $(DEPS) | $(BIN)/python
	@sh tools/pip_install.sh "$(VENV)" dev
	@touch $@ $(VENV)/.stamp-replicate

REPLICATE := $(VENV)/.stamp-replicate
DEV       := $(VENV)/.stamp-dev

# --- for the replicator and the reader ---------------------------------------------------------------------------------

demo: $(REPLICATE) ## simulate a population, compare methods, write a report (no download)
	@$(BIN)/gp-literate replicate run demo

replicate: $(REPLICATE) ## regenerate a paper's table: NAME=... (all: every one) [PROFILE=smoke|paper] [PARAMS="-p seed 7"]; no NAME: list them
	@$(BIN)/gp-literate replicate $(if $(NAME),$(if $(filter all,$(NAME)),all,run $(NAME)) $(if $(PROFILE),--profile $(PROFILE)) $(PARAMS),list)

lab: $(REPLICATE) ## open the notebooks in JupyterLab
	@$(BIN)/jupyter lab --notebook-dir=nbs

bench: $(REPLICATE) ## run the benchmarks
	@set -e; for f in $(wildcard benchmarks/bench_*.py); do echo "== $$f"; $(BIN)/python "$$f"; done

# --- for the developer -------------------------------------------------------------------------------------------------

test: $(DEV) ## run every check and test
	@$(BIN)/ruff check --quiet gp_literate tests tools setup.py $(wildcard benchmarks) && echo "ok  ruff"
	@$(BIN)/python tools/check_export.py
	@$(BIN)/python tools/check_notebooks.py
	@$(BIN)/python tools/check_parameters.py
	@$(BIN)/python tools/check_docs.py
	@$(BIN)/python tools/run_notebooks.py
	@OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --maxprocesses 4

wheel: $(DEV) ## build the wheel and try it in a fresh environment
	@$(BIN)/python tools/check_wheel.py

lint: $(DEV) ## check the code with ruff
	@$(BIN)/ruff check gp_literate tests tools setup.py $(wildcard benchmarks)

export: $(DEV) ## write the modules from the notebooks
	@$(BIN)/nbdev_export

notebooks: $(DEV) ## execute the notebooks in place and clean them: [NB=nbs/03_kernels.ipynb]
	@$(BIN)/python tools/execute_notebooks.py $(NB)

docs: $(DEV) ## check the pages, and render them to _docs/ where Quarto is installed
	@$(BIN)/python tools/check_docs.py --render

clean: ## remove build products and caches (keeps .venv and results)
	@rm -rf build dist *.egg-info _docs _proc .quarto .pytest_cache .ruff_cache .hypothesis
	@find gp_literate tests tools nbs benchmarks \( -name __pycache__ -o -name .ipynb_checkpoints \) -prune -exec rm -rf {} + 2>/dev/null || true
