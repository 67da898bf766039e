# Targets for developers and CI; `make` lists them.
#
# Installs into .venv, with the newest Python from 3.11 on that is found; another one: make PYTHON=...
# Variables of the service are passed on: make run PORT=8080

SHELL := /bin/sh
.DEFAULT_GOAL := help

VENV := .venv
BIN := $(VENV)/bin
# `make test` runs the tests of the service; those of the tools need more packages: `make test-tools`.
TOOLS := tests/bench tests/loadtest tests/deploy
SERVICE := tests $(addprefix --ignore=,$(TOOLS))
UNIT := $(BIN)/pytest -n auto -m "not integration" $(SERVICE)
PROTOCOL := tests/conformance/test_protocol.py tests/conformance/test_llhttp.py tests/http/test_parser_oracle.py
CHROMIUM := chromium/chromium-browser/google-chrome:chromium
COUNTERPARTS := tutorial clients examples pages terminal locust site
PROOFS := $(addprefix tests/integration/test_,$(addsuffix .py,nothing_lost flushall ledger_faults coherence token_withdrawals rotation))

# The first of these that is new enough; evaluated only when a target needs it.
PYTHON ?= $(shell for python in python3.14 python3.13 python3.12 python3.11 python3 python; do \
	if $$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then echo $$python; break; fi; done)

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: run
run: $(VENV)/.run-stamp ## install the service and serve on port 3655 until Ctrl-C
	@exec $(BIN)/arsenal-fast serve

.PHONY: test
test: lint $(VENV)/.test-stamp redis postgresql ## run ruff, mypy --strict and all tests of the service
	$(UNIT)
	$(BIN)/pytest -m integration $(SERVICE)

.PHONY: unit
unit: $(VENV)/.test-stamp ## run the tests that need neither Redis nor a started service
	$(UNIT)

.PHONY: integration
integration: $(VENV)/.test-stamp redis postgresql ## run the tests with a real Redis, PostgreSQL and sockets
	$(BIN)/pytest -m integration $(SERVICE)

.PHONY: test-tools
test-tools: $(VENV)/.bench-stamp $(VENV)/.deploy-stamp $(VENV)/.docs-stamp bench-tools ## run the tests of benchmark, load test and deployment files
	$(BIN)/pytest -m "not deploy" $(TOOLS)

.PHONY: verify-deploy
verify-deploy: $(VENV)/.deploy-stamp $(VENV)/.docs-stamp $(VENV)/.loadtest-stamp redis postgresql ## check image, manifests, alerts, dashboards, backup and upgrade with real tools
	@scripts/install-deploy-tools.sh
	$(BIN)/pytest -m deploy tests/deploy

.PHONY: e2e
e2e: $(VENV)/.deploy-stamp $(VENV)/.docs-stamp $(VENV)/.loadtest-stamp redis ## use clients, examples, pages, terminal, Locust and documentation as people do; print a table
	@scripts/need.sh $(CHROMIUM) jq node:nodejs npm
	$(BIN)/pytest -m deploy $(addprefix tests/deploy/test_,$(addsuffix .py,$(COUNTERPARTS)))

.PHONY: screenshots
screenshots: $(VENV)/.deploy-stamp redis ## write the pictures of the pages to docs/pages
	@scripts/need.sh $(CHROMIUM)
	SCREENSHOTS=docs/pages $(BIN)/pytest -m deploy tests/deploy/test_pages.py -k "accessible or why_and_since"

.PHONY: image-test
image-test: $(VENV)/.deploy-stamp redis ## build the image, start it, send requests, stop it
	@scripts/install-deploy-tools.sh
	$(BIN)/pytest -m deploy tests/deploy/test_image.py tests/deploy/test_lock.py

.PHONY: lock
lock: $(VENV)/.deploy-stamp ## pin the newest dependencies of the image, with hashes, in requirements/*.lock
	scripts/lock.sh $(BIN)

.PHONY: sbom
sbom: $(VENV)/.deploy-stamp ## write the image's bill of materials to dist/sbom.cdx.json (CycloneDX)
	scripts/sbom.sh $(BIN) dist/sbom.cdx.json

.PHONY: kube-rules
kube-rules: $(VENV)/.deploy-stamp ## write the PrometheusRule of k8s/ from the alerts in deploy/prometheus
	$(BIN)/python scripts/render-prometheus-rule.py

.PHONY: prove-ledger
prove-ledger: $(VENV)/.test-stamp redis ## run the ledger's proofs: 20 kills on each database, a lock of 10 s, 10,000 revocations of identities and of tokens over two replicas
	@scripts/install-postgresql.sh
	LEDGER_KILLS=20 LEDGER_LOCK_SECONDS=10 COHERENCE_TRIES=10000 $(BIN)/pytest -s $(PROOFS)

.PHONY: lint
lint: $(VENV)/.lint-stamp ## run ruff (rules and format), mypy --strict and the import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

.PHONY: format
format: $(VENV)/.lint-stamp ## format the source and apply ruff's fixes
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

.PHONY: dashboard
dashboard: $(VENV)/.deploy-stamp ## write the Grafana dashboard from deploy/grafana/panels.py
	$(BIN)/python -m deploy.grafana.build

.PHONY: clients
clients: $(VENV)/.clients-stamp ## check, test and pack the Python and TypeScript clients into build/clients; needs Node
	@scripts/need.sh node:nodejs npm
	cd clients/python && $(CURDIR)/$(BIN)/mypy && $(CURDIR)/$(BIN)/pytest
	cd clients/typescript && npm ci --ignore-scripts --no-audit --no-fund && npm run check && npm test
	$(BIN)/python -m build --wheel --outdir build/clients clients/python
	npm pack ./clients/typescript --pack-destination build/clients

.PHONY: docs
docs: $(VENV)/.docs-stamp ## build the documentation site strictly into build/site
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet
	@echo "build/site/index.html"

.PHONY: bench
bench: peers bench-tools postgresql $(VENV)/.loadtest-stamp ## measure the service, the floor, the rivals and all scenarios; results in bench/results
	$(BIN)/python -m bench

.PHONY: bench-quick
bench-quick: $(VENV)/.bench-stamp $(VENV)/.loadtest-stamp bench-tools postgresql ## run the benchmark in some minutes, without keeping results
	$(BIN)/python -m bench --quick

.PHONY: bench-gate
bench-gate: $(VENV)/.bench-stamp bench-tools ## fail if a request costs more CPU time than in another checkout: AGAINST=dir
	$(BIN)/python -m bench.gate --against $(AGAINST)

.PHONY: bench-instructions
bench-instructions: $(VENV)/.bench-stamp ## count the instructions of a request under callgrind; with AGAINST=dir fail where they rise by 2 %
	@scripts/need.sh valgrind
	$(BIN)/python -m bench.instructions $(if $(AGAINST),--against $(AGAINST))

.PHONY: peers
peers: $(VENV)/.bench-stamp ## build the rivals of make bench; prints why one can't be built
	@$(BIN)/python -m bench.peers.build

.PHONY: perf
perf: $(VENV)/.bench-stamp ## write PERF.md and its pictures from the newest results of make bench
	$(BIN)/python -m bench.report

.PHONY: micro
micro: $(VENV)/.bench-stamp ## time the stages of a request and the tokens in one process (pytest-benchmark)
	taskset -c 0 $(BIN)/pytest bench --benchmark-only --benchmark-group-by=func --benchmark-columns=median,iqr,rounds

.PHONY: loadtest
loadtest: $(VENV)/.loadtest-stamp bench-tools ## run the guide's load with 5,000 Locust users; verdict and build/loadtest/report.html
	$(BIN)/python -m loadtest $(LOADTEST)

.PHONY: loadtest-short
loadtest-short: $(VENV)/.loadtest-stamp bench-tools ## run a tenth of the load for ten seconds, as CI does
	$(BIN)/python -m loadtest --users 500 --scale 0.1 --seconds 10 --output build/loadtest-short

.PHONY: fuzz
fuzz: $(VENV)/.test-stamp ## run the property tests with 10,000 examples each, or FUZZ_EXAMPLES=n
	$(BIN)/python -m pytest -p fuzz.profile --hypothesis-profile=fuzz -m "hypothesis and not integration" $(SERVICE)

.PHONY: soak
soak: $(VENV)/.test-stamp redis ## run ten minutes of the mix (SOAK_SECONDS=n, SOAK_RATE=n), check every response, and that no resource grows
	SOAK_SECONDS=$${SOAK_SECONDS:-600} $(BIN)/pytest -s tests/integration/test_soak.py

.PHONY: faults
faults: $(VENV)/.test-stamp redis postgresql ## test slow clients, a stuck log, failures of Redis, ledger and processes; print a table
	LEDGER_LOCK_SECONDS=10 ROLLS=$${ROLLS:-10} FAILOVERS=$${FAILOVERS:-10} $(BIN)/python -m pytest -p tests.support.fault_report

.PHONY: conformance
conformance: $(VENV)/.test-stamp ## test HTTP/1.1 by its RFCs over plain TCP and TLS, with llhttp's vectors and h11 as the oracle
	$(BIN)/pytest $(PROTOCOL)

.PHONY: attack
attack: $(VENV)/.test-stamp redis ## run all attacks at once from 50 addresses for a minute (ATTACK_SECONDS=n), over TCP and TLS
	ATTACK_SECONDS=$${ATTACK_SECONDS:-60} $(BIN)/pytest -s tests/integration/test_attack.py

.PHONY: wheel
wheel: | $(BIN)/python ## build dist/*.whl of the newest commit with only requirements/build.lock installed
	scripts/build-wheel.sh $(BIN)/python dist

.PHONY: verify-wheel
verify-wheel: | $(BIN)/python ## build the wheel of dist/ again, compare the bytes, and start it with the locked dependencies
	scripts/verify-wheel.sh $(BIN)/python dist/*.whl

.PHONY: pin-images
pin-images: ## pin third-party images to the current digests of their tags (needs the registries)
	scripts/pin-images.sh

.PHONY: clean
clean: ## remove the files that the other targets made
	rm -rf $(VENV) build dist *.egg-info .benchmarks .hypothesis .mypy_cache .pytest_cache .ruff_cache .schemathesis
	rm -rf bench/peers/.build bench/peers/javascript/node_modules
	rm -rf clients/python/build clients/typescript/dist clients/typescript/node_modules examples/node_modules
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

.PHONY: redis
redis:
	@scripts/install-redis.sh

.PHONY: bench-tools
bench-tools: redis
	@scripts/install-bench-tools.sh

.PHONY: postgresql
postgresql:
	@scripts/install-postgresql.sh
	@scripts/install-pgbouncer.sh

# A stamp for each extra, newer than pyproject.toml once its packages are installed, so that a second call is quick.
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --editable

$(VENV)/.run-stamp: pyproject.toml | $(BIN)/python
	$(INSTALL) .
	@touch $@

$(VENV)/.clients-stamp: clients/python/pyproject.toml $(VENV)/.test-stamp
	$(INSTALL) './clients/python[test]'
	@touch $@

$(VENV)/.%-stamp: pyproject.toml | $(BIN)/python
	$(INSTALL) '.[$*]'
	@touch $@ $(VENV)/.run-stamp

$(BIN)/python:
	@scripts/make-venv.sh '$(PYTHON)' $(VENV)
