# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

PYTHON ?= python3
VENV := $(CURDIR)/.venv
CACHE := $(CURDIR)/.cache
DOCS_VENV := $(CACHE)/docs-venv
RUN := PATH=$(VENV)/bin:$$PATH
PYTEST = XEN_BLOCKDEV_EXHAUSTIVE=$(EXHAUSTIVE) pytest -r s --durations 12 -n auto
# Debian's release in the lab.
RELEASE ?= bookworm
# Whether the lab's scenario boots its host anew, some ten minutes of it.
REBOOT ?= yes
# What the user installs, and a copy of the checkout in which ansible-test can work.
COLLECTIONS := $(CACHE)/collections
IMPORTER := $(CACHE)/importer-venv
MUTATION := $(CACHE)/mutation
PAGE := $(CACHE)/page-venv
# Each step has one of its own, so that some can run at the same time.
STEP ?= tree
TREE = $(CACHE)/trees/$(STEP)/ansible_collections/xen/blockdev
# A link by which the checkout itself is the collection: pyproject.toml has pytest import from it.
WORK := $(CACHE)/trees/work/ansible_collections/xen/blockdev
# As in the lab, where modules are compiled once and not for each task; the tests run thousands of them.
COMPILED_ONCE := $(wildcard roles/xen_lab/files/dom0/usr/lib/python3/dist-packages/compiled_once.*)
# No host file, no configuration of the user's, no cow.
export ANSIBLE_CONFIG := $(CURDIR)/examples/ansible.cfg
export ANSIBLE_NOCOWS := 1
# Python compiles what is used of what pip installs, and only that.
export PIP_COMPILE := no
export XEN_BLOCKDEV_CACHE := $(CACHE)

SOURCES = $(wildcard $(shell git ls-files --cached --others --exclude-standard 2>/dev/null))

.PHONY: help
help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 22

## Environments

$(VENV)/.run: requirements.txt
	@echo "Setting up a private environment in .venv"
	@$(PYTHON) -m venv $(VENV)
	@$(VENV)/bin/pip install --quiet --disable-pip-version-check --requirement $<
	@touch $@

$(VENV)/.test: tests/requirements.txt $(COMPILED_ONCE) $(VENV)/.run
	@echo "Adding the tools that check the collection"
	@$(VENV)/bin/pip install --quiet --disable-pip-version-check --requirement $<
	@cp $(COMPILED_ONCE) $(VENV)/lib/python3.*/site-packages
	@touch $@

$(CACHE)/benchmark/.installed: tests/benchmark/requirements.txt tests/benchmark/peers.txt $(VENV)/.test
	@echo "Adding what the benchmark compares with"
	@rm -rf $(@D) && mkdir -p $(@D)/peers/ansible_collections/community
	@$(VENV)/bin/pip install --quiet --disable-pip-version-check --requirement tests/benchmark/requirements.txt
	@$(VENV)/bin/pip install --quiet --disable-pip-version-check --no-deps --target $(@D)/all \
	    --requirement tests/benchmark/peers.txt
	@mv $(@D)/all/ansible_collections/community/general $(@D)/peers/ansible_collections/community/
	@rm -rf $(@D)/all
	@touch $@

$(DOCS_VENV)/.docs: docs/site/requirements.txt requirements.txt
	@echo "Setting up a private environment for the documentation site in .cache/docs-venv"
	@mkdir -p $(CACHE)
	@$(PYTHON) -m venv $(DOCS_VENV)
	@$(DOCS_VENV)/bin/pip install --quiet --disable-pip-version-check --requirement $<
	@touch $@

$(COLLECTIONS)/.installed: $(VENV)/.run $(SOURCES)
	@mkdir -p $(COLLECTIONS)
	@rm -f $(CACHE)/xen-blockdev-*.tar.gz # those of other versions
	@$(RUN) ansible-galaxy collection build --force --output-path $(CACHE) >/dev/null
	@$(RUN) ansible-galaxy collection install --force --offline --collections-path $(COLLECTIONS) \
	    $(CACHE)/xen-blockdev-*.tar.gz
	@touch $@

.PHONY: install
install: $(COLLECTIONS)/.installed ## Build the collection and install it below .cache

$(WORK):
	@mkdir -p $(@D)
	@ln -sfn ../../../../.. $@ # relative, so that the checkout may be moved

.PHONY: tree
tree: $(VENV)/.test
	@mkdir -p $(TREE)
	@find $(TREE) -mindepth 1 -delete
	@git init --quiet $(TREE) # a repository of its own: in ours, all below .cache is ignored
	@# A file that is deleted but not committed is listed too.
	@git ls-files -z --cached --others --exclude-standard | { xargs -0 ls -d 2>/dev/null || true; } | \
	    tar -cf - -T - | tar -xf - -C $(TREE)
	@# What tools leave beside the files can be told from them only where these are tracked.
	@git -C $(TREE) add --all

# Makes a tree for this target, goes there, and runs something. Integration targets may run beside others.
THIS = $@$(addprefix -,$(firstword $(TARGETS)))
TO_TREE = $(MAKE) --no-print-directory tree STEP=$(THIS) && cd $(CACHE)/trees/$(THIS)/ansible_collections/xen/blockdev &&
IN_TREE = $(TO_TREE) $(RUN)

# What several steps need is made before they run at the same time. What one alone needs, it makes.
.PHONY: environments
environments: $(VENV)/.test install

$(IMPORTER)/.installed: tests/importer-requirements.txt
	@echo "Setting up an environment for galaxy-importer"
	@$(PYTHON) -m venv $(IMPORTER)
	@$(IMPORTER)/bin/pip install --quiet --disable-pip-version-check --requirement $<
	@touch $@

$(MUTATION)/.installed: tests/mutation/requirements.txt
	@echo "Setting up an environment for mutation testing"
	@$(PYTHON) -m venv $(MUTATION)
	@$(MUTATION)/bin/pip install --quiet --disable-pip-version-check --requirement $<
	@touch $@

$(PAGE)/.installed: tests/page/requirements.txt
	@echo "Setting up an environment that opens the audit's page in a browser"
	@$(PYTHON) -m venv $(PAGE)
	@$(PAGE)/bin/pip install --quiet --disable-pip-version-check --requirement $<
	@touch $@

## Demo

.PHONY: demo
demo: install ## Give two example domains their disks on this machine, and show what came out
	@$(RUN) examples/demo provision

.PHONY: demo-clean
demo-clean: install ## Take the example's disks away again
	@$(RUN) examples/demo remove

.PHONY: lab-demo
lab-demo: install ## Boot a real Xen host in QEMU, give its guest disks, show what the guest says
	@$(RUN) examples/demo lab

.PHONY: mirage-demo
mirage-demo: install ## Test a stand-in for a MirageOS unikernel on that host, with three disks
	@$(RUN) examples/demo mirage

.PHONY: lab-end
lab-end: install ## End that Xen host; what was built for it stays
	@$(RUN) examples/demo lab-end

## Checks

.PHONY: test
test: ## Check all that a change must pass; ends with a count (root)
	@$(PYTHON) tests/run_all.py test

.PHONY: test-all
test-all: ## Check everything: every version, both Xens, reboots, whole tables; hours (root)
	@$(PYTHON) tests/run_all.py test-all

.PHONY: lint
lint: $(VENV)/.test ## Style, types, documentation, licences (EXHAUSTIVE=1: of the integration tests, too)
	@$(IN_TREE) XEN_BLOCKDEV_EXHAUSTIVE=$(EXHAUSTIVE) tests/lint .

.PHONY: importer
importer: install $(IMPORTER)/.installed ## What Galaxy and execution environments make of the archive
	@PATH=$(IMPORTER)/bin:$$PATH tests/importer $(CACHE)/xen-blockdev-*.tar.gz $(COLLECTIONS)

.PHONY: unit
unit: $(VENV)/.test | $(WORK) ## The code that needs no host, and the host's code against recorded output
	@$(RUN) $(PYTEST) tests/unit

.PHONY: sanity
sanity: $(VENV)/.test ## ansible-test's own checks (EXHAUSTIVE=1: of the tests, too)
	@$(IN_TREE) tests/ansible-test sanity --color no $(if $(EXHAUSTIVE),,--exclude tests/)

.PHONY: integration
integration: $(VENV)/.test ## Every operation of every module, on real files and loop devices (TARGETS="…", EXCLUDE=…; root)
	@$(IN_TREE) PYTHONPATH=$(CACHE)/trees/$(THIS) python tests/forking tests/integration \
	    ansible-test integration --color no --allow-destructive $(addprefix --exclude ,$(EXCLUDE)) $(TARGETS)

.PHONY: robustness
robustness: $(VENV)/.test ## Crashes, races, full disks, random sequences and hostile input (EXHAUSTIVE=1; root)
	@$(IN_TREE) PYTHONPATH=$(CACHE)/trees/$(THIS) $(PYTEST) --dist worksteal tests/robustness

.PHONY: molecule
molecule: $(VENV)/.test install ## The playbooks on this machine, verified with testinfra (root)
	@$(RUN) PYTEST_ADDOPTS=-rs ANSIBLE_COLLECTIONS_PATH=$(COLLECTIONS) molecule test --scenario-name default

.PHONY: lab-build
lab-build: $(VENV)/.run install ## What molecule-xen needs minutes to build and boot, which finds it then (RELEASE=…)
	@for state in present absent; do \
	    $(RUN) ANSIBLE_COLLECTIONS_PATH=$(COLLECTIONS) ansible-playbook xen.blockdev.lab --inventory localhost, \
	        --extra-vars "xen_lab_name=build-$(RELEASE) xen_lab_release=$(RELEASE) xen_lab_state=$$state"; \
	done
	@echo "ok: the disk of a Xen host, and a snapshot of one that has booted"

XEN_SCENARIO = $(RUN) ANSIBLE_COLLECTIONS_PATH=$(COLLECTIONS) XEN_LAB_RELEASE=$(RELEASE) \
    XEN_LAB_REBOOT=$(REBOOT) PYTEST_ADDOPTS=-rs COLUMNS=120 molecule test --scenario-name

.PHONY: molecule-xen
molecule-xen: $(VENV)/.test install ## The playbooks on a real Xen host in QEMU (RELEASE=bookworm or trixie)
	@$(XEN_SCENARIO) xen

.PHONY: storage
storage: $(VENV)/.test install ## Disks on multipath, dm-crypt, NBD, NFS and Ceph, on that Xen host (RELEASE=…)
	@$(XEN_SCENARIO) storage

.PHONY: matrix
matrix: ## The Xen host's scenario with both versions of Xen
	@$(MAKE) --no-print-directory molecule-xen RELEASE=bookworm
	@$(MAKE) --no-print-directory molecule-xen RELEASE=trixie

.PHONY: versions
versions: $(VENV)/.test ## Each ansible-core with each Python that is here (QUICK=1: the ends of both)
	@$(TO_TREE) $(PYTHON) tests/versions.py $(if $(QUICK),--quick)

.PHONY: page
page: $(VENV)/.run $(PAGE)/.installed | $(WORK) ## The audit's page in a browser: found, followed, printed, attacked, measured (chromium)
	@$(RUN) ANSIBLE_COLLECTIONS_PATH=$(CACHE)/trees/work $(PAGE)/bin/pytest -r s --durations 5 \
	    --confcutdir tests/page --override-ini pythonpath=tests/page tests/page

.PHONY: page-pictures
page-pictures: $(VENV)/.run $(PAGE)/.installed | $(WORK) ## The pictures of that page in the README
	@$(RUN) ANSIBLE_COLLECTIONS_PATH=$(CACHE)/trees/work $(PAGE)/bin/python tests/page/pictures.py

.PHONY: coverage
coverage: $(VENV)/.test ## Lines and branches of the plugins that tests run (UNITS=1: unit tests alone)
	@$(IN_TREE) tests/coverage $(if $(UNITS),units)

.PHONY: mutation
mutation: tree $(MUTATION)/.installed ## Whether a test notices each change to a pure file (FILE="units config/passwords")
	@$(RUN) python tests/mutation $(TREE) $(FILE)

.PHONY: bench
bench: $(CACHE)/benchmark/.installed install ## What disks cost, against other ways to have them (PARTS="disks inside", root)
	@$(RUN) python tests/benchmark $(PARTS) $(if $(RECORD),--record $(RECORD))
	@cd $(CURDIR)/tests/benchmark && PYTHONPATH=$(COLLECTIONS) $(VENV)/bin/pytest -q -p no:cacheprovider functions.py

## Documentation

.PHONY: docs
docs: $(DOCS_VENV)/.docs install ## The documentation site, in .cache/docs/html; any warning fails
	@PATH=$(DOCS_VENV)/bin:$$PATH docs/site/build $(COLLECTIONS) $(CACHE)/docs

.PHONY: clean
clean: ## Remove what these targets left in the checkout
	@rm -rf $(CACHE) $(VENV) .ansible .hypothesis
