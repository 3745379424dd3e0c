# The whole interface of the project on a bare machine: Python 3.11 with venv, pip, git and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Touched when the environment fits what it was made from; a warm run skips set-up.
READY := $(VENV)/.ready

.PHONY: demo test test-all lint types clean

demo: $(READY)
	$(BIN)/vidconcept track examples/line_cam.mp4 --concepts scratch,dent --out runs/demo --existing overwrite

test: $(READY)
	$(BIN)/pytest -m "not slow or slice"

test-all: $(READY)
	$(BIN)/pytest

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(READY)
	$(BIN)/pyright

# torch first and alone: a range may admit a newer release whose only build is the one for CUDA, several GB.
# trackeval and supervision ask for the full opencv-python, which would overwrite the headless build: no dependencies.
$(READY): pyproject.toml constraints.txt Makefile
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt torch
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev]"
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps $$(sed -n 's/^#no-deps //p' constraints.txt)
	touch $(READY)

clean:
	rm -rf $(VENV) build dist runs .pytest_cache .ruff_cache
