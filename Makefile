# `make help` lists what there is. Every target first sets up .venv if need be, so each works in a fresh clone.
PYTHON ?= python3
PRESET ?= quick
SWEEP ?= strides
WORKERS ?= 1
DATA ?=
UPGRADE ?=

BIN := .venv/bin
STAMP := .venv/.stamp
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input
data_option = $(if $(DATA),--data "$(DATA)")

.DEFAULT_GOAL := help
.PHONY: help setup report render html pdf scaling sweep train lab test test-browser lint clean distclean lock

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' Makefile
	@echo
	@echo "  PYTHON=python3.12  which Python makes .venv (3.11 to 3.13)"
	@echo "  PRESET=quick       how much 'make report' measures: a file of params/presets"
	@echo "  SWEEP=strides      what 'make sweep' runs: a file of params/sweeps"
	@echo "  WORKERS=1          with so many workers; one of them times at a time"
	@echo "  DATA=PATH          images for report, scaling, sweep and train: a folder, .zip or .tar.gz"
	@echo "  UPGRADE=1          'make lock' also takes newer versions"

setup: $(STAMP) ## Make .venv from requirements.lock

# The stamp goes first and comes back last: a set-up that was killed is made anew, from nothing.
$(STAMP): requirements.lock pyproject.toml
	@set -e; \
	version=$$("$(PYTHON)" -c 'import sys; print("%d.%d.%d" % sys.version_info[:3])' 2>/dev/null) || version="not found"; \
	case "$$version" in \
	3.11.*|3.12.*|3.13.*) ;; \
	*) echo "cnnprof needs Python 3.11 to 3.13. Received: $(PYTHON), $$version. Name another one: make setup PYTHON=python3.12" >&2; exit 1 ;; \
	esac; \
	"$(PYTHON)" -c 'import ensurepip, venv' 2>/dev/null || { \
	echo "$(PYTHON) cannot make virtual environments. Install its venv module (Debian, Ubuntu: apt install python3-venv)." >&2; exit 1; }; \
	mkdir .venv.lock 2>/dev/null || { \
	echo "Another make is setting up .venv: wait for it. If there is none, remove the folder .venv.lock." >&2; exit 1; }; \
	trap 'rmdir .venv.lock' EXIT; trap 'exit 1' HUP INT TERM; \
	if [ -f $(STAMP) ]; then \
	rm -f $(STAMP); echo "Updating .venv ..."; \
	else \
	rm -rf .venv; echo "Making .venv with Python $$version ..."; "$(PYTHON)" -m venv .venv; \
	fi; \
	count=$$(sed -n 's/==.*//p' requirements.lock | sort -u | wc -l | tr -d ' '); \
	echo "Installing up to $$count packages from requirements.lock (some minutes the first time) ..."; \
	$(PIP) install --quiet --requirement requirements.lock; \
	echo "Installing cnnprof ..."; \
	$(PIP) install --quiet --no-deps --no-build-isolation --editable .; \
	touch $(STAMP); \
	echo "Ready: .venv"

# Kernels keep their files in .venv, not in the home folder.
report render html pdf scaling sweep test test-browser: export IPYTHONDIR = $(CURDIR)/.venv/ipython
report render html pdf scaling sweep test test-browser: export JUPYTER_RUNTIME_DIR = $(CURDIR)/.venv/jupyter

report: setup ## Measure every variant of PRESET and write outputs/report
	$(BIN)/cnnprof run --preset $(PRESET) --report $(data_option)

render: setup ## Write outputs/report again from the stored runs, without measuring
	$(BIN)/cnnprof report

html: setup ## Write outputs/report again, only if its inputs changed
	$(BIN)/cnnprof report --if-changed

pdf: html ## The same

scaling: setup ## Time two variants with small and large batches, on one and on all threads
	$(BIN)/cnnprof run baseline stride5 --batch-size 1 --batch-size 128 --threads 1 \
	  --threads $$(getconf _NPROCESSORS_ONLN) $(data_option)
	$(BIN)/cnnprof report

sweep: setup ## Run what is missing of the sweep SWEEP by PRESET, and write the report
	$(PIP) install --quiet --no-build-isolation --editable '.[sweep]'
	$(BIN)/cnnprof sweep "$(SWEEP)" --preset $(PRESET) --workers $(WORKERS) --report $(data_option)

train: setup ## Train every variant; a stopped training continues
	$(BIN)/cnnprof train --all $(data_option)

lab: setup ## Explore the stored runs in JupyterLab: pick, compare, filter
	$(BIN)/jupyter lab notebooks/explore.ipynb

test: setup ## Run the tests
	$(BIN)/python -m pytest

test-browser: setup ## Run the tests that need a browser: Chromium, which the system has to have
	$(PIP) install --quiet --no-build-isolation --editable '.[browser]'
	$(BIN)/python -m pytest tests/browser

lint: setup ## Check style, types and that the notebooks hold no outputs
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy cnnprof_lib
	$(BIN)/nbstripout --verify --keep-id notebooks/*.ipynb

clean: ## Remove runs, reports and caches; keep .venv, outputs/reference and unfinished trainings
	rm -rf outputs/runs outputs/scaling outputs/sweeps outputs/check outputs/report build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache
	find . -name .venv -prune -o \( -name __pycache__ -o -name .ipynb_checkpoints \) -type d -prune -exec rm -rf {} +

distclean: clean ## The same, and remove .venv
	rm -rf .venv

lock: ## Make requirements.lock from pyproject.toml (needs uv)
	@command -v uv >/dev/null || { echo "make lock needs uv. Install it: pip install uv" >&2; exit 1; }
	uv pip compile --universal --python-version 3.11 --extra dev --extra explore --extra pdf --extra runtimes --extra sweep --extra predict pyproject.toml --no-emit-index-url --no-annotate \
	  --quiet --no-config $(if $(UPGRADE),--upgrade) -o requirements.lock
