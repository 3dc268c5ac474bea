PYTHON ?= python3
BIN := .venv/bin

help: ## this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

PIP := $(BIN)/pip install --quiet --disable-pip-version-check --editable

.venv/made: pyproject.toml
	$(PYTHON) -m venv .venv && $(PIP) . && touch $@

.venv/dev: .venv/made
	$(PIP) '.[dev]' && touch $@

serve: .venv/made ## an array with two 1 GiB LUNs on a pool in var/
	$(BIN)/odx-target serve var/pool --lun first=1G --lun second=1G

demo: .venv/made ## copy 256 MiB by token and by reads and writes, and compare
	$(BIN)/odx-target demo

lint: .venv/dev ## style
	$(BIN)/ruff check . && $(BIN)/ruff format --check .

types: .venv/dev ## mypy, strict
	$(BIN)/mypy

test: lint types ## lint, types and all tests
	tests/interop/install_clients.sh && $(BIN)/pytest -n 3 --dist loadgroup -rs --durations=10

interop: .venv/dev ## Linux guests with open-iscsi, by the best way of booting that works; GUEST=all for each that does
	tests/interop/install_clients.sh qemu-system-x86; \
	GUEST=$${GUEST:-auto} $(BIN)/pytest tests/interop/guest -n 3 --dist worksteal -rs --durations=10

coverage: .venv/dev ## docs/coverage-iscsi.md, the rules of iSCSI and the tests that hold them
	$(BIN)/python -m tests.iscsi.coverage

bench: .venv/dev ## speed beside Debian's tgt, as ratios; then the store's own figures, in docs/performance/
	tests/interop/install_clients.sh tgt libiscsi-bin qemu-utils qemu-block-extra && $(BIN)/python -m bench && $(BIN)/python -m bench.report

torture: .venv/dev ## runs against a naive model with crashes, for TORTURE_MINUTES (120); the numbers add up in var/torture.json
	$(BIN)/python -m tests.torture run --minutes $${TORTURE_MINUTES:-120}

.PHONY: help serve demo lint types test interop coverage bench torture
