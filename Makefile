# GNU make 3.81 or newer. Everything is installed into .venv and nowhere else.
#   make PYTHON=/path/to/python setup     another interpreter
#   make TORCH_INDEX=https://download.pytorch.org/whl/cpu setup     torch without CUDA; after `make clean` where one is installed

PYTHONS := $(if $(PYTHON),"$(PYTHON)",python3 python3.13 python3.12 python3.11)
PY := .venv/bin/python
MADE := .venv/made
INSTALLED := .venv/installed

export OMP_WAIT_POLICY = PASSIVE

.PHONY: help setup demo test test-slow lint clean FORCE

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-9s %s\n", $$1, $$2 }' Makefile

setup: $(INSTALLED) ## install itinf and its tests into .venv

demo: $(INSTALLED) ## compare the specimens: ResNets, a plain network, Inception v1 and GPT-2
	$(PY) -m itinf demo

test: $(INSTALLED) ## run every test, simulations in small
	OMP_NUM_THREADS=1 $(PY) -m pytest -n auto --maxprocesses 4 --dist worksteal -m "not simulation"

test-slow: $(INSTALLED) ## run every test and every whole simulation
	OMP_NUM_THREADS=1 $(PY) -m pytest -n auto --maxprocesses 4 --dist worksteal

lint: $(INSTALLED) ## ruff and mypy
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy

clean: ## remove .venv, builds and caches; results stay
	rm -rf .venv build dist .pytest_cache .hypothesis .mypy_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The stamp holds the folder it was made in: a copied, moved or half-made .venv is made again.
SOUND := $(shell [ "$$(cat $(MADE) 2>/dev/null)" = "$(CURDIR)" ] && $(PY) -m pip --version >/dev/null 2>&1 && echo yes)
ifneq ($(SOUND),yes)
$(MADE): FORCE
endif

$(MADE):
	@rm -rf .venv
	@for python in $(PYTHONS); do \
		if "$$python" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
			echo "$$python -m venv .venv"; "$$python" -m venv .venv && echo "$(CURDIR)" > $@; exit; \
		fi; \
	done; \
	echo 'itinf needs Python 3.11 or newer with venv and ensurepip (Debian: apt install python3-venv);' \
		'none of these is: $(PYTHONS). Name one: make PYTHON=/path/to/python' >&2; exit 1

# One install, so that torch and torchvision come from one index and fit each other.
$(INSTALLED): $(MADE) pyproject.toml
	$(PY) -m pip install $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX)) -e ".[test]"
	$(PY) -c "import torch, torchvision.ops"
	@touch $@
