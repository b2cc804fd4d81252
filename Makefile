# The menu: `make help`.
PYTHON ?= python3
VENV = .venv
BIN = $(VENV)/bin
SOURCES = $(shell find csrc src -type f ! -name '*.pyc') meson.build meson.options pyproject.toml
C_FILES = $(shell find bench csrc kernel src tests -name '*.[ch]' -o -name '*.cc')
TEST_PACKAGES = binutils chromium dwz electric-fence g++ gdb git libgc-dev libjemalloc2 libmimalloc2.0 perl pkg-config sqlite3 strace valgrind xz-utils
BENCH_PACKAGES = libclang-rt-dev libtcmalloc-minimal4 valgrind # for Scudo, and for a PDF of 100 pages
BENCHMARKS = proposal peers scaling overhead growing limits places programs pdfium backends reports guards experiments traces replays accesses
CHECK_PACKAGES = clang clang-format
PEER_PACKAGES = duma electric-fence libclang-rt-19-dev valgrind
HUNT_PACKAGES = file gawk ghostscript git graphviz imagemagick jq libxml2-utils poppler-utils valgrind

.DEFAULT_GOAL = help
.PHONY: help run test limits check bench bench-short peers hunt-peers hunt-reports hunt-reports-short plugin-reports plugin-reports-short plugin-suites programs qemu qemu-full clean
.DELETE_ON_ERROR:

help: ## show this
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/make \1\t\2/p' Makefile | expand -t 26

run: $(VENV)/run ## set up, and run a real program under the pattern heap, with a summary
	$(BIN)/patalloc run --summary -- $(BIN)/python -c 'import lzma; print(len(lzma.compress(open("/bin/sh", "rb").read(), preset=9)), "bytes compressed")'

test: $(VENV)/test ## set up, and run the tests
	$(BIN)/pytest -n auto

limits: $(VENV)/test ## what programs get where the system sets limits, with the library and without
	$(BIN)/python tests/limits

check: $(VENV)/check ## lint, types, format, the warnings of gcc and clang, the core's floors
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	clang-format --dry-run --Werror $(C_FILES)
	for compiler in gcc clang; do \
	  PATH="$(CURDIR)/$(BIN):$$PATH" CC=$$compiler meson setup --wipe -Ddev=true build/$$compiler >build/$$compiler.log && \
	  PATH="$(CURDIR)/$(BIN):$$PATH" meson compile -C build/$$compiler || exit 1; \
	done
	tools/floors --objects build/gcc

bench: $(VENV)/bench ## every benchmark, in full: half an hour
	for each in $(BENCHMARKS); do $(BIN)/python bench/$$each.py --output build/$$each.json || exit 1; done

bench-short: $(VENV)/bench ## one quick pass of each, to see that it works
	for each in $(BENCHMARKS); do $(BIN)/python bench/$$each.py --short || exit 1; done

peers: $(VENV)/test ## the errors of tests/watch under other tools, side by side
	tools/debian-packages $(PEER_PACKAGES)
	$(BIN)/python tests/detection own
	$(BIN)/python tests/detection own --size 1000
	$(BIN)/python tests/detection own --size 24

hunt-peers: $(VENV)/test ## patalloc hunt beside memcheck, on tests/hunt and real programs: 3 minutes
	tools/debian-packages $(HUNT_PACKAGES)
	$(BIN)/python tests/hunt/peers

hunt-reports: $(VENV)/test ## patalloc hunt on public reports of uninitialised memory: some 40 minutes
	$(BIN)/python tests/hunt/reports --memcheck

hunt-reports-short: $(VENV)/test ## the same with two of them
	$(BIN)/python tests/hunt/reports --quick

plugin-reports: $(VENV)/test ## pytest --patalloc on public reports of errors in extensions: some 15 minutes
	$(BIN)/python tests/plugin/reports --memcheck

plugin-reports-short: $(VENV)/test ## the same with two of them
	$(BIN)/python tests/plugin/reports --quick

plugin-suites: ## the tests of real packages with pytest --patalloc and without
	tests/plugin/suites

programs: $(VENV)/test ## every real program with every pattern and every fallback: some 7 minutes
	tools/debian-packages golang-go rustc
	$(BIN)/pytest -n auto -m full tests/programs tests/hunt tests/plugin

qemu: ## memory tags on arm64 and the kernel module on x86-64, emulated: one pass
	tests/qemu/run-arm64 --short
	tests/qemu/run-x86 --short

qemu-full: ## the same with every option, and in a kernel that watches itself
	tests/qemu/run-arm64
	tests/qemu/run-x86
	tests/qemu/run-x86 --debug

kernel: ## the system call itself, its patches, and the library on it, emulated: builds a kernel, 25 minutes
	tests/qemu/run-syscall

kernel-full: ## the same on arm64 with memory tags and in a kernel that watches itself; and the module for every kernel
	tests/qemu/run-syscall
	tests/qemu/run-syscall --arm64
	tests/qemu/run-syscall --debug
	tests/qemu/build-module

clean: ## remove all that was made
	rm -rf $(VENV) build dist

# Installs into the virtual environment, again when a source has changed.
$(BIN)/python:
	tools/debian-packages python3-venv python3-dev
	$(PYTHON) -m venv $(VENV)

$(VENV)/run: $(BIN)/python $(SOURCES)
	$(BIN)/pip install --quiet .
	touch $@

$(VENV)/test: $(BIN)/python $(SOURCES)
	tools/debian-packages $(TEST_PACKAGES)
	$(BIN)/pip install --quiet '.[test]'
	touch $@ $(VENV)/run

$(VENV)/bench: $(BIN)/python $(SOURCES)
	tools/debian-packages $(TEST_PACKAGES) $(BENCH_PACKAGES)
	$(BIN)/pip install --quiet '.[bench]'
	mkdir -p build
	touch $@ $(VENV)/run

$(VENV)/check: $(BIN)/python $(SOURCES)
	tools/debian-packages $(TEST_PACKAGES) $(CHECK_PACKAGES)
	$(BIN)/pip install --quiet '.[test,check]'
	mkdir -p build
	touch $@ $(VENV)/run $(VENV)/test
