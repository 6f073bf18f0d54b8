# `make quickstart` trains a first network, `make test` checks everything, `make docs` builds the documentation.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
RUN    := runs/quickstart

.PHONY: setup quickstart test lint types unit docs gpu format clean

setup: $(VENV)/.installed

# uv installs the same packages as pip, several times faster; it comes from the registry like everything else.
$(VENV)/.installed: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; found " + sys.version.split()[0] + ". Try: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	$(BIN)/uv pip install --quiet --python $(BIN)/python --editable '.[dev]'
	@touch $@

# A run that is there already is kept; one that was broken off is continued.
quickstart: setup
	@if [ -f $(RUN)/result.json ]; then \
		echo "$(RUN) holds a finished run, which is kept; remove it (rm -r $(RUN)) to train again"; \
	elif [ -f $(RUN)/config.yaml ]; then \
		$(BIN)/agconv train --resume --out $(RUN); \
	else \
		$(BIN)/agconv train digits --model alpha_f_p4cnn --seed 0 --out $(RUN); \
	fi
	$(BIN)/agconv evaluate $(RUN)
	$(BIN)/python examples/save_test_images.py digits --count 5 --out $(RUN)/images
	$(BIN)/agconv predict $(RUN) $(RUN)/images/*.png
	@echo
	@echo "The files are test images, and their names say what they show: 001-is-4.png is a 4."
	@echo "The run folder, with settings, metrics and weights, is $(CURDIR)/$(RUN)"

test: lint types unit

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: setup
	$(BIN)/mypy

# one torch thread a worker: two workers on two cores beat one worker with two threads
unit: setup
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --durations=15

# the site in site/, with the tutorial's notebook executed; a broken link or reference is an error. Status 3 says that the
# page for the browser could not be built for want of npm or its registry: the site then says how to build it
docs: setup
	@rm -f build/browser-page.html
	$(BIN)/python examples/browser_page/build.py --out build/browser-page.html || [ $$? = 3 ]
	NO_MKDOCS_2_WARNING=1 AGCONV_DOCS_EXECUTE=true $(BIN)/mkdocs build --strict --quiet
	@echo "the site is in site/; to read it: $(BIN)/python -m http.server --directory site"

# values, times and memory on a GPU, within nine minutes; needs nothing but PyTorch and Triton, so no environment is made
gpu:
	$(PYTHON) benchmarks/gpu_acceptance.py --out gpu-acceptance.json

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) build dist site .pytest_cache .mypy_cache .ruff_cache .hypothesis
