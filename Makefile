# `make demo` draws a picture, `make test` runs the tests, `make test-fast` the unit tests alone; all
# make the environment first if needed.
# `make explorer` opens the explorer in the browser: make explorer EXPLORER_ARGS="-- --model FOLDER"
# To use another interpreter or folder: make test PYTHON=python3.12 VENV=/somewhere/venv
# On Linux without a GPU, PyTorch is gigabytes smaller from its own index:
#   make demo TORCH_INDEX=https://download.pytorch.org/whl/cpu
VENV ?= .venv
PYTHON ?= python3
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt
TORCH_INDEX ?=

.PHONY: demo explorer test test-fast test-cuda test-robustness lint format clean
.DELETE_ON_ERROR:

demo: $(VENV)/.installed
	@echo "Drawing demo.png: under a minute."
	@$(BIN)/llavit-lens demo draw --out demo.png

explorer: $(VENV)/.installed-explorer
	$(BIN)/streamlit run apps/explorer.py $(EXPLORER_ARGS)

# Many small models: one thread each and several processes is fastest.
test: export OMP_NUM_THREADS = 1
test: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -q -n auto --maxprocesses 8 --dist loadgroup -m "not slow" $(PYTEST_ARGS)

# While you work: what is left when compilers, trainings, other processes and browsers are left out.
test-fast: export OMP_NUM_THREADS = 1
test-fast: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -q -n auto --maxprocesses 8 --dist loadgroup \
	  -m "not slow and not long and not browser" --ignore=tests/cuda $(PYTEST_ARGS)

# About 600 bad inputs, and programs killed at any moment: LLAVIT_LENS_SEED=7 make test-robustness
test-robustness: export OMP_NUM_THREADS = 1
test-robustness: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -q -s -m slow tests/robustness $(PYTEST_ARGS)

# On a machine with an NVIDIA GPU; in one process, for kernels are compiled once.
test-cuda: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -q -m cuda -rs tests/cuda $(PYTEST_ARGS)

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.installed-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) demo.png build dist .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis

# A stamp is written only after a complete step, so an interrupted one is simply done again.
$(VENV)/.made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "llavit-lens needs Python 3.11 or newer, and '$(PYTHON)' is not that:" \
	       "install one, or name it with: make PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { \
	  echo "could not make $(VENV); on Debian or Ubuntu: apt-get install python3-venv" >&2; exit 1; }
	@touch $@

$(VENV)/.installed: $(VENV)/.made pyproject.toml constraints.txt
	@echo "Installing llavit-lens into $(VENV): about 3 minutes and 1.5 GB, once."
	@echo "(PyTorch for NVIDIA GPUs, which is Linux' default, is several GB more; without it:"
	@echo " make TORCH_INDEX=https://download.pytorch.org/whl/cpu)"
	@$(if $(TORCH_INDEX),$(PIP) torch --index-url $(TORCH_INDEX))
	@$(PIP) -e .
	@touch $@

$(VENV)/.installed-explorer: $(VENV)/.installed
	@echo "Installing what the explorer needs: less than a minute."
	@$(PIP) -e '.[explorer]'
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	@echo "Installing what tests and linters need: some minutes."
	@$(PIP) -e '.[dev]'
	@touch $@
