# What each target does: make help. Without make (Windows): the README has the lines.

PYTHON ?= python3 python3.13 python3.12 python3.11 python
UV ?= $(shell command -v uv 2>/dev/null)
SHELL := bash

VENV := .venv
RUN := $(VENV)/bin/python
WORKERS := -n 2 --dist loadgroup
STAMP := $(VENV)/.installed
UNFINISHED := $(VENV)/.installing
SUPPORTED := import sys; sys.exit(sys.version_info < (3, 11))

.PHONY: help setup demo lab test test-all figures tables report site app class bench lint clean

help:  ## print this list
	@awk -F ':.*##' '/^[a-z-]+:.*##/ {printf "  make %-9s %s\n", $$1, $$2}' Makefile
	@echo
	@echo "  Settings: PYTHON=python3.12 chooses the interpreter; UV= installs with pip even where uv is present."

setup: $(STAMP)  ## make .venv with everything in it, once (about 6 GB; 2 to 3 minutes, with uv less)

demo: $(STAMP)  ## train on handwritten digits and compare three scenarios (1 to 6 minutes on two cores)
	$(RUN) -m relvit_lab demo

# One thread a kernel: these models are small, and two kernels with two threads each slow one another down tenfold.
lab: $(STAMP)  ## open the notebooks in JupyterLab, on this machine only
	OMP_NUM_THREADS=$${OMP_NUM_THREADS:-1} $(RUN) -m jupyterlab --ip=127.0.0.1 $(if $(filter 0,$(shell id -u)),--allow-root) notebooks

test: $(STAMP)  ## run the tests, without the slow ones, those in a browser and the long ones (3 to 7 minutes on two cores, offline)
	$(RUN) -m pytest $(WORKERS) -m "not slow and not long and not browser"

test-all: $(STAMP)  ## run all tests (about half an hour on two cores)
	$(RUN) -m pytest $(WORKERS)

figures: $(STAMP)  ## draw figures/ again
	$(RUN) -m relvit_lab figures

tables: $(STAMP)  ## write the paper's tables with the runs in runs/ beside them into tables/
	$(RUN) -m relvit_lab tables

report: $(STAMP)  ## write report.html: tables, figures, deviations from the paper and cost of the runs in runs/
	$(RUN) -m relvit_lab report

site: $(STAMP)  ## write the notebooks as pages without kernel and network into site/ (3 to 10 minutes the first time)
	$(RUN) -m relvit_lab site

app: $(STAMP)  ## serve the explorers as an app without code, on this machine only (PORT=8866)
	$(RUN) -m relvit_lab app --port $(or $(PORT),8866)

class: $(STAMP)  ## copies of the notebooks for a class: make class DIR=path
	@if [ -z "$(DIR)" ]; then echo "say where to: make class DIR=path" >&2; exit 1; fi
	$(RUN) -m relvit_lab class "$(DIR)"

bench: $(STAMP)  ## measure speed and memory, ours beside the usual way, into benchmarks/RESULTS.md (about 25 minutes)
	$(RUN) benchmarks/all.py

lint: $(STAMP)  ## check code and notebooks with ruff, types with mypy (half a minute the first time)
	$(RUN) -m ruff check .
	$(RUN) -m mypy

clean:  ## remove caches (.venv, runs and data stay)
	rm -rf build dist .pytest_cache .ruff_cache .mypy_cache .hypothesis
	find . -path ./$(VENV) -prune -o -type d \( -name __pycache__ -o -name .ipynb_checkpoints \) -exec rm -rf {} +

# A set-up that was killed midway may have left half a package that pip would take for whole: $(UNFINISHED) tells, and
# then all is made anew. One that failed by itself (no network) leaves the environment sound, and is repeated in place.
$(STAMP): pyproject.toml constraints.txt
	@set -euo pipefail; \
	if [ ! -e $(UNFINISHED) ] && $(RUN) -c '$(SUPPORTED)' 2>/dev/null \
	    && { [ -n "$(UV)" ] || $(RUN) -m pip --version >/dev/null 2>&1; }; then \
	  echo "Bringing $(VENV) up to date with pyproject.toml and constraints.txt."; \
	else \
	  python=; tried=; \
	  for candidate in $(PYTHON); do \
	    if $$candidate -c '$(SUPPORTED)' 2>/dev/null; then python=$$candidate; break; fi; \
	    tried="$$tried $$candidate ($$($$candidate -c 'import platform; print(platform.python_version())' 2>/dev/null \
	      || echo 'does not run'))"; \
	  done; \
	  if [ -z "$$python" ]; then \
	    echo "relvit_lab needs Python 3.11 or newer; tried:$$tried." >&2; \
	    echo "Install one, then: make setup PYTHON=/path/to/python" >&2; exit 1; \
	  fi; \
	  if [ -e $(UNFINISHED) ]; then echo "The last set-up was interrupted: starting anew."; fi; \
	  echo "Setting up $(VENV) with $$($$python --version), once: about 6 GB, and 2 to 3 minutes (with uv less)."; \
	  rm -rf $(VENV); mkdir $(VENV); touch $(UNFINISHED); \
	  if [ -n "$(UV)" ]; then $(UV) venv --quiet --allow-existing --python "$$python" $(VENV); \
	  else $$python -m venv $(VENV); fi; \
	fi; \
	touch $(UNFINISHED); rm -f $(STAMP); \
	interrupted=; trap 'interrupted=1' INT TERM HUP; \
	if [ -n "$(UV)" ]; then \
	  $(UV) pip install --python $(RUN) -c constraints.txt -e '.[dev]' 2>&1 | awk '!/^ [-+~] / {print "  " $$0; fflush()}'; \
	else \
	  $(RUN) -m pip install --disable-pip-version-check --progress-bar off -c constraints.txt -e '.[dev]' | awk ' \
	    /Downloading .*\([0-9][0-9][0-9][0-9.]* MB\)/ {n = split($$2, part, "/"); print "  downloading", part[n], $$3, $$4} \
	    /^Installing collected packages/ && NF > 50 {print "  unpacking", NF - 3, "packages: this takes a minute"} {fflush()}'; \
	fi || { [ -n "$$interrupted" ] || rm -f $(UNFINISHED); \
	  echo "The set-up did not end well: see above, and repeat it with the same command." >&2; exit 1; }; \
	if [ -n "$$interrupted" ]; then exit 1; fi; \
	rm -f $(UNFINISHED); touch $(STAMP); echo "$(VENV) is ready."
