# Everything that make builds lies under build/; `make clean` removes it. See CONTRIBUTING.md.
SHELL := /bin/bash
.SHELLFLAGS := -e -u -o pipefail -c
.DEFAULT_GOAL := help
.NOTPARALLEL:
.DELETE_ON_ERROR:

CONTROLLER := build/controller
NEWEST := build/newest
NOVA := build/nova
HEAT := build/heat
BIN := $(CURDIR)/$(CONTROLLER)/bin
PYTHON := $(BIN)/python
# Oldest first: the oldest supported core is what most of the tests run on.
CONTROLLER_PYTHONS := 3.11,3.12,3.13
NOVA_PYTHONS := 3.11,3.12,3.13
NEWEST_PYTHONS := 3.14 3.13 3.12

export PATH := $(BIN):$(PATH)
export ANSIBLE_COLLECTIONS_PATH := $(CURDIR)/build/tree
export ANSIBLE_HOME := $(CURDIR)/build/ansible
export ANSIBLE_NOCOLOR := 1
export BED_PYTHON := $(CURDIR)/$(NOVA)/bin/python
export HYPOTHESIS_STORAGE_DIRECTORY := $(CURDIR)/build/hypothesis
export PIP_CACHE_DIR := $(CURDIR)/build/pip
export RUFF_CACHE_DIR := $(CURDIR)/build/ruff
unexport ANSIBLE_CONFIG PYTHONPATH PYTHONHOME

# What is run once more on the newest ansible-core, besides the unit tests.
NEWEST_TESTS := tests/real/test_collection.py tests/real/test_inventory.py tests/real/test_warm_start.py \
  "tests/real/test_recover_host.py::test_all_vms_of_a_dead_host_run_elsewhere_in_their_segment[ipmi]"

say = @printf '\n== %s\n' "$(1)"
PACKAGES := @python3 tests/tools/debian_packages.py
PYTEST := $(PYTHON) -m pytest -q -p no:cacheprovider
# Each file of tests has services of its own, so two files can run side by side; most of the time they wait.
TWO_FILES := -n 2 --dist loadfile
# What fails beside others may pass alone: see tests/tools/steady.py.
STEADY := $(PYTHON) tests/tools/steady.py

.PHONY: help
help: ## show the targets
	@grep -hE '^[a-z-]+:.*## ' Makefile | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 14

.PHONY: demo
demo: $(CONTROLLER)/.ready $(NOVA)/.ready tree ## a cloud, VMs, a host whose plug is pulled, and its recovery
	$(PACKAGES) base
	@$(PYTHON) tests/demo.py

.PHONY: test
test: packages environments checks test-ansible test-newest stories test-real ## all checks and tests

# What needs one processor is done two at a time.
.PHONY: environments
environments: $(CONTROLLER)/.ready
	@$(MAKE) --no-print-directory $(NOVA)/.ready & \
	  code=0; ! python3 tests/tools/find_python.py $(NEWEST_PYTHONS) > /dev/null || \
	    $(MAKE) --no-print-directory $(NEWEST)/.ready || code=1; \
	  wait $$! || code=1; exit $$code

.PHONY: checks
checks: $(CONTROLLER)/.ready tree
	@$(MAKE) --no-print-directory sanity > build/sanity.out 2>&1 & \
	  code=0; $(MAKE) --no-print-directory lint || code=1; \
	  wait $$! || code=1; cat build/sanity.out; exit $$code

.PHONY: packages
packages:
	$(PACKAGES) base agents journal libvirt membership bus

.PHONY: test-unit
test-unit: $(CONTROLLER)/.ready ## unit tests: no network, no root
	@$(PYTEST) -n 2 tests/unit

.PHONY: test-real
test-real: packages $(CONTROLLER)/.ready $(NOVA)/.ready ## tests against real Nova, BMCs and databases
	$(call say,pytest: tests against real Nova and real BMCs and databases)
	@$(STEADY) $(TWO_FILES) tests/real

.PHONY: test-multi
test-multi: $(CONTROLLER)/.ready $(NOVA)/.ready ## kill -9 in a cloud of processes: RabbitMQ, MariaDB, Keystone, nova-computes
	$(PACKAGES) base multi
	@$(STEADY) tests/multi

.PHONY: test-heat
test-heat: $(CONTROLLER)/.ready $(NOVA)/.ready $(HEAT)/.ready ## rescue method heat, on a real Heat
	$(PACKAGES) base
	@HEAT_PYTHON=$(CURDIR)/$(HEAT)/bin/python $(PYTEST) tests/real/test_heat.py

.PHONY: test-hosts
test-hosts: $(CONTROLLER)/.ready $(NOVA)/.ready ## monitors and responders on hosts: containers with systemd, networks and power (root)
	$(PACKAGES) base hosts
	@$(STEADY) tests/hosts

.PHONY: stories
stories: $(CONTROLLER)/.ready tree ## play all stories on the simulator; fails where another log comes out than expected
	$(call say,stories on the simulator)
	@$(PYTHON) tests/tools/stories.py

.PHONY: mutation
mutation: $(CONTROLLER)/.ready tree ## switch each gate off in turn; fails if no story shows that a VM is hurt
	@$(PYTHON) tests/tools/stories.py --mutation

.PHONY: test-deep
test-deep: $(CONTROLLER)/.ready $(NOVA)/.ready ## more random schedules, and more variants of the tests against real services
	$(PACKAGES) base agents journal libvirt membership bus
	@$(PYTHON) tests/tools/stories.py --mutation
	@HYPOTHESIS_PROFILE=deep $(PYTEST) tests/unit
	$(PACKAGES) multi
	@HYPOTHESIS_PROFILE=deep $(PYTEST) -m deep tests/real tests/multi

.PHONY: test-ansible
test-ansible: $(CONTROLLER)/.ready ## unit tests as ansible-test runs them
	$(call say,ansible-test units)
	@$(PYTHON) tests/tools/ansible_test.py units > build/units.log 2>&1 || { cat build/units.log; false; }
	@grep -E '^unsteady|(passed|failed).* in ' build/units.log

.PHONY: sanity
sanity: $(CONTROLLER)/.ready ## ansible-test sanity
	$(call say,ansible-test sanity)
	@$(PYTHON) tests/tools/ansible_test.py sanity > build/sanity.log 2>&1 || { grep -E '^(ERROR|FATAL|WARNING|[a-z-]+$$)' build/sanity.log; false; }
	@echo "$$(grep -c '^Running sanity test' build/sanity.log) sanity tests passed"

.PHONY: test-newest
test-newest: $(NOVA)/.ready tree ## unit tests, playbooks and one recovery on the newest ansible-core that runs here
	$(call say,newest ansible-core)
	@if python3 tests/tools/find_python.py $(NEWEST_PYTHONS) > /dev/null; then \
	  $(MAKE) --no-print-directory test-newest-run; \
	else \
	  echo "left out: none of Python $(NEWEST_PYTHONS) runs here, and ansible-core after 2.19 needs one"; \
	fi

.PHONY: test-newest-run
test-newest-run: $(NEWEST)/.ready
	@$(NEWEST)/bin/ansible --version | sed -n 1p
	@PATH=$(CURDIR)/$(NEWEST)/bin:$$PATH HYPOTHESIS_PROFILE=brief $(NEWEST)/bin/python tests/tools/steady.py -n 2 tests/unit
	@PATH=$(CURDIR)/$(NEWEST)/bin:$$PATH $(NEWEST)/bin/python tests/tools/steady.py $(TWO_FILES) $(NEWEST_TESTS)

.PHONY: tree
tree:
	@python3 tests/tree.py > /dev/null

.PHONY: lint
lint: $(CONTROLLER)/.ready tree ## style, types, playbooks, documentation, changelog
	$(call say,linters)
	@MYPYPATH=.:../../tests:../../tests/tools $(PYTHON) tests/tools/lint.py

.PHONY: docs
docs: $(CONTROLLER)/.ready tree ## HTML documentation of the plugins in build/docs/html
	@$(PYTHON) tests/tools/build_docs.py

.PHONY: gates-doc
gates-doc: $(CONTROLLER)/.ready tree ## docs/gates.md from the table of the gates
	@$(PYTHON) tests/tools/gates_doc.py

.PHONY: bench
bench: $(CONTROLLER)/.ready $(NOVA)/.ready tree ## how fast; see docs/performance.md
	$(PACKAGES) base journal libvirt multi
	@$(PYTHON) tests/bench.py
	@$(PYTHON) tests/bench_gates.py
	@$(PYTHON) tests/bench_signals.py

.PHONY: clean
clean: ## remove build/
	rm -rf build

$(CONTROLLER)/.ready: meta/ee-requirements.txt tests/requirements.txt tests/constraints.txt
	@mkdir -p build
	@python3 tests/tools/venv.py $(CONTROLLER) $(CONTROLLER_PYTHONS) -r tests/requirements.txt -c tests/constraints.txt
	@touch $@

$(NOVA)/.ready: tests/bed/requirements.txt tests/bed/constraints.txt
	@mkdir -p build
	@python3 tests/tools/venv.py $(NOVA) $(NOVA_PYTHONS) -r tests/bed/requirements.txt -c tests/bed/constraints.txt
	@touch $@

$(HEAT)/.ready: tests/real/heat_requirements.txt tests/bed/constraints.txt
	@mkdir -p build
	@python3 tests/tools/venv.py $(HEAT) $(NOVA_PYTHONS) -r tests/real/heat_requirements.txt -c tests/bed/constraints.txt
	@touch $@

$(NEWEST)/.ready: meta/ee-requirements.txt tests/newest_requirements.txt tests/constraints.txt
	@mkdir -p build
	@grep -v '^ansible-core==' tests/constraints.txt > build/newest-constraints.txt
	@python3 tests/tools/venv.py $(NEWEST) $$(echo $(NEWEST_PYTHONS) | tr ' ' ,) \
	  -r tests/newest_requirements.txt -c build/newest-constraints.txt
	@touch $@
