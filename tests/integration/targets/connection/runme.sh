#!/usr/bin/env bash
# SPDX-FileCopyrightText: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# The connection on this machine, with pipelining and without it; then through ssh to this machine, where it has a server.

set -eux
export ANSIBLE_HOST_PATTERN_MISMATCH=error ANSIBLE_HOST_KEY_CHECKING=false ANSIBLE_RETRY_FILES_ENABLED=false
unset ANSIBLE_PIPELINING || true

play() { ansible-playbook -i ../../inventory -i inventory.yml "$@"; }

trap 'play remove.yml' EXIT
play start.yml
play work.yml -e pipelining=true
play work.yml -e pipelining=false
play faults.yml
play many.yml
play away.yml
play check.yml --check
play examples.yml

if server=$(command -v sshd || ls /usr/sbin/sshd); then
    play ssh.yml -e "sshd=$server"
    play nodes.yml -e "sshd=$server"
else
    echo '"msg": "SKIP: no ssh server on this machine (openssh-server): containers through ssh"'
fi
