# Everything lives in .venv; a fresh clone needs Python 3.11 or newer and nothing else. `make help` lists the targets.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
POSTGRES ?=
# Further arguments: make test ARGS="tests/domain -x", make bench ARGS=--quick
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help setup run demo test check gen gen-check lint proto format types imports docs terraform-mirror terraform-release bench bench-full coverage deep screenshots bench-console clean distclean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z][a-z-]*:.*## / { printf "  %-17s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(STAMP) ## Make .venv with everything in it (again when pyproject.toml or constraints.txt change)

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "Outlay needs Python 3.11 or newer, and '$(PYTHON)' is $$($(PYTHON) --version 2>&1)." >&2; \
	  echo "Name another: make PYTHON=python3.12" >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || { \
	  rm -rf $(VENV); echo "'$(PYTHON) -m venv' failed: on Debian and Ubuntu install python3-venv." >&2; exit 1; }
	@echo "Installing into $(VENV) (about a minute)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@$(BIN)/python -m pip check --disable-pip-version-check >/dev/null
	@touch $@

run: $(STAMP) ## Serve on the embedded default: gRPC 127.0.0.1:50051, HTTP 127.0.0.1:8080, data in ./data
	@exec $(BIN)/outlay serve $(ARGS)

demo: $(STAMP) ## Watch caps, alerts and a denial on a live server; POSTGRES=1 on PostgreSQL
	@exec $(if $(POSTGRES),$(BIN)/python scripts/with_postgres.py) $(BIN)/outlay demo $(ARGS)

test: $(STAMP) ## Run the tests on every store this machine can start
	$(BIN)/python -m pytest $(ARGS)

check: lint types imports gen-check test ## All that must hold before a change lands; what CI runs

lint: $(STAMP) proto ## ruff, and the proto checks
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

proto: $(STAMP) ## buf format and lint over the protos, and the AIP rules over their descriptors
	$(BIN)/python scripts/check_proto.py
	$(BIN)/python scripts/check_aip.py

format: $(STAMP) ## Rewrite what ruff can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: $(STAMP) ## mypy, strict
	$(BIN)/mypy

imports: $(STAMP) ## Who may import whom
	@$(BIN)/lint-imports --no-cache --config pyproject.toml

gen: $(STAMP) ## Generate gen/ from proto/
	$(BIN)/python scripts/gen.py $(ARGS)

gen-check: $(STAMP) ## Fail where gen/ or docs/reference/ is not what proto/ says
	$(BIN)/python scripts/gen.py --check
	$(BIN)/python scripts/gen_docs.py --check

docs: $(STAMP) ## Write docs/reference/ from the protos' comments
	$(BIN)/python scripts/gen_docs.py

terraform-mirror: $(STAMP) ## Make build/terraform-mirror, from which `terraform init` works offline
	@$(BIN)/python scripts/terraform_mirror.py

terraform-release: $(STAMP) ## Build the provider's zip, SHA256SUMS and manifest for a registry, in build/terraform-release
	@$(BIN)/python scripts/terraform_release.py

bench: $(STAMP) ## Measure beside a bare echo of the same run (3 minutes)
	@$(PLOTS)
	$(BIN)/python -m benchmarks $(ARGS)

bench-full: $(STAMP) ## Everything, rivals too, and write docs/benchmarks.md (half an hour)
	@$(PLOTS)
	$(BIN)/python -m benchmarks --full --install --write-docs $(ARGS)

bench-console: $(STAMP) ## Measure the console in Debian's Chromium: time until drawn, bytes, axe (2 minutes)
	@$(BIN)/python -m benchmarks.console $(ARGS)

screenshots: $(STAMP) ## Write docs/images/console-*.png from the demo's data, in Debian's Chromium
	@$(BIN)/python -m scripts.screenshots

PLOTS = $(BIN)/python -c 'import matplotlib' 2>/dev/null || \
  $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[bench]'

coverage: $(STAMP) ## Run the tests and say which lines they miss
	$(BIN)/python -m pytest --cov --cov-report=term $(ARGS)

deep: $(STAMP) ## The long proofs behind docs/guarantees.md
	$(BIN)/python -m pytest -m deep --timeout=0 $(ARGS)

clean: ## Remove caches and what was built
	rm -rf build dist htmlcov .coverage .coverage.* coverage.xml
	rm -rf .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache .schemathesis .cache
	find gen service terraform-bridge tests benchmarks scripts -type d -name __pycache__ -prune -exec rm -rf {} + 2>/dev/null || true

distclean: clean ## And .venv
	rm -rf $(VENV)
