PYTHON ?= python3
BIN := .venv/bin
# The end of each stamp names what is installed; a changed pyproject or constraints file installs again.
STAMPS := .venv/.stamps

.PHONY: demo test test-all lint types ui bench-transplant bench-tokenizers bench-pretrain clean

demo: $(STAMPS)/demo
	$(BIN)/lexigraft demo $(ARGS)

test: $(STAMPS)/dev
	$(BIN)/python -m pytest -q -n 2 --dist loadfile -m "not slow" $(ARGS)

test-all: $(STAMPS)/dev
	$(BIN)/python -m pytest -q -n 2 --dist loadfile $(ARGS)

lint: $(STAMPS)/dev
	$(BIN)/ruff check . && $(BIN)/ruff format --check .

types: $(STAMPS)/dev
	$(BIN)/mypy

ui: $(STAMPS)/dev
	$(BIN)/lexigraft ui

$(BIN)/python:
	$(PYTHON) -m venv .venv

$(STAMPS)/demo: $(BIN)/python pyproject.toml constraints.txt
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[demo,ui]'
	@mkdir -p $(STAMPS) && touch $@

$(STAMPS)/dev: $(STAMPS)/demo
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[demo,ui,dev]'
	@mkdir -p $(STAMPS) && touch $@

# SOURCE: folder of a multilingual source model; TEXT: text of the language, one sentence a line.
bench-transplant: $(STAMPS)/dev
	$(BIN)/python -m benchmarks.transplant --source $(SOURCE) --text $(TEXT) $(ARGS)

# SOURCE: a tokenizer; TEXT: files of raw text.
bench-tokenizers: $(STAMPS)/dev
	$(BIN)/python -m benchmarks.tokenizers --source $(SOURCE) --text $(TEXT) $(ARGS)

# SOURCE: folder of a masked model with a head; TEXT, HELDOUT: text of the language.
bench-pretrain: $(STAMPS)/dev
	$(BIN)/python -m benchmarks.pretrain --source $(SOURCE) --text $(TEXT) --heldout $(HELDOUT) $(ARGS)

clean:
	rm -rf .venv build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache
