# The whole interface of the project on a bare machine: Python 3.11 with venv, pip, git and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Touched when the environment fits what it was made from; a warm run skips set-up.
READY := $(VENV)/.ready
LOWEST := .venv-lowest

.PHONY: demo test test-all test-lowest fuzz lint types docs audit clean

demo: $(READY)
	$(BIN)/vidconcept track examples/line_cam.mp4 --concepts scratch,dent --out runs/demo --existing overwrite

test: $(READY)
	$(BIN)/pytest -m "not slow or slice"

test-all: $(READY)
	$(BIN)/pytest

# Damaged inputs of every kind, for so many seconds from case FIRST on; the corpus and what was found stay in build/fuzz.
# The page on reliability shows what FIGURES=docs/figures/fuzz.json takes down.
fuzz: SECONDS ?= 60
fuzz: FIRST ?= 0
fuzz: FIGURES ?= build/fuzz/figures.json
fuzz: $(READY)
	$(BIN)/python -m tests.fuzz.fuzz --seconds $(SECONDS) --first $(FIRST) --corpus build/fuzz --figures $(FIGURES)

# The lowest versions that pyproject.toml admits, by uv's resolution, in an environment of its own. torch stays at the
# version of constraints.txt: older ones have no build for the CPU on every package index.
test-lowest: $(LOWEST)/.ready
	PYTHONPATH=. $(LOWEST)/bin/python -m pytest -m "not slow" tests/attention tests/models tests/temporal tests/tracks \
		tests/video tests/test_settings.py tests/test_setting_layers.py tests/commands/test_start.py \
		tests/commands/test_flags.py tests/commands/test_stills_and_concepts.py

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml
	$(BIN)/check-jsonschema --builtin-schema vendor.github-issue-forms .github/ISSUE_TEMPLATE/[!c]*.yml
	$(BIN)/check-jsonschema --builtin-schema vendor.github-issue-config .github/ISSUE_TEMPLATE/config.yml
	$(BIN)/pre-commit validate-config

types: $(READY)
	$(BIN)/pyright

# The site, into build/site; a broken link, a page outside of the navigation or an unknown figure ends it.
docs: $(VENV)/.ready-docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

# Known vulnerabilities, licences and a CycloneDX bill of what an install brings, into build/audit; asks PyPI's advisories.
audit: $(VENV)/.ready-audit
	$(BIN)/python .ci/audit.py build/audit

# torch first and alone: a range may admit a newer release whose only build is the one for CUDA, several GB.
# trackeval and supervision ask for the full opencv-python, which would overwrite the headless build: no dependencies.
$(READY): pyproject.toml constraints.txt Makefile
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt torch
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev]"
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps $$(sed -n 's/^#no-deps //p' constraints.txt)
	touch $(READY)

$(VENV)/.ready-docs: $(READY)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[docs]"
	touch $@

$(VENV)/.ready-audit: $(READY)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[audit]"
	touch $@

$(LOWEST)/.ready: pyproject.toml constraints.txt Makefile
	test -x $(LOWEST)/bin/python || $(PYTHON) -m venv $(LOWEST)
	$(LOWEST)/bin/pip install --quiet --disable-pip-version-check -c constraints.txt torch uv
	$(LOWEST)/bin/uv pip install --quiet --python $(LOWEST)/bin/python --resolution lowest-direct -c constraints.txt -e .
	$(LOWEST)/bin/pip install --quiet --disable-pip-version-check pytest pytest-timeout hypothesis ftfy
	touch $@

clean:
	rm -rf $(VENV) $(LOWEST) build dist runs .pytest_cache .ruff_cache
