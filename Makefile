# make demo        set up, then the whole path on phantoms: prepare, train, evaluate (continues where it stopped)
# make test        set up, then all tests but those of test-machines, in two processes
# make test-machines  set up, then what fails between two machines; as root on Linux, a quarter of an hour
# make test-quick  set up, then the tests that are not slow (no Ray, no browser): about a minute
# make lint        set up, then style and types
# make dashboard   set up, then the app on http://localhost:8501
# make included-model [REAL=FOLDER]  set up, then train, score and export the small model that comes with the project:
#                  its teacher and itself on synthetic bodies, its scores on the real scan in FOLDER (as dataset one_scan) too
# make clean       remove the environment and caches; the workspace stays

SHELL  := /bin/sh
VENV   := .venv
PYTHON := $(VENV)/bin/python
STAMP  := $(VENV)/.set-up
SYSTEM_PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3.13 || command -v python3)

.DELETE_ON_ERROR:
.PHONY: setup demo test test-machines test-quick lint dashboard included-model clean

setup: $(STAMP)

$(PYTHON):
	@test -n "$(SYSTEM_PYTHON)" || { echo "No python3 found: install Python 3.11, 3.12 or 3.13 and run make again." >&2; exit 1; }
	@"$(SYSTEM_PYTHON)" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' || { \
	  echo "$(SYSTEM_PYTHON) is $$("$(SYSTEM_PYTHON)" --version 2>&1); this project needs Python 3.11, 3.12 or 3.13." >&2; \
	  echo "Install one, or name it: make setup SYSTEM_PYTHON=/path/to/python3.11" >&2; exit 1; }
	@"$(SYSTEM_PYTHON)" -m venv $(VENV) || { rm -rf $(VENV); \
	  echo "$(SYSTEM_PYTHON) cannot make an environment: install its venv module (Debian: apt install python3-venv)." >&2; exit 1; }

# torch by itself first: where pip is set up to offer a CPU-only build, that build is then kept by all that follows.
$(STAMP): pyproject.toml constraints.txt | $(PYTHON)
	$(PYTHON) -m pip install --quiet --disable-pip-version-check -c constraints.txt torch
	$(PYTHON) -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

demo: $(STAMP)
	$(PYTHON) jobs/train_teacher.py

test: $(STAMP)
	$(PYTHON) -m pytest -n 2 -m "not machines"

test-machines: $(STAMP)
	$(PYTHON) -m pytest -m machines

test-quick: $(STAMP)
	$(PYTHON) -m pytest -n 2 -m "not slow"

lint: $(STAMP)
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m mypy

dashboard: $(STAMP)
	$(PYTHON) -m streamlit run dashboard/app.py

# RUN=… names the student's run wholly, where the workspace has several of the recipe; what the environment says is not asked.
INCLUDED := platform/autosam_inference/included/torso_student.zip
RUN = torso-student
REAL =
included-model: $(STAMP)
	$(PYTHON) jobs/distill_student.py --recipe torso_student
	$(if $(REAL),$(PYTHON) jobs/evaluate.py --run "$(RUN)" --dataset one_scan --root "$(REAL)")
	$(PYTHON) jobs/export.py --run "$(RUN)" --output $(INCLUDED)

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache
	find platform models jobs dashboard tests \( -name __pycache__ -o -name '*.egg-info' \) -prune -exec rm -rf {} +
