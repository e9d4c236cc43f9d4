# make book [PROFILE=quick|full|paper] [ROOT=folder of the datasets] [ON=local|slurm|trial] [PROCESSES=n] (workflow/README.md)
PROFILE ?= quick
ON ?= local
PROCESSES ?= 1
BIN := .venv/bin
export GLIBC_TUNABLES ?= glibc.malloc.hugetlb=1# tensors in large pages: where maps are large, up to 1.5 times faster
ifdef ROOT
book: export COMPANION_DATA := $(value ROOT)
unexport ROOT
endif

.PHONY: book test lab bench tables notebooks

book: .venv/.installed
	@exec setpriv --pdeathsig KILL $(BIN)/python workflow/book.py $(PROFILE) $(ON) $(PROCESSES)

test: .venv/.installed
	@$(BIN)/ruff check && $(BIN)/ruff format --check
	@$(BIN)/pyright --pythonpath $(BIN)/python
	@$(BIN)/pytest

lab: .venv/.installed
	@$(BIN)/jupyter lab notebooks

bench: .venv/.installed
	@set -e; for file in benchmarks/*.py; do $(BIN)/python $$file; done

tables: .venv/.installed
	@$(BIN)/companion tables

notebooks: .venv/.installed
	@$(BIN)/python workflow/store.py

.venv/.installed: pyproject.toml constraints.txt
	@workflow/install
