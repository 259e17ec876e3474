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
    description: A process id of the machine; the container in which it runs.
    type: int
  log_bytes:
    description: How much of the end of the log to return, from all its files.
    type: int
    default: 0
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
      description: V(running), V(paused), V(stopped), V(restarting) between two starts, or V(absent).
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
      description: What it was made from, with all defaults, in the words of the options of M(bulkhead.linux.container_run). Of C(env), the names.
      type: dict
      returned: when it exists
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
      description: Limits, use of memory, CPU, disks and process ids, pressure, and how often limits were hit, as M(bulkhead.linux.cgroup_info) returns them.
      type: dict
      returned: when it exists
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

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.cgroup.host import Host
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.container import info
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.container.paths import Paths
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.errors import BulkheadError


def main() -> None:
    module = AnsibleModule(
        argument_spec={"name": {"type": "str"}, "pid": {"type": "int"}, "log_bytes": {"type": "int", "default": 0}},
        mutually_exclusive=[("name", "pid")],
        supports_check_mode=True,
    )
    params = module.params
    try:
        containers = info.look(Paths(), Host.observe(), params["name"], params["pid"], params["log_bytes"])
        module.exit_json(changed=False, containers=containers, **({"container": containers[0]} if params["name"] is not None else {}))
    except (BulkheadError, OSError) as error:
        module.fail_json(msg=str(error))


if __name__ == "__main__":
    main()
