PYTHON ?= python3
BIN := .venv/bin
unexport PYTHONDONTWRITEBYTECODE # otherwise, each program that a test starts compiles all its modules again

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 15

PIP := $(BIN)/pip install --quiet --disable-pip-version-check --editable

.venv/made: pyproject.toml hatch_build.py $(wildcard src/odx_target/native/*.[ch] src/odx_target/native/*/*.[ch])
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

test: lint ## lint, types and all tests
	$(MAKE) --no-print-directory -j2 types all-tests

compiled-tests: .venv/dev # once, beside the types, because each worker of the tests would compile all files
	tests/interop/install_clients.sh
	-@$(BIN)/pytest --collect-only -qq > /dev/null # the tests themselves show what is wrong

all-tests: compiled-tests
	$(BIN)/pytest -n 3 --dist loadgroup -rs --durations=10

interop: .venv/dev ## Linux guests with open-iscsi, by the best way of booting that works; GUEST=all for each that does
	tests/interop/install_clients.sh qemu-system-x86; \
	GUEST=$${GUEST:-auto} $(BIN)/pytest tests/interop/guest -n 3 --dist worksteal -rs --durations=10

failover: .venv/dev ## a Linux guest with dm-multipath on a synchronous group: 20 kill -9, 20 cuts, a frozen primary, 5 switchovers
	tests/interop/install_clients.sh qemu-system-x86; \
	FAILOVER=whole GUEST=$${GUEST:-tcg} $(BIN)/pytest tests/interop/guest/test_group_failover.py -rs

conformance: .venv/dev ## libiscsi's 230 tests, and docs/conformance.md: the verdicts for the array, tgt and LIO
	tests/interop/install_clients.sh && $(BIN)/python -m tests.interop.conformance_run
	$(BIN)/python -m tests.conformance.document

coverage: .venv/dev ## docs/coverage.md and docs/coverage-iscsi.md: commands, their outcomes, and rules, each with its tests
	$(BIN)/python -m tests.iscsi.coverage && $(BIN)/python -m tests.command_coverage

BENCH := tests/interop/install_clients.sh tgt istgt libiscsi-bin qemu-utils qemu-block-extra && $(BIN)/python -m

bench: .venv/dev ## speed beside other targets, copies, and the store's own figures, in docs/performance/; about 25 minutes
	$(BENCH) bench --write && $(BIN)/python -m bench.copies --write && $(BIN)/python -m bench.report

bench-quick: .venv/dev ## nine cells beside other targets, in less than three minutes
	$(BENCH) bench --quick

bench-columns: .venv/dev ## the quick cells with a LUN of 2 GiB, with a pool on a disk, and without the native module; ten minutes
	$(BENCH) bench.columns

bench-compare: .venv/dev ## two revisions beside tgt: OLD=REV NEW=REV; fails if NEW is slower
	$(BENCH) bench.compare $${OLD:?a revision} $${NEW:-.}

bench-link: .venv/dev ## rates of the link between two arrays: TCP, TLS, frames, requests, copies of snapshots
	$(BENCH) bench.links link

bench-remote: .venv/dev ## copies by token from one array to another beside qemu-img through the host, and their link bytes
	$(BENCH) bench.links remote

bench-replica: .venv/dev ## replication: unchanged data, the error of a throttle, data sent twice after a cut
	$(BENCH) bench.links replica

bench-sync: .venv/dev ## synchronous replication: loss of writes, work added to the loop, resync rate, takeover after kill -9
	$(BENCH) bench.links sync

torture: .venv/dev ## runs against a naive model with crashes, for TORTURE_MINUTES (120); the numbers add up in var/torture.json
	$(BIN)/python -m tests.torture run --minutes $${TORTURE_MINUTES:-120}

sim: .venv/dev ## several arrays in one process with faults, for SIM_MINUTES (60) or until SIM_SEEDS; the numbers add up in var/sim.json
	$(BIN)/python -m tests.sim run --minutes $${SIM_MINUTES:-60} $${SIM_SEEDS:+--seeds $$SIM_SEEDS} $${SIM_SCENARIOS:+--scenarios "$$SIM_SCENARIOS"}

fuzz: .venv/dev ## hostile input for FUZZ_MINUTES (30), guided by coverage; findings are written to var/fuzz/
	$(BIN)/python -m tests.fuzz run --minutes $${FUZZ_MINUTES:-30}

.PHONY: help serve demo lint types test compiled-tests all-tests interop failover coverage conformance bench bench-quick bench-columns bench-compare bench-link bench-remote bench-replica bench-sync torture sim fuzz
