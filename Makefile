# Three commands do everything on a machine with Python 3.11+, make and git: `make book`, `make test` and `make verify`.

SHELL := /bin/sh
VENV := .venv
BIN := $(VENV)/bin
PYTHON ?= $(shell for p in python3 python3.11 python3.12 python3.13 python3.14 python; do \
	"$$p" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 15))' 2>/dev/null && echo "$$p" && break; done)
STAMP := $(VENV)/.installed-$(shell cat requirements.lock pyproject.toml | cksum | tr ' ' '-')
WORKERS ?= logical
PROFILE ?= default
STUDY_PROFILE ?= cpu
EDITION ?= auto
PRECISION ?= auto
BATCH ?= 1
GPUS ?= 1

.DEFAULT_GOAL := help
.PHONY: help book verify test check test-gpu style types imports data bench study package import-records lock install clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: $(STAMP) ## Create .venv and install the locked versions (book and test do it by themselves)

# Named after what it was made from: an unchanged lock installs nothing, whatever the files' dates. The lock is complete, so pip
# need resolve nothing; "pip check" sees that it is.
$(STAMP): requirements.lock pyproject.toml
	@if [ -f "$@" ]; then touch "$@"; exit 0; fi; \
	if ! $(BIN)/python -m pip --version >/dev/null 2>&1; then \
		[ -n "$(PYTHON)" ] || { echo "cxrlib needs Python 3.11 to 3.14: install one, or run make PYTHON=/path/to/python3.11." >&2; exit 1; }; \
		"$(PYTHON)" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 15))' || \
			{ echo "$(PYTHON) is not Python 3.11 to 3.14: run make PYTHON=/path/to/python3.11." >&2; exit 1; }; \
		rm -rf $(VENV) && "$(PYTHON)" -m venv $(VENV) || exit 1; \
	fi; \
	$(BIN)/python -m pip install --progress-bar off --no-deps -r requirements.lock && $(BIN)/python -m pip check && \
	$(BIN)/python -m pip install --no-deps --no-build-isolation -e . && \
	rm -f $(VENV)/.installed-* && touch "$@"

book: $(STAMP) ## Build the book strictly, check every page, print where it is
	$(BIN)/jupyter-book build . -W -n --keep-going
	$(BIN)/python -m tests.book.pages

verify: $(STAMP) ## Compute again what is committed, and compare (RUNS=n trains n recorded runs again)
	$(BIN)/python -m cxrlib verify $(if $(RUNS),--runs $(RUNS))

test: style types imports $(STAMP) ## Style, types, import contract and all tests (WORKERS=1 for one process)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal

check: style types imports $(STAMP) ## The same without the slow tests, in about a minute
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal -m "not slow and not browser" -q

test-gpu: $(STAMP) ## Run the tests that need a CUDA device
	$(BIN)/python -m pytest -m gpu

style: $(STAMP) ## Check style and format with ruff
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(STAMP) ## Check types with mypy
	$(BIN)/mypy

imports: $(STAMP) ## Check that imports between rooms point downwards
	$(BIN)/lint-imports

data: $(STAMP) ## Fetch the openly available collections; say how to get the others
	$(BIN)/python -m tools.fetch

bench: $(STAMP) ## Measure the training loop, the image cache and memory
	$(BIN)/python -m benchmarks.bench

# STUDY_PROFILE=full SEEDS=5 DRAWS=2 PARTS="powered main" choose the cells, GRID=file.json a grid of your own; BATCH=8 lets
# eight cells share a process; GPUS=0 asks Slurm for none; SNAKEMAKE="--resources gpu=3" hands options on.
study: $(STAMP) ## Run the missing cells of Table II with Snakemake (N=1 only lists them; PROFILE=slurm on a cluster)
	$(BIN)/python -m $(if $(N),cxrlib study list,workflow.drive make) --profile $(STUDY_PROFILE) --edition $(EDITION) --precision $(PRECISION) \
		$(if $(DRAWS),--draws $(DRAWS)) $(if $(SEEDS),--seeds $(SEEDS)) $(if $(PARTS),--parts $(PARTS)) $(if $(GRID),--grid $(GRID)) \
		$(if $(N),,--workflow $(PROFILE) --batch $(BATCH) --gpus $(GPUS) --snakemake='$(SNAKEMAKE)')

# OUTPUT=folder and OPTIONS="--wheels wheels" as in python -m tools.offline_runner.package --help
package: $(STAMP) ## Pack the missing cells for a machine without internet (STUDY_PROFILE=full SEEDS=5 ...)
	$(BIN)/python -m tools.offline_runner.package --profile $(STUDY_PROFILE) --edition $(EDITION) --precision $(PRECISION) \
		$(if $(DRAWS),--draws $(DRAWS)) $(if $(SEEDS),--seeds $(SEEDS)) $(if $(PARTS),--parts $(PARTS)) $(if $(GRID),--grid $(GRID)) $(if $(OUTPUT),--output $(OUTPUT)) $(OPTIONS)

import-records: $(STAMP) ## Merge records made elsewhere, each one checked (FILE=records.zip)
	$(BIN)/python -m tools.offline_runner.merge $(FILE)

lock: $(STAMP) ## Pin every dependency anew within pyproject.toml's ranges (needs the network)
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --all-extras --generate-hashes \
		--no-header --no-annotate pyproject.toml --output-file requirements.lock
	$(BIN)/python -m tools.pins

clean: ## Remove the built book and the caches, not the environment, the data or the results
	rm -rf _build .cache .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
