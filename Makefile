# The library's native part, and the checks. `make nif` is all that a consumer's compile runs.
#
#   PROFILE               Cargo profile: release (the default) or quick (what the tests build)
#   FEATURES              Cargo features, separated by commas
#   ERLMCP_NATIVE_LIB     a prebuilt library to take instead of building one
#   ERLMCP_NATIVE_TARGET  Cargo's output folder
PROFILE ?= release
FEATURES ?=
ERLMCP_NATIVE_TARGET ?= target
RUST_VERSION = 1.91

# A fresh shell, and the one that rebar3 starts, often lacks Cargo's folder on its PATH.
export PATH := $(PATH):$(or $(CARGO_HOME),$(HOME)/.cargo)/bin

OUTPUT = $(ERLMCP_NATIVE_TARGET)/$(if $(CARGO_BUILD_TARGET),$(CARGO_BUILD_TARGET)/)$(PROFILE)
CARGO_NIF = cargo build --quiet --locked -p erlmcp_native --profile $(PROFILE) \
	--target-dir "$(ERLMCP_NATIVE_TARGET)" $(if $(FEATURES),--features $(FEATURES))
# The VM looks for .so, on macOS too.
LIBRARY = priv/liberlmcp_native.so

RUST_IS_OLD = cargo --version | awk -F'[ .]' '{ exit !($$2 == 1 && $$3 < 91) }'
NEEDS = echo "erlmcp_native: the native part needs Rust $(RUST_VERSION) or newer (https://rustup.rs)," >&2; \
	echo "erlmcp_native: or set ERLMCP_NATIVE_LIB=/path/to.so to a prebuilt library" >&2; exit 1

.PHONY: all
all: compile

.PHONY: compile
compile:
	rebar3 compile

# Moved into place, never written over: a running VM keeps the file that it has mapped.
.PHONY: nif
nif:
	@set -e; \
	if [ -n "$$ERLMCP_NATIVE_LIB" ]; then \
		built=$$ERLMCP_NATIVE_LIB; \
		[ -f "$$built" ] || { echo "erlmcp_native: ERLMCP_NATIVE_LIB: no such file: $$built" >&2; exit 1; }; \
	else \
		command -v cargo >/dev/null || { $(NEEDS); }; \
		$(CARGO_NIF) || { $(RUST_IS_OLD) && { $(NEEDS); }; exit 1; }; \
		built=$(OUTPUT)/liberlmcp_native.so; \
		[ -f "$$built" ] || built=$(OUTPUT)/liberlmcp_native.dylib; \
	fi; \
	cmp -s "$$built" $(LIBRARY) && exit 0; \
	mkdir -p priv; \
	cp "$$built" $(LIBRARY).$$$$; \
	mv -f $(LIBRARY).$$$$ $(LIBRARY)

.PHONY: fmt
fmt:
	cargo fmt

.PHONY: lint
lint:
	cargo fmt --check
	cargo clippy --locked --workspace --all-targets --profile quick -- -D warnings
	rebar3 xref
	rebar3 dialyzer

.PHONY: test
test: export PROFILE = quick
test: export FEATURES = call_time
test:
	cargo test --locked --workspace --profile quick
	rebar3 ct

.PHONY: check
check:
	scripts/run_tests.sh

.PHONY: bench
bench:
	scripts/run_performance_tests.sh

.PHONY: clean
clean:
	rm -rf _build priv "$(ERLMCP_NATIVE_TARGET)"
