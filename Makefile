# Every target with its line: make help. CI and the hooks call these and nothing else.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
READY := $(VENV)/.ready
MADE := $(VENV)/.made-by-setup
TORCH_INDEX ?=
RUN := PATH="$(CURDIR)/$(VENV)/bin:$$PATH" PYTHONPATH=src
option = $(if $($1),--$2 "$($1)")
.DEFAULT_GOAL := help
.PHONY: help setup engines init repro plan docs test lint type smoke sample score report ui retrain withdraw verify verify-portable clean

help: ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 17

setup: $(READY) ## make .venv from requirements.lock (TORCH_INDEX=URL chooses torch's build) and the inboxes
	@mkdir -p $(patsubst %.dvc,%,$(wildcard data/inbox/*.dvc))

# An environment that this did not make is not touched: it may be anybody's, and a link's target too.
$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("genfoundry: Python %d.%d is too old; 3.11 or newer is needed (PYTHON=python3.12 make ...)" % sys.version_info[:2] if sys.version_info < (3, 11) else 0)'
	@if [ -L $(VENV) ]; then echo "genfoundry: $(VENV) is a link to $$(readlink $(VENV)), an environment that make setup did not make; remove the link, or use that environment as it is: touch $(READY)" >&2; exit 1; fi
	@if [ -e $(VENV) ] && [ ! -e $(READY) ] && [ ! -e $(MADE) ]; then echo "genfoundry: $(VENV) is there, but make setup did not make it; move it away, or use it as it is: touch $(READY)" >&2; exit 1; fi
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "genfoundry: no venv module; on Debian: sudo apt-get install python3-venv" >&2; exit 1; }
	@mkdir -p $(VENV) && touch $(MADE) && find $(VENV) -mindepth 1 ! -path $(MADE) -delete && $(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install -q $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX)) -r requirements.lock
	$(VENV)/bin/python -m pip install -q --no-deps --no-build-isolation -e .
	@touch $@

engines: setup ## add Ray and submitit to .venv, for ENGINE=ray and ENGINE=slurm
	@$(VENV)/bin/python -m pip install -q -r requirements-engines.lock

init: setup ## entries in params.yaml for your own data: DATA=path [NAME=name CLASSES=parent|top|none LABEL=first|last SIZE=n]
	@$(RUN) genfoundry init "$(DATA)" $(if $(NAME),"$(NAME)") $(call option,CLASSES,classes) $(call option,LABEL,label) $(call option,SIZE,size)

repro: setup ## data to registered champions: JOBS=n ENGINE=ray|slurm TASK=... EXPERIMENT=... (ARITHMETIC=, BUDGET= are kept)
	@$(RUN) genfoundry repro $(call option,JOBS,jobs) $(call option,ENGINE,engine) $(call option,TASK,task) $(call option,EXPERIMENT,experiment) $(call option,BUDGET,budget) $(call option,ARITHMETIC,arithmetic)

plan: setup ## check params.yaml and print what would run, and for how long
	@$(RUN) genfoundry plan

test: setup ## lint, types and every test (less the GPU's, where there is none)
	@$(MAKE) --no-print-directory --jobs 2 --output-sync lint type
	@OMP_NUM_THREADS=1 PYTHONDONTWRITEBYTECODE= $(RUN) python -m pytest -n 2 --dist loadfile --no-loadscope-reorder --durations 25

lint: setup ## ruff (style and format), import-linter (the layers of packages)
	@$(RUN) ruff check . && $(RUN) ruff format --check . && $(RUN) lint-imports --no-logo

type: setup ## mypy, strict, on src
	@$(RUN) mypy

docs: setup ## build the documentation in build/docs; a broken link is an error
	@NO_MKDOCS_2_WARNING=1 $(RUN) python -m mkdocs build --strict --quiet

smoke: setup ## the whole pipeline on the 8x8 digits, in a throw-away clone, in two or three minutes
	@$(RUN) genfoundry smoke

sample: setup ## draw from a champion: TASK=... N=... [PROMPT=...] [OUT=...]
	@$(RUN) genfoundry sample --task "$(TASK)" $(call option,N,n) $(call option,PROMPT,prompt) $(call option,OUT,out)

score: setup ## likelihood of your own data under a champion: TASK=... FILE=...
	@$(RUN) genfoundry score --task "$(TASK)" --file "$(FILE)"

report: setup ## render the report anew and say where it is
	@$(RUN) genfoundry report

ui: setup ## bring the MLflow store up to date and open it on port 5000 (PORT=n); a server's address is printed
	@$(RUN) genfoundry ui $(call option,PORT,port)

retrain: setup ## the scheduled job: look for new data, retrain what it touches, promote or refuse, publish, push
	@$(RUN) genfoundry retrain $(call option,BRANCH,branch)

withdraw: setup ## take files out of an inbox for good: DATASET=... FILES="..."; says what was trained on them
	@$(RUN) genfoundry withdraw --dataset "$(DATASET)" $(FILES)

verify: setup ## two fresh clones, two runs, one dvc.lock: which stages are reproduced (BUDGET=smoke for a quick look)
	@$(RUN) genfoundry verify $(call option,BUDGET,budget)

verify-portable: setup ## every model and stage, tiny, here and on emulated processors (qemu-user): the same bytes?
	@$(RUN) genfoundry verify-portable

clean: ## remove outs and in-flight state; raw downloads, champions' weights, DVC's cache and MLflow's store stay
	find .state -mindepth 1 -maxdepth 1 ! -name downloads ! -name weights ! -name run.lock -exec rm -rf {} + 2>/dev/null; rm -rf data/prepared models reports/tuning reports/scores reports/panels reports/baselines reports/validation reports/index.html reports/datasets reports/models
