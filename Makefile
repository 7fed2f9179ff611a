# The front door. Everything is built by Meson and Ninja under build/.
BUILD ?= build/release
PREFIX ?= /usr/local
CC ?= cc
# More options for `meson setup`; CI says -Dwerror=true.
MESON_OPTIONS ?=

.PHONY: all demo test bench soak million check conformance install clean setup

all: setup $(BUILD)/build.ninja
	ninja -C $(BUILD)

setup:
	@scripts/setup

$(BUILD)/build.ninja:
	meson setup $(BUILD) --prefix=$(PREFIX) -Db_lto=true $(MESON_OPTIONS)

# Builds the key-value service and the log pipeline, and shows what they survive.
demo: all
	scripts/demo $(BUILD)

# Builds and runs all tests.
test: all
	meson test -C $(BUILD) --print-errorlogs

# Runs the benchmarks against Erlang, Go and CAF; writes build/bench/results.json.
bench: all
	@scripts/setup bench
	bench/run.py $(BUILD)

# Ten million short lives, of which nothing may be left.
soak: all
	$(BUILD)/bench/soak

# A million processes that wait, of three kinds: what each costs.
million: all
	ninja -C $(BUILD) bench/million
	$(BUILD)/bench/million

# The sanitizer builds, clang-tidy, the format and the include rule.
check: setup
	scripts/check

# Runs the tests and writes docs/conformance.md, a line for each case of the specification.
conformance: all
	scripts/conformance $(BUILD)

install: all
	meson configure $(BUILD) -Dprefix=$(PREFIX)
	meson install -C $(BUILD)

clean:
	rm -rf build
