# The two commands a newcomer needs are `make demo` and `make test`; `make help` lists the rest.
# `.ci/run` runs these same targets.

.DEFAULT_GOAL := help
.PHONY: help demo test test-docker test-pooler test-interop fuzz-api judges profiler-soak golden chaos plans loom tsan bench bench-baseline fmt lint docs deny coverage ci tools

CARGO ?= cargo
# Installed by `make tools`, of versions that are pinned in scripts/need-tools.sh.
TOOLS := $(CURDIR)/target/tools
export PATH := $(TOOLS)/bin:$(PATH)

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: ## See Legwork work: a private Postgres, sample jobs, a live page
	@scripts/need-postgres.sh --or-docker
	$(CARGO) run --release -- demo

test: ## Run every test, against DATABASE_URL, a Docker engine or a private Postgres
	@scripts/need-postgres.sh
	$(CARGO) test

test-docker: ## Run every test against a container, and fail without a Docker engine
	@scripts/need-docker.sh
	@scripts/need-postgres.sh
	LEGWORK_TEST_DOCKER=1 $(CARGO) test

# What isn't run through it, and why: DIRECT in tests/it/support/pooled.rs.
test-pooler: ## Run the integration tests through PgBouncer in transaction mode, and fail without one
	@scripts/need-postgres.sh
	@scripts/need-pgbouncer.sh
	LEGWORK_TEST_POOLER=1 $(CARGO) test --test it

test-interop: ## Run the examples of every language that is at hand: producers and receivers
	@scripts/need-postgres.sh
	@CARGO="$(CARGO)" scripts/test-interop.sh

judges: ## Install the programs of others that judge the admin port: Go's pprof, promtool, a fuzzer
	@scripts/need-judges.sh $(TOOLS)

fuzz-api: export LEGWORK_TEST_FUZZ ?= 300
fuzz-api: ## Ask a running daemon whatever its OpenAPI document allows, and what it forbids
	@scripts/need-postgres.sh
	@scripts/need-schemathesis.sh $(TOOLS)
	$(CARGO) test --test it api::fuzzed -- --nocapture

golden: ## Rewrite the golden files; look at the difference before you commit it
	@scripts/need-postgres.sh
	INSTA_UPDATE=always $(CARGO) test

chaos: ## Kill, stop and cut off real daemons over a few seeds, and catch each bug that is seeded
	@scripts/need-postgres.sh
	@CARGO="$(CARGO)" scripts/chaos.sh

# Six minutes and 5 GB, and passed on 2026-11-29; `make test` does the same with 100,000 rows. A statement that is new is in
# its golden files after INSTA_UPDATE=always make plans: look at the plans.
plans: export LEGWORK_PLANS_ROWS ?= 1000000
plans: export LEGWORK_PLANS_FINISHED ?= 10000000
plans: ## Look at every plan beside ten million finished jobs, and after a million under a held snapshot
	@scripts/need-postgres.sh
	$(CARGO) test --test it -- plans:: decisions::churn --nocapture --test-threads=1

# Without the bound it takes three minutes, and passed on 2026-11-23: LOOM_MAX_PREEMPTIONS=99 make loom
loom: export LOOM_MAX_PREEMPTIONS ?= 3
loom: ## Explore the interleavings of the hand-made synchronisation, to 3 preemptions
	RUSTC_WORKSPACE_WRAPPER=$(CURDIR)/scripts/with-loom.sh $(CARGO) test --lib loom

tsan: ## Watch the profiler's ring under ThreadSanitizer
	@scripts/tsan.sh

# Three minutes each way; passed on 2026-11-29.
profiler-soak: export LEGWORK_PROFILER_SOAK ?= 180
profiler-soak: ## Profile for minutes while threads and handlers allocate, panic, unwind and start others
	@scripts/need-postgres.sh
	$(CARGO) test --lib threads_that_allocate_unwind
	$(CARGO) test --test it profiling::soak

bench: ## Measure the hot paths and say what moved since benches/baseline.json
	@scripts/need-postgres.sh
	$(CARGO) bench --bench hot_paths

bench-baseline: ## The same, and write it down as the baseline; look at the difference before you commit it
	@scripts/need-postgres.sh
	$(CARGO) bench --bench hot_paths -- --rewrite

fmt: ## Format the sources
	$(CARGO) fmt

lint: ## Check the format and the lints, warnings are errors
	$(CARGO) fmt --check
	$(CARGO) clippy --all-targets -- -D warnings

docs: ## Build the documentation, warnings are errors
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --no-deps

tools: ## Install cargo-deny and cargo-llvm-cov into target/tools
	@scripts/need-tools.sh $(TOOLS)

deny: tools ## Check licences, bans and sources of the dependencies
	$(CARGO) deny check --hide-inclusion-graph bans licenses sources

coverage: tools ## Run every test, count the covered lines, hold them to .ci/coverage-floor
	@scripts/need-postgres.sh
	@scripts/coverage.sh

ci: ## Everything that a change has to pass
	.ci/run
