# Everything a developer runs. Each target works in a fresh clone: it sets up what it needs first.
PYTHON ?= python3
# torch from PyPI brings gigabytes of CUDA; this index has the CPU build. A mirror can take its place.
TORCH_INDEX ?= https://download.pytorch.org/whl/cpu
# gcc 12 compiles llama.cpp's code for Intel's AMX wrongly (docs/adr/0055).
NO_AMX := $(if $(filter x86_64,$(shell uname -m)),-mno-amx-tile -mno-amx-int8 -mno-amx-bf16)
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
TOOLS := $(VENV)/.tools
# Beside other tests, threads that wait for each other must sleep soon: a spinning one keeps the core from the other.
SHARING := GOMP_SPINCOUNT=1000 OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1
DEMO := dist/demo-library-1.0.0
QUESTION ?= Is there a lift?

.DEFAULT_GOAL := help
.PHONY: help setup demo test check format bench soak docs screenshots wheel clean

help: ## Show this list
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 13

$(STAMP): pyproject.toml constraints.txt scripts/system_packages.sh
	sh scripts/system_packages.sh
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade 'pip>=25'
	@echo "Installing PyTorch for the processor (200 MB), from $(TORCH_INDEX) or where else pip looks ..."
	$(BIN)/python -m pip install -qq --retries 1 --no-deps --index-url $(TORCH_INDEX) torch==2.13.0
	@echo "Installing the rest; llama.cpp is compiled where there is no wheel of it, for some minutes ..."
	CFLAGS="$(CFLAGS) $(NO_AMX)" CXXFLAGS="$(CXXFLAGS) $(NO_AMX)" \
		$(BIN)/python -m pip install --quiet --progress-bar off -c constraints.txt -e '.[dev]'
	touch $@

# What only the tests and benchmarks need of the system.
$(TOOLS): scripts/system_packages.sh | $(STAMP)
	sh scripts/system_packages.sh tests
	touch $@

setup: $(STAMP) ## Make .venv with everything a developer needs

demo: setup ## Build the demo bundle from a real model, and ask it a question
	$(BIN)/publicai-edge build recipes/demo.toml --output dist
	@echo
	@echo "Question: $(QUESTION)"
	@$(BIN)/publicai-edge ask $(DEMO) "$(QUESTION)"
	@echo
	@echo "The bundle: $(CURDIR)/$(DEMO)"
	@echo "Its page:   $(BIN)/publicai-edge serve $(DEMO) --open"

test: setup check $(TOOLS) ## Run the test suite: on every core, then what measures time by itself
	@status=0; \
	env $(SHARING) $(BIN)/python -m pytest -m 'not soak and not alone' -n logical --maxprocesses 4 --dist loadfile || status=1; \
	$(BIN)/python -m pytest -m 'alone and not soak' || status=1; exit $$status

check: setup ## Format, lint, types, import layers, generated docs: under a minute
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python scripts/make_docs.py --check

format: setup ## Format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: setup $(TOOLS) ## Run the benchmarks, and print their tables
	@status=0; for name in journey quantization serving dictation read_aloud passages bench_agreement bench_verdicts plan_accuracy tune_gain updates verification runtime retrieval search_scale peer_table; do \
		echo "$$name"; $(BIN)/python benchmarks/$$name.py || status=1; done; exit $$status

soak: setup $(TOOLS) ## Run the promises in their long form, and write docs/reliability.md; SOAK=FILE: of one file
	-sh scripts/runtime_packages.sh
	@status=0; \
	$(BIN)/python -m pytest $(SOAK) -m 'soak or promise' --override-ini addopts='-ra --strict-markers --strict-config' \
		--promises=build/promises.json || status=1; \
	$(BIN)/python scripts/make_reliability.py build/promises.json || status=1; exit $$status

docs: setup ## Generate the reference from the code
	$(BIN)/python scripts/make_docs.py

screenshots: setup $(TOOLS) ## Take the pictures of the page for the documentation
	sh scripts/system_packages.sh pictures
	$(BIN)/python -m scripts.screenshots

wheel: setup ## Build the wheel into dist/
	$(BIN)/python -m pip wheel --quiet --no-deps --wheel-dir dist .

clean: ## Remove the virtual environment and build leftovers; bundles and caches stay
	rm -rf $(VENV) build
