# Everything a new machine needs is installed by these targets; see `make help`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
FILE ?=

.PHONY: help run setup native player test check format bench tools clean
.DEFAULT_GOAL := help

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

$(BIN)/.installed: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip 'setuptools>=80' 'cython>=3.3,<4'
	$(BIN)/python -m pip install --quiet --no-build-isolation --editable '.[dev]'
	@touch $@ $(VENV)/.native

$(VENV)/.native: $(wildcard native/*.pyx native/*.pxd) setup.py | $(BIN)/.installed
	$(BIN)/python setup.py --quiet build_ext --inplace
	@touch $@

server/player/dist/index.html: $(wildcard server/player/src/* server/player/package*.json server/player/*.mjs)
	cd server/player && npm ci --silent --no-audit --no-fund && npm run --silent build
	@touch $@

native: $(VENV)/.native  ## compile the Cython modules
player: server/player/dist/index.html  ## build the player page
setup: $(BIN)/.installed native player

run: setup tools-run  ## start the service; FILE=clip.mp4 also uploads that clip
	@exec $(BIN)/headrace up $(if $(FILE),--upload '$(FILE)')

tools-run:
	@sh deployments/install-tools.sh run

tools:
	@sh deployments/install-tools.sh test

test: setup tools tests/node_modules/.installed  ## install what the tests need and run them all
	$(BIN)/python -m pytest $(ARGS)

tests/node_modules/.installed: tests/package-lock.json
	cd tests && npm ci --silent --no-audit --no-fund
	@touch $@

check: setup  ## format, lint, types, stubs, import contracts
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m mypy.stubtest native --ignore-missing-stub --concise
	$(BIN)/lint-imports

format:
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: setup tools  ## speed of transcoding beside ffmpeg, and time to playable
	$(BIN)/python -m bench

clean:  ## remove everything that was built; ./var with your media stays
	rm -rf $(VENV) build server/player/dist server/player/node_modules tests/node_modules
	find native -name '*.so' -delete
