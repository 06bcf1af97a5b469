# make setup, serve, test, templates, lint, format, bench, wheel, lock, docs: see `make help`.
# Works with GNU make 3.81 and later (macOS ships 3.81).

VENV ?= .venv
BIN := $(VENV)/bin
# When what they depend on changes, the matching lock is installed again. Kept in the environment, so they go with it.
RUNTIME := $(VENV)/paddock-runtime
TEST := $(VENV)/paddock-test
LINT := $(VENV)/paddock-lint
BENCH := $(VENV)/paddock-bench
SETUP := VENV='$(VENV)' PYTHON='$(PYTHON)' requirements/setup.sh
COMMON := requirements/setup.sh requirements/install.py requirements/build.txt pyproject.toml
UV_COMPILE := uv pip compile --quiet --universal --python-version 3.11 --fork-strategy fewest --generate-hashes \
	--no-header --no-annotate
ARGS ?=
PYTHON ?=

.DEFAULT_GOAL := help
.PHONY: help setup serve test templates lint format bench wheel docs lock clean FORCE

help: ## this list
	@echo 'Usage: make TARGET [ARGS="…"]'
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  %-9s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

setup: $(RUNTIME) ## make .venv with the locked runtime (CMAKE_ARGS=-DGGML_CUDA=on make setup: for NVIDIA; see docs/building.md)
	@echo '$(VENV) is ready.'

serve: $(RUNTIME) ## serve the demo model; ARGS: flags of `paddock serve`, as ARGS="-m model.gguf --port 9000"
	@$(BIN)/paddock serve $(ARGS)

test: $(TEST) ## run the tests; ARGS: flags of pytest, as ARGS="-k samplers"
	@$(BIN)/python -m pytest $(ARGS)

templates: $(TEST) ## render llama.cpp's chat templates beside Transformers, and write docs/chat-template-check.md
	@$(BIN)/python -m tests.chat_templates $(ARGS)

lint: $(LINT) ## check style and types
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

format: $(LINT) ## put the code into the one format, and fix what can be fixed
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

bench: $(BENCH) ## measure Paddock beside other servers; ARGS: see docs/performance.md, as ARGS="--llama-server PATH"
	@$(BIN)/python -m benchmarks $(ARGS)

wheel: $(TEST) ## build dist/paddock-….whl
	@$(BIN)/python -m hatchling build --target wheel

docs: $(RUNTIME) ## write docs/cli.md from the flags
	@$(BIN)/python -m server.cli_reference > docs/cli.md

lock: ## write requirements/*.txt from pyproject.toml (needs uv)
	$(UV_COMPILE) $(ARGS) pyproject.toml -o requirements/runtime.txt
	$(UV_COMPILE) $(ARGS) pyproject.toml --group test -c requirements/runtime.txt -o requirements/test.txt
	$(UV_COMPILE) $(ARGS) --group bench -c requirements/test.txt -o requirements/bench.txt
	$(UV_COMPILE) $(ARGS) --group lint -c requirements/test.txt -o requirements/lint.txt
	$(UV_COMPILE) $(ARGS) --group build -c requirements/test.txt -o requirements/build.txt

clean: ## remove .venv and what tools have left
	rm -rf $(VENV) build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# CMAKE_ARGS may ask for another build of llama.cpp than the one installed, RPC=1 for one that knows of other machines,
# as all do but old ones: install.py knows.
ifneq ($(strip $(CMAKE_ARGS)$(RPC)),)
$(RUNTIME): FORCE
endif
$(RUNTIME): requirements/runtime.txt requirements/llama_cpp.cmake $(COMMON)
	@$(SETUP) runtime
	@touch $@

$(TEST): requirements/test.txt $(RUNTIME)
	@$(SETUP) test
	@touch $@

$(LINT): requirements/lint.txt $(TEST)
	@$(SETUP) lint
	@touch $@

$(BENCH): requirements/bench.txt $(RUNTIME)
	@$(SETUP) bench
	@touch $@
