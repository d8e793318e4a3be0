# The commands of this repository; `make` lists them. Plain POSIX make: each target is one or two commands that also
# work without make.
.POSIX:

# Where tools for tests and lints are installed if the machine doesn't have them, apart from the packages of
# tests/setup.sh.
TOOLS = target/tools
CARGO_DENY = 0.20.2

.PHONY: help build demo test soak fuzz tekton tasks lint advisories bench action pages release-dry-run clean

help:
	@echo 'make build        the static release binary, at dist/imgstep'
	@echo 'make demo         appends a program for two platforms, joins and promotes it, with nothing but this repository'
	@echo 'make test         every test, against real registries; installs what they need, with sudo where that asks no password'
	@echo 'make soak         ten thousand steps under faults, kills and races (SEED=1 RUNS=10000 RATE= KIND= JOBS=)'
	@echo 'make fuzz         every reader of what others write, tried with any bytes (SECONDS=60 TARGET="tar serve")'
	@echo 'make tekton       of these, the Tekton Tasks: judged and run by what Tekton itself runs, without a cluster'
	@echo 'make tasks        writes the Tekton Tasks anew out of the command line (IMAGE=registry/repository:vX.Y.Z@sha256:…)'
	@echo 'make lint         formatting, clippy, rustdoc, dependencies'
	@echo 'make advisories   known weaknesses of dependencies, from a database on the network'
	@echo 'make bench        compares dist/imgstep with its peers: bench/RESULTS.md (JOB="promote mount" RUNS=3)'
	@echo 'make pages        generates docs/steps, one page a step, from the command line'
	@echo 'make action       writes action.yml and the pages that follow from the command line, out of its options'
	@echo 'make release-dry-run  all of a release but its signatures, in target/release-stage'
	@echo 'make clean        removes what the others made'

build:
	@sh scripts/build.sh

demo: build
	@sh demo/run.sh

test:
	@sh tests/setup.sh
	@sh tests/run.sh

# tests/soak/README.md describes it, and how to repeat one of its runs.
SEED = 1
RATE =
KIND =
JOBS =
soak:
	@runs='$(RUNS)'; PATH="$$PWD/$(TOOLS)/bin:$$PATH" SEED='$(SEED)' RUNS="$${runs:-10000}" RATE='$(RATE)' KIND='$(KIND)' \
		JOBS='$(JOBS)' cargo test --quiet --locked --test soak

# fuzz/README.md describes what to do with its findings.
SECONDS = 60
TARGET =
fuzz:
	@SECONDS_EACH='$(SECONDS)' sh fuzz/run.sh $(TARGET)

tekton:
	@sh tests/setup.sh
	@sh tests/run.sh --example tasks
	@sh tests/run.sh --test steps tekton::

# IMAGE is the image that the steps run; a release sets its own by tag and digest. Without it, tasks/IMAGE doesn't
# change.
IMAGE =
tasks:
	@[ -z '$(IMAGE)' ] || printf '%s\n' '$(IMAGE)' >tasks/IMAGE
	@cargo run --quiet --locked --example tasks

lint: $(TOOLS)/bin/cargo-deny
	cargo fmt --check
	cargo clippy --locked --all-targets -- -D warnings
	cargo fmt --check --manifest-path bench/Cargo.toml
	cargo fmt --check --manifest-path fuzz/Cargo.toml
	cargo clippy --locked --all-targets --manifest-path bench/Cargo.toml --target-dir target/bench-build -- -D warnings
	RUSTDOCFLAGS='-D warnings' cargo doc --locked --no-deps --document-private-items
	@sh scripts/unused-dependencies.sh
	$(TOOLS)/bin/cargo-deny --locked --log-level error check bans licenses sources

# Not part of lint: the database comes from the network, and could fail a commit that changed nothing.
# .github/workflows/ci.yml runs it in a separate job.
advisories: $(TOOLS)/bin/cargo-deny
	$(TOOLS)/bin/cargo-deny --locked check advisories

# Unoptimized and without debug information: it builds in one minute on two cores, and checks this tree in a second.
$(TOOLS)/bin/cargo-deny:
	CARGO_PROFILE_DEV_DEBUG=0 CARGO_PROFILE_DEV_OPT_LEVEL=0 \
		cargo install --quiet --locked --debug --version $(CARGO_DENY) --root $(TOOLS) cargo-deny

# JOB selects jobs (all if empty, see bench/src/jobs.rs), WHO tools, AT scenarios by a part of their name ("50 ms"),
# RUNS sets the number of runs. Only a full run writes bench/RESULTS.md; others write to target/bench.
JOB =
WHO =
AT =
RUNS =
bench: dist/imgstep
	@sh bench/setup.sh
	@cargo build --quiet --release --locked --manifest-path bench/Cargo.toml --target-dir target/bench-build
	@JOB='$(JOB)' WHO='$(WHO)' AT='$(AT)' RUNS='$(RUNS)' PATH="$$PWD/$(TOOLS)/bin:$$PATH" target/bench-build/release/imgstep-bench

# Measures the last build: use `make build bench` for the current tree.
dist/imgstep:
	@sh scripts/build.sh

pages:
	@cargo run --quiet --locked --example step-pages

action:
	@cargo run --quiet --locked --example github-action

# Not part of .ci/run: it builds the program three times.
release-dry-run:
	@sh scripts/release/dry-run.sh

clean:
	cargo clean
	rm -rf dist
