# `make` lists the targets. Each checks first for what this machine lacks, and installs it, saying so.

# The folder of this file, without symbolic links, as in make's own CURDIR. MAKEFILE_LIST is the path, or a space and the path; it
# is not parted into words, because the path may hold spaces too.
HASH := \#
ROOT := $(shell file='$(subst ','\'',$(MAKEFILE_LIST))'; file=$${file$(HASH) }; cd -- "$$(dirname -- "$$file")" && pwd -P)

.DEFAULT_GOAL := help
TARGETS = help demo test crash fuzz mutants bench bench-recon build lint sqlx sqlx-check release prerequisites test-prerequisites
.PHONY: $(TARGETS)

ifneq ($(CURDIR),$(ROOT))
# Called as `make -f elsewhere/Makefile`: everything below is relative to the repository.
$(TARGETS):
	@$(MAKE) --no-print-directory -C '$(subst ','\'',$(ROOT))' $@
else

SHELL := /usr/bin/env bash
.SHELLFLAGS := -euo pipefail -c

# librdkafka cannot be built on a path with spaces.
ifneq ($(word 2,$(ROOT)),)
export CARGO_TARGET_DIR ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/payonce/target-$(shell pwd -P | cksum | cut -d ' ' -f 1)
endif

# Nothing is built a second time there.
ifdef CI
export CARGO_INCREMENTAL = 0
endif

# Builds read the checked-in descriptions of the queries.
export SQLX_OFFLINE = true
TARGET = $${CARGO_TARGET_DIR:-target}
CARGO = cargo

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' Makefile | sed -E 's/^([a-z-]+):.*## (.*)/\1\t\2/' | while IFS=$$'\t' read -r name text; do printf 'make %-12s %s\n' "$$name" "$$text"; done

demo: release ## a shop's day of orders paid while the PSP misbehaves, settled and reconciled; exits 0 only if the books are right
	@exec "$(TARGET)/release/demo"

# "cargo test" builds the programs too, for the tests that run them. Built before it, they and half of what they depend on would be
# compiled twice: tests ask more of their dependencies.
test: test-prerequisites ## every test, lint and check; leaves nothing running
	@scripts/test-clients
	@$(MAKE) --no-print-directory sqlx-check lint
	@$(CARGO) test --workspace --no-run
	@"$(TARGET)/debug/with-postgres" -- $(CARGO) test --workspace

crash: release ## payments while services, Postgres and connections are killed, stopped, starved and cut; ARGS=--help says what can be chosen
	@exec "$(TARGET)/release/crash" $(ARGS)

fuzz: prerequisites ## a minute (FUZZ_SECONDS) of fuzzing for each parser of foreign bytes; keeps what it finds
	@scripts/fuzz

mutants: test-prerequisites ## removes the guards that matter, one at a time, and shows that a test fails for each
	@scripts/mutants

bench: release ## payments per second, latency and CPU per payment, beside floors measured in the same run
	@exec "$(TARGET)/release/bench"

bench-recon: release ## lines per second from file to matched and posted, and memory, beside a COPY and a join of the same file
	@exec "$(TARGET)/release/bench-recon"

build: prerequisites ## build all programs, optimised
	@$(CARGO) build --release --workspace --bins

# There are no examples, but with "--examples" what is documented depends on what is tested, and nothing is compiled twice.
lint: test-prerequisites ## formatting, clippy and documentation, no warning allowed, and what is depended on
	@$(CARGO) fmt --all --check
	@scripts/deny
	@$(CARGO) clippy --quiet --workspace --all-targets -- -D warnings
	@RUSTDOCFLAGS='-D warnings' $(CARGO) doc --quiet --workspace --no-deps --lib --examples

sqlx: prerequisites ## describe the SQL queries anew in .sqlx, after a change of one or of a migration
	@scripts/sqlx write

sqlx-check: test-prerequisites ## check that .sqlx is what a freshly migrated database says
	@scripts/sqlx check

release: prerequisites
	@$(CARGO) build --release -p payment-service -p psp-sandbox -p reconciliation -p tests --bins

prerequisites:
	@scripts/prerequisites build

test-prerequisites:
	@scripts/prerequisites test

endif
