# Everything that a new machine needs is installed by these targets; `make help` lists them.
PYTHON ?= python3
VENV := .venv
MINISTACK := .venv-ministack
TERRAFORM := .venv-terraform
CHECKOV := .venv-checkov
BIN := $(VENV)/bin

PLAYER := server/player
PLAYER_SOURCES := $(shell find $(PLAYER)/src -type f 2>/dev/null) \
	$(wildcard $(PLAYER)/*.json $(PLAYER)/*.mjs)

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help run run-api run-worker up-aws-local test test-long test-coverage chaos debug check lint build format bench bench-origin bench-cdn bench-scaling bench-cache bench-stores sim capacity load native player setup setup-dev setup-aws-local tools-run tools-test tools-bench tools-deploy check-deploy docker-build lock clean

help:  ## list the targets
	@sed -nE 's/^([a-z-]+):.*## (.*)/  \1\t\2/p' Makefile | expand -t 18

run: setup  ## start the service; FILE=clip.mp4 also uploads that clip
	@set -- up; [ -z "$$FILE" ] || set -- up --upload "$$FILE"; exec $(BIN)/headrace "$$@"

up-aws-local: setup-aws-local  ## the same on local S3, DynamoDB and Redis servers, as on AWS
	@set --; [ -z "$$FILE" ] || set -- --upload "$$FILE"; \
		exec $(BIN)/python -m deployments.aws_local "$$@" $(ARGS)

run-api: setup  ## API, origin and player page without a worker
	@exec $(BIN)/headrace serve

run-worker: setup  ## a worker beside run-api; as many as you like
	@exec $(BIN)/headrace worker

# Many tests wait more than they compute, so that three processes fit on two cores. Some tests alone,
# named by ARGS, run in one, where a debugger works.
test: setup-dev tools-test setup-aws-local $(TERRAFORM)/.installed tests/node_modules/.installed  ## run all tests; ARGS="tests/cli -x" some
	@$(BIN)/python -m pytest $(if $(ARGS),$(ARGS),-n 3)

test-long: setup-dev tools-test tests/node_modules/.installed  ## a title of six minutes through all checks of the others
	@$(BIN)/python -m pytest tests/e2e -m long $(ARGS)

# Of the processes that the tests start, too. What native/ does is not seen; ARGS as for `test`.
COVERAGE := $(CURDIR)/build/coverage
test-coverage: export COVERAGE_FILE := $(COVERAGE)/data
test-coverage: setup-dev tools-test setup-aws-local $(TERRAFORM)/.installed tests/node_modules/.installed  ## the tests, and which lines they ran: a table, and build/coverage/html
	@rm -rf $(COVERAGE) && mkdir -p $(COVERAGE)
	@status=0; $(BIN)/python -m coverage run -m pytest \
		$(if $(ARGS),$(ARGS),-n 3) || status=$$?; \
		$(BIN)/python -m coverage combine --quiet && \
		$(BIN)/python -m coverage html --quiet --directory $(COVERAGE)/html && \
		$(BIN)/python -m coverage report && exit $$status

chaos: setup-dev tools-test setup-aws-local  ## kill, freeze, part and starve installations; ARGS="--only s3 --seed 1" some
	@$(BIN)/python -m tests.chaos $(ARGS)

debug: setup-dev  ## run the tests of the native modules on a build that checks itself
	@mkdir -p build/debug/native && cp native/__init__.py build/debug/native
	@HEADRACE_DEBUG=1 $(BIN)/python setup.py --quiet build_ext --parallel "$$(nproc)" \
		--build-lib build/debug --build-temp build/debug/objects
	@PYTHONPATH=build/debug:. $(BIN)/python -P -m pytest tests/native $(ARGS)

check: setup-dev  ## format, lint, types, stubs, import contracts, the player page's own check
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m mypy.stubtest native --ignore-missing-stub --concise
	$(BIN)/lint-imports
	cd $(PLAYER) && npm run --silent check

check-deploy: setup-dev tools-test tools-deploy setup-aws-local $(TERRAFORM)/.installed $(CHECKOV)/.installed  ## build and run what deployments/ has; ARGS="-k image" some
	@$(BIN)/python -m pytest tests/deployments -m deploy $(ARGS)

lint: check  ## check, under another name

format:  ## let ruff and the player page's formatter rewrite what they can
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
	cd $(PLAYER) && npm run --silent format

# The wheel is built from the source distribution, so that both are known to be whole.
build: setup-dev  ## dist/: wheel and source distribution
	@rm -rf dist && mkdir -p build && $(BIN)/python -P -m build --no-isolation --outdir dist . >build/build.log 2>&1 || \
		{ cat build/build.log >&2; exit 1; }
	@ls dist

# Docker where its engine answers, else buildah; either takes the bases that it has already.
build_image = $(if $(shell docker info >/dev/null 2>&1 && echo yes),docker build,buildah build --format docker --layers)
docker-build: TAG = dev
docker-build:  ## images headrace/api, origin, worker and all; TAG=1.2 GPU=nvidia
	@for target in api origin worker all; do \
		$(build_image) --file deployments/docker/Dockerfile --target $$target \
			--tag headrace/$$target:$(TAG) --build-arg GPU=$(GPU) \
			--build-arg REVISION="$$(git rev-parse HEAD)" . || exit 1; \
	done

# What is locked stays as it is while pyproject.toml allows it: ARGS=--upgrade takes what is newest.
lock: setup-dev  ## the versions and hashes that images are made of
	@$(BIN)/python -m pip install --quiet uv==0.13.9
	@cd deployments/docker && lock() { \
		UV_CUSTOM_COMPILE_COMMAND='make lock' $(CURDIR)/$(BIN)/uv pip compile --quiet --universal \
			--python-version 3.11 --generate-hashes --no-annotate $(ARGS) "$$@" >/dev/null; } && \
		lock --extra tracing --output-file requirements.lock ../../pyproject.toml && \
		lock --output-file build-requirements.lock build-requirements.txt

bench: setup-dev tools-test  ## speed of transcoding beside ffmpeg, and time to playable
	@$(BIN)/python -m bench.transcode

bench-origin: setup-dev tools-bench  ## the origin beside nginx, Varnish and Starlette: CPU per request
	@$(BIN)/python -m bench.origin

bench-cdn: setup-dev tools-bench  ## two cache tiers with CloudFront's function before the origin
	@$(BIN)/python -m bench.cdn

bench-scaling: setup-dev tools-test  ## one title over one and two workers of one core each
	@$(BIN)/python -m bench.scaling

bench-cache: setup-dev  ## the origin's cache policies on replayed requests
	@$(BIN)/python -m bench.cache

capacity: setup-dev  ## deployments/capacity.md from what the benches measured
	@$(BIN)/python -m bench.capacity

bench-stores: setup-dev tools-bench  ## what a title asks of its workers, S3, DynamoDB and Redis
	@$(BIN)/python -m bench.capacity.stores $(ARGS)

sim: setup-dev  ## what up to a hundred million viewers need; after bench-origin
	@$(BIN)/python -m bench.sim

# HOST and the others from the command line alone: some shells have variables of these names.
given = $(if $(filter command line,$(origin $1)),--$2 $($1))
load: setup-dev  ## viewers and operators on a service of its own, or HOST=http://...; SHAPE= USERS= TIME=
	@$(BIN)/python -m bench.load $(call given,HOST,host) $(call given,MEDIA_HOST,media-host) \
		$(call given,SHAPE,shape) $(call given,USERS,users) $(call given,OPERATORS,operators) \
		$(call given,TIME,duration) $(call given,PROCESSES,processes) $(call given,TARGETS,targets) $(ARGS)

native: $(VENV)/.native  ## compile the Cython modules
player: $(PLAYER)/dist/index.html  ## build the player page

setup: tools-run $(VENV)/.installed native player
setup-dev: setup $(VENV)/.installed-dev
setup-aws-local: setup-dev $(MINISTACK)/.installed

tools-run tools-test tools-bench tools-deploy: tools-%:
	@PYTHON='$(PYTHON)' sh deployments/install-tools.sh $*

# The project is installed without build isolation, so that nothing is fetched twice, and without
# its native modules: those are compiled below, in parallel, and again whenever they change.
# setuptools warns of an editable install, and of the page's files, which it takes for packages.
PIP_INSTALL := HEADRACE_ONLY=none PYTHONWARNINGS=ignore $(BIN)/python -m pip install --quiet \
	--no-build-isolation --editable

$(VENV)/.installed: pyproject.toml | tools-run
	@echo 'Installing Python packages'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet 'setuptools>=80' 'cython>=3.3,<4'
	@$(PIP_INSTALL) .
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	@echo 'Installing Python packages for development'
	@$(PIP_INSTALL) '.[dev]'
	@touch $@

# DynamoDB for development and tests. It pins a botocore of its own, hence an environment of its own.
$(MINISTACK)/.installed: deployments/aws_local/ministack.txt | tools-run
	@echo 'Installing ministack'
	@test -x $(MINISTACK)/bin/python || $(PYTHON) -m venv $(MINISTACK)
	@$(MINISTACK)/bin/python -m pip install --quiet --requirement $<
	@touch $@

# Terraform with what stands for AWS's provider; it pins an old protobuf.
$(TERRAFORM)/.installed: deployments/terraform_offline/requirements.txt | tools-run
	@echo 'Installing Terraform'
	@test -x $(TERRAFORM)/bin/python || $(PYTHON) -m venv $(TERRAFORM)
	@$(TERRAFORM)/bin/python -m pip install --quiet --requirement $<
	@touch $@

$(CHECKOV)/.installed: deployments/terraform_offline/checkov.txt | tools-run
	@echo 'Installing checkov'
	@test -x $(CHECKOV)/bin/python || $(PYTHON) -m venv $(CHECKOV)
	@$(CHECKOV)/bin/python -m pip install --quiet --requirement $<
	@touch $@

$(VENV)/.native: $(wildcard native/*.pyx native/*.pxd) setup.py $(VENV)/.installed
	@echo 'Compiling the native modules'
	@$(BIN)/python setup.py --quiet build_ext --inplace --parallel "$$(nproc)"
	@touch $@

$(PLAYER)/node_modules/.installed: $(PLAYER)/package-lock.json | tools-run
	@echo 'Installing npm packages of the player page'
	@cd $(PLAYER) && npm ci --silent --no-audit --no-fund
	@touch $@

$(PLAYER)/dist/index.html: $(PLAYER)/node_modules/.installed $(PLAYER_SOURCES)
	@echo 'Building the player page'
	@cd $(PLAYER) && npm run --silent build
	@touch $@

tests/node_modules/.installed: tests/package-lock.json | tools-run
	@echo 'Installing npm packages of the tests'
	@cd tests && npm ci --silent --no-audit --no-fund
	@touch $@

clean:  ## remove everything that was built; ./var with your media stays
	rm -rf $(VENV) $(MINISTACK) $(TERRAFORM) $(CHECKOV) build dist *.egg-info $(PLAYER)/dist $(PLAYER)/node_modules tests/node_modules
	find native -name '*.so' -delete
