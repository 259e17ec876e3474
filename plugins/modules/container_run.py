#!/usr/bin/python
# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: container_run
short_description: Run, pause, stop and remove containers
description:
  - Runs a command in a container of its own, with nothing but the kernel. It has private process, mount, host name, IPC, control group and, by default, network
    namespaces, a root file system of its own, limited capabilities and devices, and control groups that limit and count what it uses.
  - No container engine, daemon or image is needed. Where systemd runs the machine, each container is a unit of it. Elsewhere a small monitor process for each
    container keeps its log, records how it ended, and starts it again when asked to.
  - O(resources), O(rdt), O(disk_quota), O(restart_policy), O(stop_signal), O(stop_timeout), C(bandwidth) of O(network), and size and number of the files of
    O(log) change while the container runs. When anything else changes, the container is stopped, removed with its private files, and made anew; the first
    line of the diff says so and which options differ, and a warning says when private files are discarded.
  - The same said in another way is no change, whatever the order of volumes, groups and devices or the unit of a limit.
  - All or nothing. If one container of a call cannot be started, those that the same call started are removed, and those that it replaced are started
    again as they
    were.
  - If the machine loses power, or the module is killed at any moment, the next run of the same task removes what was left half done and goes on.
version_added: 0.1.0
author:
  - bulkhead.linux contributors (@bulkhead-linux)
requirements:
  - Linux 5.12 or newer
  - root with all capabilities
extends_documentation_fragment:
  - bulkhead.linux.attributes
  - bulkhead.linux.container
options:
  persist:
    description:
      - Also keep the options in C(/etc/bulkhead/desired.d/container_run.json), and the runtime core as the command C(bulkhead), so that a boot brings the
        container back. The role P(bulkhead.linux.node#role) installs what makes the boot do so.
      - A container that is V(started) or V(paused) is so again after a boot, whatever its O(restart_policy), which is about its ending by itself. One that is
        V(stopped) stays so, and one that is V(absent) is not kept any more.
      - By default a job (O(wait=true)) is not kept, as it is over when it has ended, and everything else is. With V(true), the boot runs jobs too, and does
        not wait for them. With V(false), what is kept stays as it is.
      - A container that has ended by itself while the machine runs, with V(no) or V(on-failure) for O(restart_policy), is left so until the next boot or run
        of the task.
    type: bool
notes:
  - What runs as root inside is root of the machine as far as the kernel is concerned, held back by namespaces, capabilities, control groups and hidden
    paths. Give O(user)
    where the command does not need root.
  - The monitor of a container runs until the container is stopped. If it is killed, the container is killed with it, and the next run starts both.
seealso:
  - module: bulkhead.linux.container_exec
  - module: bulkhead.linux.container_info
  - module: bulkhead.linux.cgroup_group
"""

EXAMPLES = r"""
- name: A directory for the web server and one for results
  ansible.builtin.file:
    path: "{{ item }}"
    state: directory
    mode: "0755"
  loop: [/srv/www, /srv/results]

- name: A web server that gets half a gigabyte of memory and one and a half CPUs
  bulkhead.linux.container_run:
    name: web
    command: [python3, -m, http.server, "8080"]
    init: true
    user: www-data
    cwd: /srv
    network:
      mode: host
    volumes:
      - /srv/www:/srv:ro
    resources:
      memory: {max: 512M}
      cpu: {max: 1.5}
      pids: {max: 100}
    restart_policy: always

- name: A job, and its result
  bulkhead.linux.container_run:
    name: report
    command: [sh, -c, "nproc > /results/cpus"]
    volumes:
      - /srv/results:/results
    wait: true
  register: job

- name: Several containers in one call; all are started, or none
  bulkhead.linux.container_run:
    containers:
      - name: worker-1
        command: [sleep, infinity]
        resources: {cpu: {weight: 50}}
      - name: worker-2
        command: [sleep, infinity]
        resources: {cpu: {weight: 50}}

- name: Two containers on a bridge, which is made for them and goes with the last of them
  bulkhead.linux.container_run:
    containers:
      - name: database
        command: [python3, -m, http.server, "5432"]
        init: true
        network: {mode: bridge, address: [10.98.107.10/24, "fd5c:9a3e:71b4::10/64"]}
      - name: shop
        command: [sleep, infinity]
        network: {mode: bridge, bandwidth: {egress: {rate: 20mbit}, ingress: {rate: 100mbit}}}

- name: See whether private files lie where a project can be limited
  bulkhead.linux.disk_quota_info:
    ids: false
  register: disk

- name: A container that writes no more than ten gigabytes and a million files
  bulkhead.linux.container_run:
    name: bounded
    command: [sleep, infinity]
    disk_quota: {block_hard: 10G, inode_hard: 1000000}
  when: ours | rejectattr('fstype', 'eq', 'btrfs') | selectattr('types.project.enforced') | length > 0
  vars:
    ours: "{{ disk.filesystems | selectattr('path', 'eq', '/var/lib/bulkhead') }}"

- name: A service that the play goes on with when it is healthy
  bulkhead.linux.container_run:
    name: web
    command: [python3, -m, http.server, "8080"]
    init: true
    state: healthy
    healthcheck:
      command: [python3, -c, "import socket; socket.create_connection(('localhost', 8080), 3)"]
      interval: 5
      start_period: 30
    labels: {team: shop}

- name: Read its configuration again
  bulkhead.linux.container_run:
    name: web
    signal: HUP

- name: Gone, with all that was its own
  bulkhead.linux.container_run:
    name: web
    state: absent
"""

RETURN = r"""
writes:
  description: What was done, or in check mode would be done, in its order.
  returned: success
  type: list
  elements: dict
  contains:
    target:
      description: The file, directory or container.
      type: str
      returned: success
      sample: /sys/fs/cgroup/bulkhead/web/memory.max
    before:
      description: What was there, null for nothing.
      type: str
      returned: success
      sample: max
    after:
      description: What is there now, null for nothing.
      type: str
      returned: success
      sample: "536870912"
containers:
  description: Each container, in the order in which they were given.
  returned: success, and when a job ended with another status than 0
  type: list
  elements: dict
  contains:
    name:
      description: The name.
      type: str
      returned: success
      sample: web
    state:
      description: The state that was asked for.
      type: str
      returned: success
      sample: started
    status:
      description: V(running), V(paused), V(stopped), V(restarting) between two starts, V(creating) while another run makes it, or V(absent).
      type: str
      returned: success
      sample: running
    pid:
      description: The process id of its first process, 0 when it does not run.
      type: int
      returned: success
      sample: 4711
    created:
      description: When it was made.
      type: str
      returned: when it exists
      sample: "2026-11-23T10:25:26.178150Z"
    started:
      description: When its command was started last.
      type: str
      returned: when it was started
      sample: "2026-11-23T10:25:26.203377Z"
    finished:
      description: When it ended.
      type: str
      returned: when it has ended
      sample: "2026-11-23T10:41:02.990124Z"
    error:
      description: Why it could not be started last, as data, like RV(error).
      type: dict
      returned: when it could not
    broken:
      description: Whether a run or a supervisor was killed and left it behind; the next run of its task puts it right.
      type: bool
      returned: when it is
    network:
      description: What it has on a bridge - C(bridge), C(interface), C(addresses) and C(gateways).
      type: dict
      returned: when it exists and has an interface on a bridge
      sample: {bridge: bulkhead0, interface: eth0, addresses: [10.98.107.7/24], gateways: [10.98.107.1]}
    bundle:
      description: The directory of its files.
      type: str
      returned: when it exists
      sample: /var/lib/bulkhead/containers/web
    exit:
      description: How it ended - C(code) (128 and the signal for one), C(signal), and C(killed_by), V(memory) when the kernel killed it at its memory limit.
      type: dict
      returned: when it has ended
      sample: {code: 137, signal: 9, killed_by: memory}
    oom_kills:
      description: How many processes the kernel killed in its group for want of memory.
      type: int
      returned: when it has ended
      sample: 1
    restarts:
      description: How often it was started again.
      type: int
      returned: when it was started
      sample: 0
    cgroup:
      description: Its control group.
      type: str
      returned: when it exists
      sample: bulkhead/web
    unit:
      description: The unit of systemd in whose control group it is.
      type: str
      returned: when systemd supervises it
      sample: bulkhead-web.service
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
      sample: /var/log/bulkhead/web.log
    output:
      description: What this run wrote, the last of it, as much as O(max_output) says, from all files of its log; empty where the log is no file.
      type: str
      returned: when a job (O(wait=true)) has ended, and when the container ended right after its start
      sample: done
    output_truncated:
      description: Whether it wrote more than that.
      type: bool
      returned: with RV(containers[].output)
      sample: false
    asked:
      description: The resources that were asked for, by option.
      type: dict
      returned: success
      sample: {memory.max: 512M, cpu.max: 1.5}
    effective:
      description: What the kernel holds, by option, in the vocabulary of v2.
      type: dict
      returned: success
      sample: {memory.max: "536870912", cpu.max: 150000 100000}
    rounded:
      description: The options for which the kernel keeps another value than was asked for, because it rounds.
      type: list
      elements: str
      returned: success
      sample: []
    rdt:
      description: Its class of cache and memory bandwidth, with what M(bulkhead.linux.resctrl_schema) returns of a class.
      type: dict
      returned: with O(rdt)
      contains:
        class:
          description: The name of the class.
          type: str
          returned: always
          sample: web
        asked:
          description: What was asked for, by option.
          type: dict
          returned: always
          sample: {mb: 25%}
        effective:
          description: What the kernel holds, by resource and domain.
          type: dict
          returned: always
          sample: {mb: {"0": 30, "1": 30}}
        rounded:
          description: The options for which the kernel keeps another value than was asked for, because it rounds.
          type: list
          elements: str
          returned: always
          sample: [mb]
        overlaps:
          description: Ways that the class shares with groups that this collection has not made, by group.
          type: dict
          returned: always
          sample: {COS1: ["L3:0=1f"]}
    disk_quota:
      description: The limits of its private files.
      type: dict
      returned: with O(disk_quota)
      contains:
        directory:
          description: Where they lie.
          type: str
          returned: always
          sample: /var/lib/bulkhead/containers/web
        path:
          description: Where the file system is mounted; on btrfs, the subvolume.
          type: str
          returned: always
          sample: /var/lib/bulkhead
        id:
          description: The project; on btrfs, the subvolume.
          type: int
          returned: always; on btrfs it is C(null) before the subvolume is made
          sample: 65536
        asked:
          description: What was asked for, by option.
          type: dict
          returned: always
          sample: {block_hard: 10G}
        effective:
          description: The limits, in bytes and by number.
          type: dict
          returned: always
          sample: {block_hard: 10737418240}
        rounded:
          description: The options for which the file system keeps another value than was asked for, because it rounds.
          type: list
          elements: str
          returned: always
          sample: []
container:
  description: The one container that was asked for, as in RV(containers).
  returned: when O(name) is used
  type: dict
asked:
  description: As RV(containers[].asked).
  returned: when O(name) is used
  type: dict
  sample: {memory.max: 512M}
effective:
  description: As RV(containers[].effective).
  returned: when O(name) is used
  type: dict
  sample: {memory.max: "536870912"}
rounded:
  description: As RV(containers[].rounded).
  returned: when O(name) is used
  type: list
  elements: str
  sample: []
restarted:
  description: The containers that were stopped for the one that failed, and started again as they were.
  returned: on failure, when there are such
  type: list
  elements: str
  sample: [web]
error:
  description: What went wrong, as data; C(problem), C(target), C(value), C(errno), C(kernel), C(hint), C(undo_failures) and C(input) (whether the
    options could not be understood).
  returned: on failure
  type: dict
  sample: {problem: "container web: executing the command 'nginx' failed for nginx", errno: ENOENT}
"""

from ansible_collections.bulkhead.linux.plugins.module_utils import _container_options, _module
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime import cli as _cli  # noqa: F401  (part of what is left on the node)
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.container.subject import Containers


def main() -> None:
    _module.run(Containers, _container_options.CONTAINER)


if __name__ == "__main__":
    main()
