# The same few targets for people and for CI. `make` lists them.
#
# Everything lives in .venv, made of the newest Python from 3.11 on that is found; another one: make PYTHON=...
# Variables of the service pass through: make run PORT=8080

SHELL := /bin/sh
.DEFAULT_GOAL := help

VENV := .venv
BIN := $(VENV)/bin
# `make test` runs the tests of the service; those of the tools around it need more packages: `make test-tools`.
TOOLS := tests/bench tests/loadtest tests/deploy
SERVICE := tests $(addprefix --ignore=,$(TOOLS))
PROTOCOL := $(addsuffix .py,$(addprefix tests/,conformance/test_protocol conformance/test_llhttp http/test_parser_oracle))
PROOFS := $(addprefix tests/integration/test_,$(addsuffix .py,nothing_lost flushall ledger_faults coherence rotation))

# The first of these that is new enough. Not evaluated before a target needs it.
PYTHON ?= $(shell for python in python3.13 python3.12 python3.11 python3 python; do \
	if $$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then echo $$python; break; fi; done)

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: run
run: $(VENV)/.run-stamp ## install what is missing and serve on port 3655 until Ctrl-C
	@exec $(BIN)/arsenal-fast serve

.PHONY: test
test: lint $(VENV)/.test-stamp redis postgresql ## ruff, mypy --strict, and all tests of the service
	$(BIN)/pytest $(SERVICE)

.PHONY: unit
unit: $(VENV)/.test-stamp ## the tests that need neither Redis nor a started service
	$(BIN)/pytest -m "not integration" $(SERVICE)

.PHONY: integration
integration: $(VENV)/.test-stamp redis postgresql ## the tests with a real Redis, PostgreSQL and sockets
	$(BIN)/pytest -m integration $(SERVICE)

.PHONY: test-tools
test-tools: $(VENV)/.bench-stamp $(VENV)/.deploy-stamp bench-tools ## the tests of benchmark, load test and deployment files
	$(BIN)/pytest -m "not deploy" $(TOOLS)

.PHONY: verify-deploy
verify-deploy: $(VENV)/.deploy-stamp redis postgresql ## image, manifests, alerts, dashboards, backup, upgrade: by the real tools
	@scripts/install-deploy-tools.sh
	$(BIN)/pytest -m deploy tests/deploy

.PHONY: image-test
image-test: $(VENV)/.deploy-stamp redis ## build the image, start the service from it, call it, stop it
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
prove-ledger: $(VENV)/.test-stamp redis ## 20 kills on each database, a lock of 10 s, 10,000 revocations over two replicas
	@scripts/install-postgresql.sh
	LEDGER_KILLS=20 LEDGER_LOCK_SECONDS=10 COHERENCE_TRIES=10000 $(BIN)/pytest -s $(PROOFS)

.PHONY: lint
lint: $(VENV)/.lint-stamp ## ruff (rules and format), mypy --strict, which package may import which
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

.PHONY: format
format: $(VENV)/.lint-stamp ## put the source into its form
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

.PHONY: dashboard
dashboard: $(VENV)/.deploy-stamp ## write the Grafana dashboard from deploy/grafana/panels.py
	$(BIN)/python -m deploy.grafana.build

.PHONY: bench
bench: peers bench-tools ## the service against the floor and the rivals, and all scenarios; kept in bench/results
	$(BIN)/python -m bench

.PHONY: bench-quick
bench-quick: $(VENV)/.bench-stamp bench-tools ## a first look at all of it in a minute or two, kept nowhere
	$(BIN)/python -m bench --quick

.PHONY: bench-gate
bench-gate: $(VENV)/.bench-stamp bench-tools ## fail where a request costs more than bench/baseline.json says, or a checkout: AGAINST=dir
	$(BIN)/python -m bench.gate $(if $(AGAINST),--against $(AGAINST))

.PHONY: peers
peers: $(VENV)/.bench-stamp ## build the rivals of make bench; one that can't be built says why
	@$(BIN)/python -m bench.peers.build

.PHONY: perf
perf: $(VENV)/.bench-stamp ## write PERF.md and its pictures from the newest results of make bench
	$(BIN)/python -m bench.report

.PHONY: micro
micro: $(VENV)/.bench-stamp ## time the stages of a request and the tokens inside one process (pytest-benchmark)
	taskset -c 0 $(BIN)/pytest bench --benchmark-only --benchmark-group-by=func --benchmark-columns=median,iqr,rounds

.PHONY: loadtest
loadtest: $(VENV)/.loadtest-stamp bench-tools ## the guide's whole mix from 5,000 Locust users; verdict, build/loadtest/report.html
	$(BIN)/python -m loadtest $(LOADTEST)

.PHONY: loadtest-short
loadtest-short: $(VENV)/.loadtest-stamp bench-tools ## a tenth of it for a few seconds, as CI does
	$(BIN)/python -m loadtest --users 500 --scale 0.1 --seconds 10 --output build/loadtest-short

.PHONY: fuzz
fuzz: $(VENV)/.test-stamp ## the property tests with 10,000 examples each; FUZZ_EXAMPLES=n for another number
	$(BIN)/python -m pytest -p fuzz.profile --hypothesis-profile=fuzz -m "hypothesis and not integration" $(SERVICE)

.PHONY: soak
soak: $(VENV)/.test-stamp redis ## ten minutes of the mix, each answer checked, nothing may grow; SOAK_SECONDS=n, SOAK_RATE=n
	SOAK_SECONDS=$${SOAK_SECONDS:-600} $(BIN)/pytest -s tests/integration/test_soak.py

.PHONY: faults
faults: $(VENV)/.test-stamp redis postgresql ## slow clients, a stuck log, Redis, ledger and processes that fail; ends in a table
	LEDGER_LOCK_SECONDS=10 ROLLS=$${ROLLS:-10} $(BIN)/python -m pytest -p tests.support.fault_report

.PHONY: conformance
conformance: $(VENV)/.test-stamp ## HTTP/1.1 by its RFCs, over plain and TLS; llhttp's own vectors; h11 as the oracle
	$(BIN)/pytest $(PROTOCOL)

.PHONY: attack
attack: $(VENV)/.test-stamp redis ## a minute of every attack at once from 50 addresses, over plain and TLS; ATTACK_SECONDS=n
	ATTACK_SECONDS=$${ATTACK_SECONDS:-60} $(BIN)/pytest -s tests/integration/test_attack.py

.PHONY: wheel
wheel: | $(BIN)/python ## build dist/*.whl of the newest commit, with nothing installed but requirements/build.lock
	scripts/build-wheel.sh $(BIN)/python dist

.PHONY: verify-wheel
verify-wheel: | $(BIN)/python ## build the wheel of dist/ anew, which must give the same octets, and start it with the locks
	scripts/verify-wheel.sh $(BIN)/python dist/*.whl

.PHONY: pin-images
pin-images: ## pin the images of others to the digests that their tags have now (needs the registries)
	scripts/pin-images.sh

.PHONY: clean
clean: ## remove what the other targets made
	rm -rf $(VENV) build dist *.egg-info .benchmarks .hypothesis .mypy_cache .pytest_cache .ruff_cache .schemathesis
	rm -rf bench/peers/.build bench/peers/javascript/node_modules
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

# A stamp for each extra is newer than pyproject.toml once its packages are in; a second call is then quick.
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --editable

$(VENV)/.run-stamp: pyproject.toml | $(BIN)/python
	$(INSTALL) .
	@touch $@

$(VENV)/.%-stamp: pyproject.toml | $(BIN)/python
	$(INSTALL) '.[$*]'
	@touch $@ $(VENV)/.run-stamp

$(BIN)/python:
	@scripts/make-venv.sh '$(PYTHON)' $(VENV)
