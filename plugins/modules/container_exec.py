#!/usr/bin/python
# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: container_exec
short_description: Run a command in a running container
description:
  - Runs a command inside a container that M(bulkhead.linux.container_run) started, in all of its namespaces and control groups, with its capabilities,
    limits and
    environment.
version_added: 0.1.0
author:
  - bulkhead.linux contributors (@bulkhead-linux)
requirements:
  - Linux 5.12 or newer
  - root with all capabilities
extends_documentation_fragment:
  - bulkhead.linux.attributes
attributes:
  check_mode:
    support: partial
    details: >-
      In check mode the container, the command, the user and the directory are looked for, and the command is not run. A container that does not run
      is warned of, as an earlier task may be about to start it.
  diff_mode:
    support: none
  idempotent:
    support: partial
    details: A command is run whenever the task is, unless O(creates) or O(removes) tells that it is not to be.
  action_group:
    support: none
    membership: []
    details: It has no option in common with the members of C(group/bulkhead.linux.isolation).
options:
  name:
    description: The name of the container.
    type: str
    required: true
  command:
    description:
      - What to run, as a list of words; text is split into words as a shell would, but no shell runs it.
      - A name without a slash is looked up in the container's E(PATH).
    type: raw
    required: true
  env:
    description: Environment variables in addition to the container's. Their values are in no result or log.
    type: dict
  cwd:
    description:
      - The working directory; by default that of the container's command, and a relative one is relative to it.
      - As with M(ansible.builtin.command), V(~) is the home of the command's user, V(~name) that of another one, and V($NAME) or V(${NAME}) a variable
        of the command's environment, all as they are in the container.
    type: str
    aliases: [chdir]
  creates:
    description: A path in the container; where it exists, the command is not run. What is said of O(cwd) holds for it, and it is relative to O(cwd).
    type: str
  removes:
    description: The same for a path that does not exist.
    type: str
  user:
    description:
      - Who runs the command, as V(user) or V(user:group), each a name of the container or a number; by default who runs the container's command.
      - The groups that the container was given with its option C(groups) are the command's too.
    type: str
  stdin:
    description: Text for the command's standard input, of any size. It is in no result or log.
    type: str
  stdin_add_newline:
    description: Whether a newline is added to O(stdin), as M(ansible.builtin.command) does.
    type: bool
    default: true
  tty:
    description:
      - Give the command a terminal of the container's own. What it writes to its standard error is then in RV(stdout) as well, lines end as a
        terminal ends them, and what it reads is echoed unless it turns that off.
      - A program that reads lines finds at most 4095 bytes in each; a terminal drops the rest.
    type: bool
    default: false
  detach:
    description: Leave the command running and do not wait for its end. Its output is not kept, and it has neither O(stdin) nor O(tty).
    type: bool
    default: false
  timeout:
    description: How many seconds the command may take, more than 0. Then it is killed, and the task fails.
    type: float
  max_output:
    description:
      - How much of what the command writes is returned, of each stream, as a size such as V(64K); up to V(256M). What comes before the last so many bytes is
        lost, and RV(stdout_truncated) or RV(stderr_truncated) tells so.
    type: raw
    default: 4M
  strip_empty_ends:
    description: Whether the empty lines at the end of what the command writes are left out of RV(stdout) and RV(stderr), as M(ansible.builtin.command) does.
    type: bool
    default: true
seealso:
  - module: bulkhead.linux.container_run
  - module: bulkhead.linux.container_info
"""

EXAMPLES = r"""
- name: A container to run commands in
  bulkhead.linux.container_run:
    name: web
    command: [sleep, infinity]

- name: What the container sees of itself
  bulkhead.linux.container_exec:
    name: web
    command: [ps, ax]
  register: listing
  changed_when: false

- name: As another user, with input
  bulkhead.linux.container_exec:
    name: web
    command: [tee, /tmp/motd]
    user: "33:33"
    stdin: "hello"

- name: Once, in a directory of the user's
  bulkhead.linux.container_exec:
    name: web
    command: [touch, prepared]
    chdir: ~/
    creates: prepared

- name: A program that wants a terminal
  bulkhead.linux.container_exec:
    name: web
    command: [tty]
    tty: true

- name: Much output, of which the end is enough
  bulkhead.linux.container_exec:
    name: web
    command: [find, /usr, -xdev]
    max_output: 64K
  register: found
  changed_when: false
"""

RETURN = r"""
rc:
  description: The exit status; 128 and the signal for a command that a signal ended.
  returned: when the command has ended, or was not to be run
  type: int
  sample: 0
stdout:
  description: What it wrote to its standard output. Bytes that are no UTF-8 are replaced.
  returned: when the command has ended
  type: str
stdout_lines:
  description: The same in lines.
  returned: when the command has ended
  type: list
  elements: str
stdout_truncated:
  description: Whether it wrote more to its standard output than O(max_output), so that only the end is returned.
  returned: when the command has ended
  type: bool
  sample: false
stderr_truncated:
  description: The same for its standard error.
  returned: when the command has ended
  type: bool
  sample: false
stderr:
  description: What it wrote to its standard error.
  returned: when the command has ended
  type: str
stderr_lines:
  description: The same in lines.
  returned: when the command has ended
  type: list
  elements: str
pid:
  description: The process id of the command on the machine.
  returned: with O(detach=true)
  type: int
  sample: 4711
"""

import os
import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.bulkhead.linux.plugins.module_utils import _module
from ansible_collections.bulkhead.linux.plugins.module_utils._answer import answer
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime import cli as _cli  # noqa: F401  (part of what is left on the node)
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.cgroup.host import Host
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.container import commands
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.container.paths import Paths
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.errors import needs_root

OPTIONS: dict[str, t.Any] = {
    "name": {"type": "str", "required": True},
    "command": {"type": "raw", "required": True},
    "env": {"type": "dict"},
    "cwd": {"type": "str", "aliases": ["chdir"]},
    "creates": {"type": "str"},
    "removes": {"type": "str"},
    "user": {"type": "str"},
    "stdin": {"type": "str"},
    "stdin_add_newline": {"type": "bool", "default": True},
    "tty": {"type": "bool", "default": False},
    "detach": {"type": "bool", "default": False},
    "timeout": {"type": "float"},
    "max_output": {"type": "raw", "default": "4M"},
    "strip_empty_ends": {"type": "bool", "default": True},
}


def ask(module: AnsibleModule) -> dict[str, t.Any]:
    """Run the command, or in check mode say what would become of it."""
    if os.geteuid() != 0:
        raise needs_root()
    paths, host = Paths(), Host.observe()
    if module.check_mode:
        for warning in commands.foresee(module.params, paths, host):
            module.warn(warning)
            return {"changed": True, "skipped": True}
    reason = commands.reason_to_skip(module.params, paths, host)
    if reason:
        return {"changed": False, "msg": "the command was not run, since %s" % reason, "rc": 0, "stdout": "", "stderr": ""}
    if module.check_mode:
        return {"changed": True, "skipped": True}
    ended = commands.run(module.params, paths, host)
    for stream in ("stdout", "stderr"):
        if stream in ended and module.params["strip_empty_ends"]:
            ended[stream] = ended[stream].rstrip("\r\n")
    if ended.pop("timed_out", False):
        module.fail_json(msg="the command did not end within %s seconds and was killed" % module.params["timeout"], changed=True, **ended)
    if ended.get("rc"):
        module.fail_json(msg="the command ended with status %d" % ended["rc"], changed=True, **ended)
    return {"changed": True, **ended}


def main() -> None:
    module = _module.Module(argument_spec=OPTIONS, supports_check_mode=True)
    answer(module, lambda: ask(module), binary=("stdin",))


if __name__ == "__main__":
    main()
