#!/usr/bin/python
# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: container_info
short_description: What containers are, do and use
description:
  - Tells the state, the configuration, the processes and the use of resources of one container or of all containers of the machine.
version_added: 0.1.0
author:
  - bulkhead.linux contributors (@bulkhead-linux)
requirements:
  - root
extends_documentation_fragment:
  - bulkhead.linux.attributes.info
options:
  name:
    description: The container. With neither this nor O(pid), all of them.
    type: str
  pid:
    description: A process id of the machine; the container in which it runs, none where it runs in none. A process that does not exist is an error.
    type: int
  log_bytes:
    description: How many bytes of the end of the log to return, from all its files, up to 64 MiB.
    type: int
    default: 0
  filters:
    description: Which containers to tell of; all that is given must hold.
    type: dict
    suboptions:
      name:
        description: Names, as patterns with C(*), C(?) and C([...]); one of them must fit.
        type: list
        elements: str
      status:
        description: What RV(containers[].status) is to be; one of them.
        type: list
        elements: str
        choices: [running, paused, stopped, restarting, absent]
      label:
        description: Labels that a container must have, all of them; each is a name, or C(NAME=TEXT).
        type: list
        elements: str
  subset:
    description:
      - What to tell beside the state - V(config), V(disk_quota), V(network), V(processes), V(stats), V(unit), or V(all).
      - An empty list asks for the state alone, which is the fastest.
    type: list
    elements: str
    choices: [all, config, disk_quota, network, processes, stats, unit]
    default: [all]
seealso:
  - module: bulkhead.linux.container_run
  - module: bulkhead.linux.cgroup_info
"""

EXAMPLES = r"""
- name: How one container is
  bulkhead.linux.container_info:
    name: web
    log_bytes: 2000
  register: web

- name: Which of the workers run, and nothing else
  bulkhead.linux.container_info:
    filters:
      name: ["worker-*"]
      status: [running]
    subset: []
  register: workers

- name: Which containers a team has
  bulkhead.linux.container_info:
    filters: {label: [team=shop]}
    subset: []
  register: shop

- name: All containers of the machine
  bulkhead.linux.container_info:
  register: node
"""

RETURN = r"""
containers:
  description: The containers.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: The name.
      type: str
      returned: success
      sample: web
    exists:
      description: Whether there is such a container; if not, nothing but its status is returned of it.
      type: bool
      returned: success
    status:
      description: V(running), V(paused), V(stopped), V(restarting) between two starts, V(creating) while a run makes it, or V(absent).
      type: str
      returned: success
      sample: running
    broken:
      description: Whether a run or a monitor was killed and left it behind; the next run of its task puts it right.
      type: bool
      returned: when it is
    pid:
      description: The process id of its first process, 0 when it does not run.
      type: int
      returned: success
      sample: 4711
    created:
      description: When it was made.
      type: str
      returned: when it exists
    started:
      description: When its command was started last.
      type: str
      returned: when it was started
    finished:
      description: When it ended.
      type: str
      returned: when it has ended
    error:
      description: Why it could not be started last, as data.
      type: dict
      returned: when it could not
    ociVersion:
      description: The version of the OCI runtime specification in whose words its state is told.
      type: str
      returned: when it exists
      sample: 1.2.0
    exit:
      description: How it ended - C(code), C(signal) and C(killed_by).
      type: dict
      returned: when it has ended
      sample: {code: 137, signal: 9, killed_by: memory}
    oom_kills:
      description: How many processes the kernel killed in its group for want of memory.
      type: int
      returned: when it has ended
    output_lost:
      description: How many bytes of its output did not go to the journal, because it wrote more than 10000 lines or 16 MiB in 30 seconds.
      type: int
      returned: when there are any
    unit:
      description: What systemd tells of its unit - C(name), C(active), C(sub), C(result), C(restarts), and C(enabled), whether boot starts it.
      type: dict
      returned: when systemd supervises it
      sample: {name: bulkhead-web.service, active: active, sub: running, result: success, restarts: 0, enabled: true}
    restarts:
      description: How often it was started again.
      type: int
      returned: when it was started
    bundle:
      description: The directory of its files.
      type: str
      returned: when it exists
    config:
      description:
        - What it is made from, with all defaults, as options of M(bulkhead.linux.container_run), which can be given to it again.
        - Of C(env) there are the names alone. Give their values again with what is taken from here.
      type: dict
      returned: when it exists, with V(config) in O(subset)
    seccomp:
      description:
        - Which filter of system calls is in force - V(default), V(profile) for one of the container's own, or V(unconfined).
        - A container that was made by a release without filters is V(unconfined) until it is started anew.
      type: str
      returned: when it exists
      sample: default
    cgroup:
      description: Its control group.
      type: str
      returned: when it exists
      sample: bulkhead/web
    processes:
      description: The processes in it, each with C(pid) and C(name).
      type: list
      elements: dict
      returned: when it exists
      sample: [{pid: 4711, name: nginx}]
    stats:
      description:
        - Limits, use of memory, CPU, disks and process ids, pressure, and how often limits were hit, as M(bulkhead.linux.cgroup_info) returns them.
        - Of C(memory.max), C(memory.high), C(pids.max) and C(cpu.max) it is the limit in force that is told; where that is another group's, that of the
          unit or of a slice, C(limited_by) has the group for each of these limits.
      type: dict
      returned: when it exists
    disk_quota:
      description:
        - The limits of its private files, by the options of M(bulkhead.linux.container_run), V(0) for none, and C(block_used) and C(inode_used), what is used
          of them. C(path) is where the file system is mounted, and C(id) the project; on btrfs, C(path) is the subvolume.
        - Where they cannot be read, C(error) says why.
      type: dict
      returned: when it exists and has a disk quota, with V(disk_quota) in O(subset)
      sample: {path: /var/lib/bulkhead, id: 65536, block_soft: 0, block_hard: 10737418240, inode_soft: 0, inode_hard: 0, block_used: 45056, inode_used: 23}
    network:
      description:
        - What it has on a bridge - C(bridge), C(interface), C(addresses) and C(gateways).
        - Of one that runs, with V(network) in O(subset), also C(hardware_address), C(mtu), C(host_interface), the other end on the machine, and C(counters), of
          packets, bytes, errors and drops, received and sent as the container sees it. C(addresses) are those that the kernel has then.
      type: dict
      returned: when it exists and has an interface on a bridge
      sample: {bridge: bulkhead0, interface: eth0, addresses: [10.98.107.7/24], gateways: [10.98.107.1]}
    health:
      description: >-
        What its healthcheck says. C(status) is V(starting), V(healthy) or V(unhealthy), C(failures) how many checks failed one after the other, C(output) the
        end of what the last one wrote that failed.
      type: dict
      returned: when it runs and has a healthcheck
      sample: {status: healthy, failures: 0, output: ""}
    labels:
      description: Its labels.
      type: dict
      returned: when it exists
      sample: {team: shop}
    log:
      description: Its log file.
      type: str
      returned: when it exists
    output:
      description: The end of its log.
      type: str
      returned: with O(log_bytes)
container:
  description: The one container that was asked for, as in RV(containers).
  returned: when O(name) is used
  type: dict
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.bulkhead.linux.plugins.module_utils._answer import answer
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.cgroup.host import Host
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.container import info
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.container.paths import Paths

FILTERS: dict[str, t.Any] = {
    "name": {"type": "list", "elements": "str"},
    "status": {"type": "list", "elements": "str", "choices": ["running", "paused", "stopped", "restarting", "absent"]},
    "label": {"type": "list", "elements": "str"},
}
OPTIONS: dict[str, t.Any] = {
    "name": {"type": "str"},
    "pid": {"type": "int"},
    "log_bytes": {"type": "int", "default": 0},
    "filters": {"type": "dict", "options": FILTERS},
    "subset": {"type": "list", "elements": "str", "choices": ["all", *info.PARTS], "default": ["all"]},
}


def look(params: dict[str, t.Any]) -> dict[str, t.Any]:
    """The answer to the module's question."""
    containers = info.look(Paths(), Host.observe(), params)
    one = {"container": containers[0]} if params["name"] is not None and containers else {}
    return {"changed": False, "containers": containers, **one}


def main() -> None:
    module = AnsibleModule(argument_spec=OPTIONS, mutually_exclusive=[("name", "pid")], supports_check_mode=True)
    answer(module, lambda: look(module.params))


if __name__ == "__main__":
    main()
