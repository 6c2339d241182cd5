# The library's native part, and the checks. `make nif` is all that a consumer's compile runs.
PROFILE ?= release
FEATURES ?=
TARGET = target/$(if $(CARGO_BUILD_TARGET),$(CARGO_BUILD_TARGET)/)$(PROFILE)
LIBRARY = $(firstword $(wildcard $(TARGET)/liberlmcp_native.so $(TARGET)/liberlmcp_native.dylib))

.PHONY: nif
nif:
	@mkdir -p priv
	@if [ -n "$$ERLMCP_NATIVE_LIB" ]; then cp "$$ERLMCP_NATIVE_LIB" priv/new.so; \
	else cargo build --quiet --locked -p erlmcp_native --profile $(PROFILE) --target-dir target $(if $(FEATURES),--features $(FEATURES)) && cp $(TARGET)/liberlmcp_native.so priv/new.so; fi
	@mv -f priv/new.so priv/liberlmcp_native.so
