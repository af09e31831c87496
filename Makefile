# crossfer: `make demo` to see it work, `make test` to check it. Both need Python 3.11 to 3.14 and pip.

# The first that runs and can make an environment, which a shim of pyenv need not; python3 says what is amiss.
PYTHON ?= $(shell for python in python3.11 python3.12 python3.13 python3.14; do \
$$python -c 'import ensurepip, venv' 2>/dev/null && echo $$python && exit; done; echo python3)
# What an installation left that failed, perhaps for an older Python, is not built upon.
BEGUN = $(@D)/begun
VENV = $(PYTHON) -m venv $(if $(wildcard $(BEGUN)),--clear) $(@D) && touch $(BEGUN)
PHOTO ?=
DEV := .venv-dev/bin
# The portrait that scikit-image carries; found without importing anything heavy.
SAMPLE := "import importlib.util as u, os; \
print(os.path.relpath(u.find_spec('skimage').submodule_search_locations[0] + '/data/astronaut.png'))"

.DELETE_ON_ERROR:
.PHONY: demo test test-long lint types docs clean

## Recognises the faces in a sample photo, or in yours: make demo PHOTO=my.jpg
demo: .venv/installed
	@photo="$(PHOTO)"; [ -n "$$photo" ] || photo="$$(.venv/bin/python -c $(SAMPLE))"; \
	.venv/bin/crossfer predict "$$photo" --annotate demo-output

## Every test that takes seconds, a process a core (eight at most, each of a gigabyte or more); CROSSFER_TEST_DATA names the
## folder that holds FERPlus/*.zip, where there is one. Threads of one step that wait for each other would hold all up.
test: .venv-dev/installed
	OMP_NUM_THREADS=1 $(DEV)/python -m pytest -m "not long" --numprocesses auto --maxprocesses 8 --dist loadfile

## The checks that take minutes
test-long: .venv-dev/installed
	$(DEV)/python -m pytest -m long

lint: .venv-dev/installed
	$(DEV)/ruff check
	$(DEV)/ruff format --check

types: .venv-dev/installed
	$(DEV)/pyright

## Writes docs/commands.md anew from the commands, docs/recipes.md from the recipes' types, accuracies and studies from result files
docs: .venv-dev/installed
	$(DEV)/python docs/accuracy_table.py --write README.md
	$(DEV)/python docs/card_tables.py
	$(DEV)/python docs/study_tables.py
	$(DEV)/python docs/recipe_keys.py >docs/recipes.md.partial
	mv docs/recipes.md.partial docs/recipes.md
	$(DEV)/python -m typer crossfer.cli utils docs --name crossfer >docs/commands.md.partial
	mv docs/commands.md.partial docs/commands.md

clean:
	rm -rf .venv .venv-dev demo-output build dist .pytest_cache .ruff_cache .hypothesis
	find src tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/installed: pyproject.toml
	$(VENV)
	.venv/bin/pip install --quiet --editable .
	@mv $(BEGUN) $@

.venv-dev/installed: pyproject.toml constraints.txt
	$(VENV)
	$(DEV)/pip install --quiet --constraint constraints.txt "torch==2.13.0"
	$(DEV)/pip install --quiet --constraint constraints.txt --editable ".[dev]"
	@mv $(BEGUN) $@
