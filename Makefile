# `make demo` and `make test` need python3.11, make and, to install what is missing, root on Debian. Everything else they
# fetch themselves: Python packages into .venv (versions pinned in constraints.txt), client programs from Debian.

PYTHON ?= $(shell command -v python3.11 || echo python3)
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check -qq
ARGS ?=
HOT := $(wildcard meshcache/hot/*.c meshcache/hot/*.h server/*.c server/*.h)
FAST := tests/core tests/config tests/tls

export PYTHON
MAKEFLAGS += --no-print-directory
# Tests start hundreds of interpreters. Where nothing compiled is kept, each of them compiles all of meshcache anew, and each
# of pytest's processes all tests: half of the work of `make test`.
unexport PYTHONDONTWRITEBYTECODE
.DEFAULT_GOAL := help
.PHONY: help install setup pictures man demo test check format lint types bench chaos sim security mutants mutation fuzz clean need-demo need-test need-compiler sanitize test-fast

help:
	@echo "make demo    a whole mesh on this machine, real clients, a verdict (ARGS=--keep: it stays up)"
	@echo "make test    every test of the product, after installing what they need  (ARGS='tests/core -k ranges')"
	@echo "make test-fast  the quick part of core, configuration and TLS"
	@echo "make check   what CI runs: format, lint, strict types, layering, tests, and that tests and benchmarks do their work"
	@echo "make bench   the figures: CPU per handshake, lag, throughput, memory"
	@echo "make security  the long run: 500 random meshes, 10,000 hostile ClientHellos a kind; make mutants: weakened builds fail"
	@echo "make mutation  mutmut over what decides borders; each survivor is explained in tests/security/SURVIVORS.md"
	@echo "make sanitize  the compiled hot path under AddressSanitizer and UndefinedBehaviorSanitizer"
	@echo "make fuzz    coverage-guided fuzzing of messages and sessions, SECONDS=60 each"
	@echo "make sim     the deterministic simulator: SEEDS=1000 of random faults and policies; SCENARIO=split for one by name"
	@echo "make chaos   real nodes stopped, cut off, split apart, drowned in joiners; namespaces need root"
	@echo "make install .venv with what running it takes, and no more"
	@echo "make setup   .venv with everything for development"
	@echo "make pictures  those of README, anew, from a running demo; make man: the manual page"
	@echo "make format  put the sources into shape;  make clean  remove what make made"

demo: need-demo $(VENV)/.run
	@$(BIN)/meshcache demo $(ARGS)

test: need-test $(VENV)/.dev $(BIN)/promtool
	@BIN=$(BIN) tools/test $(ARGS)

# Everything there but what takes a second or more, of the hot path the compiled twin only: what to run after each change.
test-fast: $(VENV)/.dev
	@$(BIN)/python -m pytest --part fast -n $(shell nproc) -q $(FAST) -k "not python-" $(ARGS)

# The layers first: they say in seconds what a whole run would say at its end.
check: lint types
	@$(BIN)/python -m pytest tests/test_layering.py -q
	@$(MAKE) test
	@BIN=$(BIN) PARTS=harness tools/test tests/test_benchmarks.py tests/security/test_mutants.py \
	    tests/test_delivery.py tests/hot/test_hot.py
	@BIN=$(BIN) MESHCACHE_COLD=1 tools/test tests/contrib tests/server/test_main.py tests/server/test_app.py

lint: $(VENV)/.dev
	@$(BIN)/ruff format --check --quiet . || { echo "run: make format"; exit 1; }
	@$(BIN)/ruff check --quiet .
	@echo "format and lint: fine"

types: $(VENV)/.dev
	@$(BIN)/mypy

format: $(VENV)/.dev
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

bench: need-test $(VENV)/.dev
	@$(BIN)/python -m benchmarks $(ARGS)

# About four minutes on two cores. The same tests are in `make test`, each a slice of its own size.
security: need-test $(VENV)/.dev
	@MESHCACHE_WORLDS=500 MESHCACHE_HELLOS=10000 MESHCACHE_INPUTS=5000 MESHCACHE_IDS=50000 \
	    $(BIN)/python -m pytest tests/security tests/runtime/test_random_ids.py --ignore tests/security/test_mutants.py \
	    -s --timeout 900 $(ARGS)

mutants: need-test $(VENV)/.dev
	@$(BIN)/python -m pytest tests/security/test_mutants.py -v -n $(shell nproc) --timeout 900 $(ARGS)

# Every small change of the code that decides borders. About fifteen minutes; ARGS=gates for one module.
mutation: need-test $(VENV)/.dev
	@$(BIN)/python -c "import mutmut.mutation" 2>/dev/null || $(PIP) install -c constraints.txt mutmut
	@$(BIN)/python tools/mutation.py $(ARGS)

# The compiled hot path under AddressSanitizer and UndefinedBehaviorSanitizer, with the tests that use it. Three minutes.
sanitize: need-test need-compiler $(VENV)/.dev
	@tools/sanitize $(BIN)/python $(ARGS)

SECONDS ?= 60
fuzz: need-test $(VENV)/.dev
	@$(BIN)/python -c "import atheris" 2>/dev/null || $(PIP) install atheris
	@mkdir -p fuzz/found; for target in messages der hello; do \
	    echo "fuzzing $$target for $(SECONDS) s"; \
	    $(BIN)/python -m fuzz $$target -max_total_time=$(SECONDS) >fuzz/found/$$target.log 2>&1 || { \
	        tail -40 fuzz/found/$$target.log; exit 1; }; \
	    grep '^Done' fuzz/found/$$target.log; \
	done

# About four minutes. `make test` runs a slice of it.
chaos: need-test $(VENV)/.dev
	@$(BIN)/python -m pytest tests/chaos -m "chaos or not chaos" $(ARGS)

SEEDS ?= 1000
SCENARIO ?= mixed
sim: $(VENV)/.dev
	@$(BIN)/python -m tests.simulation --scenario $(SCENARIO) --seeds $(SEEDS) $(ARGS)

install: need-demo $(VENV)/.run
	@echo "ready: $(BIN)/meshcache --help"

pictures: need-test $(VENV)/.dev
	@$(BIN)/python tools/pictures.py $(ARGS)

man: $(VENV)/.dev
	@$(BIN)/python tools/make_man.py

setup: need-test $(VENV)/.dev
	@echo "ready: $(BIN)/meshcache --help"

need-demo:
	@tools/need ensurepip:python3-venv openssl:openssl

need-test: need-demo
	@tools/need curl:curl node:nodejs gnutls-cli:gnutls-bin chromium:chromium ip:iproute2 nft:nftables \
	    /usr/lib/python3/dist-packages/OpenSSL:python3-openssl haproxy:haproxy nginx:nginx \
	    /usr/lib/nginx/modules/ngx_stream_module.so:libnginx-mod-stream groff:groff-base docker-compose:docker-compose \
	    redis-server:redis-server tstclnt:libnss3-tools \
	    /usr/include/openssl/ssl.h:libssl-dev

# The stamps make a second run quick. Build tools are pinned like everything else, hence no build isolation.
$(VENV)/.made: | need-demo
	@echo "making $(VENV) with $$($(PYTHON) --version)"
	@$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11))" || { \
	    echo "meshcache needs Python 3.11 or later: make PYTHON=/path/to/python3.11"; exit 1; }
	@$(PYTHON) -m venv --clear $(VENV)
	@$(PIP) install -c constraints.txt setuptools
	@touch $@

$(VENV)/.run: $(VENV)/.made pyproject.toml constraints.txt $(HOT) | need-compiler
	@echo "installing meshcache into $(VENV)"
	@$(PIP) install --no-build-isolation -c constraints.txt -e .
	@$(BIN)/python -c "import meshcache.hot as hot; hot.compiled or print('no compiled hot path, so handshakes take more' \
	    ' CPU: ' + hot.why_not + '. It needs gcc, libc6-dev and python3-dev; then: make clean setup')"
	@touch $@

# Wanted, never needed: what can't be installed is left out, and the line above says so.
need-compiler:
	@tools/need gcc:gcc /usr/include/stdlib.h:libc6-dev \
	    $$($(PYTHON) -c "import sysconfig; print(sysconfig.get_path('include'))")/Python.h:python3-dev 2>/dev/null || true

$(BIN)/promtool: | $(VENV)/.made
	@tools/promtool $(BIN)

# mypy does not follow the editable install's import hook, so it finds meshcache_server through a link.
$(VENV)/.dev: $(VENV)/.run
	@echo "installing the tools for tests and checks"
	@$(PIP) install --no-build-isolation -c constraints.txt -e '.[dev]'
	@mkdir -p $(VENV)/names && ln -sfn ../../server $(VENV)/names/meshcache_server
	@touch $@

clean:
	@rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
