# SPDX-FileCopyrightText: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# The front door: `make` lists what there is. Everything that is made goes to build/, and the virtual environments to
# the user's cache; a target prepares what it needs, and does nothing where that is in place.

SHELL := /bin/bash
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

ifeq ($(strip $(HOME)),)
export HOME := /root
endif
export LC_ALL := C.UTF-8
export PYTHONUNBUFFERED := 1

PLAY := ANSIBLE_CONFIG=.ci/ansible.cfg ANSIBLE_REMOTE_TEMP=$(CURDIR)/build/ansible/tmp build/env/ansible/bin/ansible-playbook
STORY := ANSIBLE_CALLBACK_RESULT_FORMAT=yaml ANSIBLE_DISPLAY_SKIPPED_HOSTS=false
RUN := build/env/tests/bin/python tests/run

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

.PHONY: demo
demo: ready-ansible ## isolate two workloads on this machine, prove each limit, then prove that a second run writes nothing
	@$(STORY) $(PLAY) bulkhead.linux.quickstart
	@$(STORY) $(PLAY) bulkhead.linux.quickstart --extra-vars quickstart_expect_no_change=true

.PHONY: demo-clean
demo-clean: ready-ansible ## remove every trace of the demo
	@$(PLAY) bulkhead.linux.quickstart_clean

.PHONY: test
test: ready-tests ## run everything: lint, sanity, unit, attack, integration, lab
	-@.ci/prepare lab
	@$(RUN)

.PHONY: lint
lint: ready-tests ## check style, types, layers, licences, documentation and the changelog
	@$(RUN) lint

.PHONY: sanity
sanity: ready-tests ## run ansible-test sanity
	@$(RUN) sanity

.PHONY: unit
unit: ready-tests ## run the unit tests
	@$(RUN) unit

.PHONY: attack
attack: ready-tests ## try the published ways out of a container against ours
	@$(RUN) attack

.PHONY: integration
integration: ready-tests ## run the integration targets against this machine's kernel, or one: TARGET=cgroup_group
	@$(RUN) integration $(addprefix --target=,$(TARGET))

.PHONY: lab
lab: ready-lab ## boot a virtual node with all that this collection manages; the first time, build it
	@tests/lab/lab up node
	@echo "throw away: tests/lab/lab down node"

.PHONY: lab-test
lab-test: ready-tests ready-lab ## run all tests and targets that need the lab, those too that take turns in make test
	@BULKHEAD_LAB=whole $(RUN) lab

.PHONY: bench
bench: ready-tests ## measure against the peers, in one run, as ratios
	@$(RUN) bench

.PHONY: build
build: ready-ansible ## build the tarball: build/bulkhead-linux-<version>.tar.gz
	@ls build/bulkhead-linux-*.tar.gz

.PHONY: docs
docs: ready-tests ## make the documentation site: build/docs/index.html
	@.ci/docs

.PHONY: role-docs
role-docs: ready-tests ## write the tables and options that the documentation of roles takes over from elsewhere
	@PYTHONPATH=build/stage build/env/tests/bin/python .ci/role_docs.py

.PHONY: clean
clean: ## remove what was made here; the cached virtual environments stay
	@[ ! -e build/lab ] || tests/lab/lab down --all
	@rm -rf build tests/output

ready-lab:
	@.ci/prepare lab

ready-%:
	@.ci/prepare $*
	@.ci/artefact
