# dbos_sys: the one entry for people. `make help` lists the targets.
# PGXS is used in extension/Makefile only, CMake in client/ only.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := all

PG_MAJOR ?= 15
export PG_MAJOR
# The scripts get it only from who chose it: they look for themselves, after the bootstrap.
ifneq ($(origin PG_CONFIG),undefined)
export PG_CONFIG
endif
PG_CONFIG ?= $(firstword $(wildcard /usr/lib/postgresql/$(PG_MAJOR)/bin/pg_config) pg_config)

VERSION := $(shell sed -n "s/^default_version *= *'\([^']*\)'.*/\1/p" extension/dbos_sys.control)
JOBS ?= 2
PREFIX ?= /usr/local
# More for the first `cmake`, for example CMAKE_FLAGS=-DDBOS_SANITIZE=thread with BUILD_CLIENT=build/thread.
CMAKE_FLAGS ?=
BUILD_CLIENT ?= build/client
# The folder whose files the demo works through.
DIR ?= /usr/share/doc
# The database that `make psql` opens.
DB ?= dbos_sys
# The suites that `make check` runs: unless named, all but those that `make interop` adds; `all` for those too.
SUITE ?=
# The SDKs that `make drift` tries, all in their newest release unless named.
SDK ?=
# How long `make chaos` goes on, and which faults in which order: at random unless named.
MINUTES ?= 10
SEED ?=

.PHONY: all
all: extension client ## build the extension and the client

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

# ---- for people
.PHONY: demo adopt-demo server psql stop
demo: ## set up everything and run the main job on real files (DIR=/usr/share/doc)
	@scripts/bootstrap
	@$(MAKE) --no-print-directory extension client TARGETS='dbos-sys examples_ingest'
	@scripts/demo $(call quote,$(DIR))

adopt-demo: ## kill processes of an official SDK's application, without and with the extension (SDK=python)
	@examples/adopt/run $(SDK)

server: extension ## start the private server, print its URIs
	@scripts/server

psql: ## open psql on the private server (DB=dbos_sys)
	@scripts/cluster psql dev -d $(call quote,$(DB))

stop: ## stop the private server
	@if scripts/cluster running dev; then scripts/cluster stop dev; fi
	@scripts/cluster reap

# ---- build
# $(call quote,text): one word for the shell.
quote = '$(subst ','\'',$(1))'

.PHONY: packages extension client
packages:
	@scripts/bootstrap --check || { echo 'Run scripts/bootstrap first.' >&2; exit 1; }

extension: packages ## build the extension (V=1 shows the commands)
	@mkdir -p build
	@flock build/.extension.lock $(MAKE) $(if $(V),,-s) --no-print-directory -C extension PG_CONFIG=$(PG_CONFIG)

# TARGETS narrows what is built, as the demo does.
client: packages ## build the C++ client, dbos-sys, tests and examples into build/client
	@mkdir -p $(BUILD_CLIENT)
	@exec 9>$(BUILD_CLIENT)/.lock; flock 9; \
	unset MAKEFLAGS MAKELEVEL; \
	[[ -f $(BUILD_CLIENT)/CMakeCache.txt ]] || cmake -S client -B $(BUILD_CLIENT) $(CMAKE_FLAGS) 9>&-; \
	cmake --build $(BUILD_CLIENT) -j$(JOBS) $(if $(TARGETS),--target $(TARGETS)) 9>&-

.PHONY: install
install: all ## install the extension into PG_CONFIG's PostgreSQL, the client into PREFIX
	@$(MAKE) --no-print-directory -C extension PG_CONFIG=$(PG_CONFIG) install
	cmake --install $(BUILD_CLIENT) --prefix $(PREFIX)

# ---- tests
.PHONY: check interop drift installcheck lint format chaos bench prove
check: ## run all tests on private servers (SUITE='regress isolation' for some)
	@scripts/bootstrap test
	@$(MAKE) --no-print-directory extension client
	@scripts/run-tests $(SUITE)

interop: ## run the official SDKs of four languages on our tables (installs Go, a JDK, Maven)
	@scripts/bootstrap interop
	@$(MAKE) --no-print-directory extension client TARGETS='interop_interop_worker interop_interop_client'
	@scripts/run-tests interop

drift: ## try the newest releases of the official SDKs (SDK='python go=1.8.0' for some)
	@scripts/bootstrap interop
	@$(MAKE) --no-print-directory extension client TARGETS='interop_interop_worker interop_interop_client'
	@test/interop/drift $(SDK)

installcheck: ## run the SQL tests on the installed extension of a running server (PGHOST, PGPORT)
	@$(MAKE) --no-print-directory -C extension PG_CONFIG=$(PG_CONFIG) installcheck

lint: ## check format, sizes, directions of calls and includes, clang-tidy
	@scripts/lint

format: ## format the C++ sources
	@scripts/cpp-files | xargs -0 clang-format-14 -i

chaos: all ## faults at random on real processes (SEED=n MINUTES=10)
	@scripts/bootstrap test
	@test/crash/run --chaos --minutes $(MINUTES) $(if $(SEED),--seed $(SEED))

bench: all ## measure beside the official TypeScript SDK
	@scripts/bootstrap test
	@bench/run

prove: ## set up from nothing in a fresh Debian 12 root (needs root and debootstrap)
	@scripts/prove-bootstrap

# ---- release, clean
.PHONY: dist clean
dist: ## pack build/dbos_sys-VERSION.{tar.gz,zip} from the last commit
	@scripts/dist $(VERSION)

clean: ## remove everything built, the private servers and their data
	@if [[ -d build || -d $$(scripts/cluster folder) ]]; then scripts/cluster destroy all; fi
	@rm -rf build
	@rm -f extension/src/*.o extension/*.so extension/dbos_sys--*.sql extension/dbos_sys-plain.sql extension/.built-for
