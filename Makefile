# The recipes that people and CI run; `make` lists them. What they need is installed or named by .ci/need, what they do is
# told in a line a step, and the output of each step goes to target/logs/.

.DEFAULT_GOAL := help
.PHONY: help run test clients chaos fuzz bench soak lint plugins examples manifests image-binary docs deny

STEP := .ci/step
PLUGIN_BUILD := cargo run -q --locked -p pointsman -- plugin build plugins --out plugins/dist
# The sidecar's documentation is for those who work on it, so it has the private parts too.
DOC := cargo doc --locked --workspace --no-deps --document-private-items

help: ## List the recipes
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/make \1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{ printf "  %-19s%s\n", $$1, $$2 }'

run: ## Build, start the sidecar with a broker inside, say what to try
	@.ci/serve

test: ## Everything: the examples in Rust, C, JavaScript and Go, the plugins' tests, then all others (real Kafka included)
	@.ci/need cc make curl openssl rust wasm-target jdk kafka redis zookeeper python node valgrind kafka-clients-python kafka-clients-node
	@.ci/need grpc-clients-python grpc-clients-node grpc-clients-java dapr-sdk-python dapr-sdk-node registry registry-readers
	@$(STEP) "sidecar" cargo build --locked -p pointsman
	@POINTSMAN=target/debug/pointsman $(STEP) "manifests with the sidecar" examples/kubernetes/check --manifests
	@$(STEP) "plugins" $(PLUGIN_BUILD)
	@POINTSMAN=target/debug/pointsman $(STEP) "openapi document" tests/openapi/run
	@examples/write-a-plugin/build rust c js
	@if .ci/need go; then .ci/need grpc-clients-go && examples/write-a-plugin/build go && $(STEP) "plugins in Go" tests/go/run; \
		else echo "WITHOUT Go: the plugins in Go are neither built nor tested, and gRPC is not tested with Go" >&2; fi
	@$(STEP) "tests of the plugins" cargo test --locked --all-features --no-run --manifest-path plugins/Cargo.toml
	@$(STEP) "tests of the sidecar" cargo test --locked --workspace --no-run
	@$(STEP) "tests under valgrind" tests/valgrind/run
	cd plugins && cargo test --locked --all-features
	cargo test --locked --workspace -- --skip abuse::
	cargo test --locked -p pointsman --test integration -- --test-threads=1 abuse::

clients: ## Let each Kafka client of many languages produce, and tools of gRPC ask (CI has a few of them)
	@.ci/need cc make curl openssl rust wasm-target jdk kafka kcat python node kafka-clients-python kafka-clients-node
	@.ci/need go kafka-clients-go grpcurl || echo "WITHOUT Go: its clients do not take part" >&2
	@$(STEP) "sidecar" cargo build --locked -p pointsman
	@$(STEP) "tests of the sidecar" cargo test --locked -p pointsman --test integration --no-run
	cargo test -q --locked -p pointsman --test integration -- --nocapture --include-ignored every_client

chaos: ## The long forms of tests that shake it: 200 reloads in a minute; brokers and sidecars killed, frozen, flooded; clients that hurt
	@.ci/need cc make curl openssl rust wasm-target jdk kafka redis zookeeper
	@$(STEP) "sidecar" cargo build --locked -p pointsman
	@$(STEP) "tests of the sidecar" cargo test --locked --workspace --no-run
	POINTSMAN_SEEDS=50000 cargo test -q --locked -p pointsman --lib -- --nocapture simulation
	POINTSMAN_STORM_SWAPS=200 cargo test -q --locked -p pointsman --test integration -- --nocapture storm
	POINTSMAN_TRIALS=full cargo test -q --locked -p pointsman --test integration -- --nocapture --include-ignored trials::
	POINTSMAN_ABUSE=long cargo test -q --locked -p pointsman --test integration -- --nocapture abuse::

fuzz: ## Feed every parser with what a fuzzer makes up, a minute each (POINTSMAN_FUZZ_SECONDS)
	@.ci/need cc make openssl rust cargo-fuzz
	@tests/fuzz/run

bench: ## Measure: one record's way by itself, reloads and failing plugins, then what gets through to a real Kafka, near and far
	@.ci/need cc make curl openssl rust wasm-target jdk kafka redis zookeeper python kafka-clients-python
	@.ci/need peer || echo "the benchmark goes on without the peer" >&2
	@$(STEP) "plugins" $(PLUGIN_BUILD)
	@$(STEP) "benchmarks" cargo bench --locked -p pointsman --no-run
	cargo bench --locked -p pointsman --bench route --bench parse --bench schemas --bench reload --bench throughput --bench placing --bench distance --bench clients --bench growth

soak: ## Half of the peak for half an hour: memory and latency must stay where they are (POINTSMAN_SOAK_MINUTES)
	@.ci/need cc make curl openssl rust wasm-target jdk kafka
	@$(STEP) "plugins" $(PLUGIN_BUILD)
	@$(STEP) "benchmarks" cargo bench --locked -p pointsman --bench soak --no-run
	cargo bench --locked -p pointsman --bench soak

lint: ## Formatting, clippy and documentation of both workspaces, a warning being an error; the Kubernetes manifests; the .proto files
	@.ci/need cc make openssl rust wasm-target python node
	@cargo fmt --version >/dev/null 2>&1 && cargo clippy --version >/dev/null 2>&1 || \
		$(STEP) "rustfmt and clippy" rustup component add rustfmt clippy
	@$(STEP) "format" cargo fmt --all --check
	@cd plugins && ../$(STEP) "format of the plugins" cargo fmt --all --check
	@cd examples/write-a-plugin/rust && ../../../$(STEP) "format of the example plugin" cargo fmt --check
	@$(STEP) "clippy" cargo clippy --locked --workspace --all-targets -- -D warnings
	@cd plugins && ../$(STEP) "clippy of the plugins" cargo clippy --locked --workspace --all-targets --all-features -- -D warnings
	@cd plugins && ../$(STEP) "clippy of the plugins as wasm" \
		cargo clippy --locked --workspace --target wasm32-unknown-unknown -- -D warnings
	@cd examples/write-a-plugin/rust && ../../../$(STEP) "clippy of the example plugin" \
		cargo clippy --locked --all-targets -- -D warnings
	@RUSTDOCFLAGS="-D warnings -A rustdoc::private-intra-doc-links" $(STEP) "documentation" $(DOC)
	@cd plugins && RUSTDOCFLAGS="-D warnings" ../$(STEP) "documentation of the plugins" \
		cargo doc --locked --workspace --no-deps
	@$(STEP) "manifests" examples/kubernetes/check
	@$(STEP) "messages of gRPC" tests/proto/run

plugins: ## Build the plugins into plugins/dist
	@.ci/need cc make openssl rust wasm-target
	@$(STEP) "sidecar" cargo build --locked -p pointsman
	@$(STEP) "plugins" $(PLUGIN_BUILD)
	@grep '\.wasm  ' target/logs/plugins.log

examples: ## Build the example plugins of all languages and run their own tests
	@.ci/need cc make openssl rust wasm-target wasm-cc node python go
	@$(STEP) "sidecar" cargo build --locked -p pointsman
	@examples/write-a-plugin/build rust c js python go

manifests: ## Check the Kubernetes manifests by its schemas and the configuration in them; find planted mistakes
	@.ci/need python
	@$(STEP) "manifests" examples/kubernetes/check
	@tail -n 2 target/logs/manifests.log

image-binary: ## Build the binary of the container image, and check that it needs nothing but glibc
	@examples/kubernetes/binary

docs: ## Build the documentation of the sidecar and of the plugin SDK, and the manual as a book where mdBook is installed
	@.ci/need cc make openssl rust
	@$(STEP) "documentation" $(DOC)
	@cd plugins && ../$(STEP) "documentation of the plugins" cargo doc --locked -p pointsman-plugin --no-deps
	@echo "target/doc/pointsman/index.html"
	@echo "plugins/target/doc/pointsman_plugin/index.html"
	@.ci/book

deny: ## Check licences, sources and duplicates of all dependencies
	@.ci/need cc make rust
	@cargo deny --version >/dev/null 2>&1 || $(STEP) "cargo-deny" cargo install --locked cargo-deny
	cargo deny --locked check licenses bans sources
	cargo deny --locked --manifest-path plugins/Cargo.toml --config deny.toml check licenses bans sources
	cp Cargo.lock tests/fuzz/Cargo.lock
	cargo deny --manifest-path tests/fuzz/Cargo.toml --config deny.toml check licenses bans sources
