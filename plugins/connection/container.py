# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
name: container
short_description: Run modules inside a container of this collection
description:
  - Runs modules and roles inside a container that M(bulkhead.linux.container_run) started, with the privileges, limits, environment and control groups
    that its own processes have. Nothing needs to be installed in it but what modules need, which is Python.
  - The container is on a node, and the node is reached by its own connection, O(node_connection), with its own user, port, key and C(become).
    By default the node is the machine that runs Ansible.
  - Each variable of the node's connection is given with C(ansible_bulkhead_node_) in the place of C(ansible_). So C(ansible_bulkhead_node_host),
    C(ansible_bulkhead_node_port), C(ansible_bulkhead_node_user), C(ansible_bulkhead_node_ssh_private_key_file) and
    C(ansible_bulkhead_node_become_password) are what C(ansible_host), C(ansible_port), C(ansible_user), C(ansible_ssh_private_key_file) and
    C(ansible_become_password) are for the node itself.
  - C(become) on the node is O(node_become), and is needed where the node's user is not root. The keyword C(become) of a task is meant inside the container.
  - A container that is not there or does not run is unreachable. In check mode an earlier task may be about to start it, so the task is skipped then.
version_added: 0.1.0
author:
  - bulkhead.linux contributors (@bulkhead-linux)
extends_documentation_fragment:
  - ansible.builtin.connection_pipelining
notes:
  - A module of this collection that makes containers must have run on the node before; it leaves the command C(bulkhead) there, which this uses.
  - The connection of the node must be one that can hand input to a command, as P(ansible.builtin.local#connection) and P(ansible.builtin.ssh#connection) can.
  - A password for C(become) inside the container is not given; whoever runs commands there as root needs none.
seealso:
  - module: bulkhead.linux.container_run
  - module: bulkhead.linux.container_exec
options:
  container:
    description: The name of the container.
    type: str
    default: inventory_hostname
    vars:
      - name: inventory_hostname
      - name: ansible_bulkhead_container
  remote_user:
    description:
      - Who runs modules in the container, as V(user) or V(user:group), each a name of the container or a number.
      - By default who runs the container's own command.
    type: str
    vars:
      - name: ansible_user
    keyword:
      - name: remote_user
  node_connection:
    description: The connection by which the node of the container is reached.
    type: str
    default: ansible.builtin.local
    vars:
      - name: ansible_bulkhead_node_connection
  node_become:
    description: Whether to become root on the node before its container is entered.
    type: bool
    default: false
    vars:
      - name: ansible_bulkhead_node_become
  node_become_method:
    description: How to become root on the node.
    type: str
    default: ansible.builtin.sudo
    vars:
      - name: ansible_bulkhead_node_become_method
"""

EXAMPLES = r"""
- name: A container of this machine
  hosts: localhost
  tasks:
    - name: Start it
      bulkhead.linux.container_run:
        name: box
        command: [sleep, infinity]

    - name: Make it a host
      ansible.builtin.add_host:
        name: box
        groups: containers
        ansible_connection: bulkhead.linux.container

- name: Work inside
  hosts: containers
  tasks:
    - name: Write a file
      ansible.builtin.copy:
        content: "hello\n"
        dest: /etc/motd
        mode: "0644"

# The same in an inventory, for a container on a node that is reached by ssh as a user who may become root:
#
# containers:
#   hosts:
#     box:
#       ansible_connection: bulkhead.linux.container
#       ansible_bulkhead_node_connection: ansible.builtin.ssh
#       ansible_bulkhead_node_host: node1.example.org
#       ansible_bulkhead_node_port: 2222
#       ansible_bulkhead_node_user: admin
#       ansible_bulkhead_node_become: true
"""

import json
import re
import shlex
import typing as t

from ansible.errors import AnsibleConnectionFailure, AnsibleError, AnsibleFileNotFound
from ansible.module_utils.common.text.converters import to_bytes, to_text
from ansible.plugins.connection import ConnectionBase
from ansible.plugins.loader import become_loader, connection_loader
from ansible.utils.display import Display
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime import corefile

display = Display()

# The status comes in a last line (corefile.on_node()): 255 would mean to ssh that the node was not reached.
_STATUS = re.compile(rb"\n?bulkhead-status:(\d+)\r?\n")
# What `bulkhead exec --help` says of statuses.
_UNREACHED = 255
_NOT_RUNNABLE = 126
_NOT_FOUND = 127
_PREFIX = "ansible_bulkhead_node_"


class Connection(ConnectionBase):
    """Commands and files, inside a container and through the connection of its node."""

    transport = "bulkhead.linux.container"
    has_pipelining = True
    has_tty = False
    allow_extras = True
    _extras_prefix = "bulkhead_node"

    def __init__(self, *args: t.Any, **kwargs: t.Any) -> None:
        super().__init__(*args, **kwargs)
        self._node: t.Any = None

    def _connect(self) -> Connection:
        if self._node is None:
            self._node = self._make_node()
        self._node._connect()
        self._connected = True
        return self

    def _node_variables(self) -> dict[str, t.Any]:
        """The variables of the node's connection, under the names that it knows them by."""
        given = self.get_option("_extras") or {}
        return {"ansible_" + name[len(_PREFIX) :]: value for name, value in given.items()}

    def _make_node(self) -> t.Any:
        """The connection of the node, with its own options and its own way to become root."""
        name = self.get_option("node_connection")
        variables = self._node_variables()
        context = self._play_context.copy()
        context.connection, context.become, context.password = name, False, None
        context.remote_addr = variables.get("ansible_host", "localhost")
        context.remote_user = variables.get("ansible_user")
        context.port = variables.get("ansible_port")
        node = connection_loader.get(name, context, "/dev/null")
        if node is None:
            raise AnsibleError("the connection %r of the node of a container was not found" % name)
        if not node.has_pipelining:
            raise AnsibleError("the connection %r cannot hand input to a command: a container is not reached through it" % name)
        node.set_options(var_options={"_extras": {}, **variables})
        node._shell.set_options(var_options=variables)
        for option in ("use_tty", "become_strip_preamble"):  # both would change what is read
            if node.has_option(option):
                node.set_option(option, False)
        if self.get_option("node_become"):
            node.set_become_plugin(self._node_become(variables))
        return node

    def _node_become(self, variables: dict[str, t.Any]) -> t.Any:
        method = self.get_option("node_become_method")
        become = become_loader.get(method)
        if become is None:
            raise AnsibleError("the become method %r of the node of a container was not found" % method)
        become.set_options(var_options=variables)
        return become

    def _on_node(self, command: str, in_data: bytes | None) -> tuple[int, bytes, bytes]:
        """Run a command of a shell on the node, as root where that is asked for."""
        become = self._node.become
        if become:
            command = become.build_become_command(command, self._node._shell)
        status, output, errors = self._node.exec_command(command, in_data=in_data, sudoable=bool(become))
        if become:
            marker = to_bytes(become.success)
            _before, found, rest = output.partition(marker)
            if found:
                output = rest.partition(b"\n")[2]
        return status, output, errors

    def _inside(self, command: list[str], in_data: bytes | None) -> tuple[int, bytes, bytes]:
        """Run a command in the container: (status, output, errors). Raises what tells that it was not run."""
        self._connect()
        words = ["-u", self.get_option("remote_user")] if self.get_option("remote_user") else []
        name = self.get_option("container")
        words = ["exec", *words, name, "--", *command]
        script = corefile.on_node(name, [to_bytes(word) for word in words], bool(in_data))
        status, output, errors = self._on_node("/bin/sh -c %s" % shlex.quote(script), in_data or None)
        told = list(_STATUS.finditer(errors))
        if not told:
            text = to_text(errors).strip() or "it ended with status %d" % status
            raise AnsibleConnectionFailure("the node of container %s could not be used: %s" % (name, text))
        status, errors = int(told[-1].group(1)), errors[: told[-1].start()] + errors[told[-1].end() :]
        self._judge(status, errors)
        return status, output, errors

    def _judge(self, status: int, errors: bytes) -> None:
        """Raise where it was not the command that ended, by the last line of what was said."""
        last = to_text(errors).strip().rpartition("\n")[2]
        if status == 2 and b"usage: bulkhead" in errors and b"exec " not in errors:
            raise AnsibleConnectionFailure("the node has a core of an earlier release: run a module that makes containers there")
        if not last.startswith("bulkhead: ") or status not in (_UNREACHED, _NOT_RUNNABLE, _NOT_FOUND):
            return
        problem = last[len("bulkhead: ") :]
        if status == _UNREACHED:
            if "needs root" in problem:
                problem += "; set ansible_bulkhead_node_become: true, or log in to the node as root"
            raise AnsibleConnectionFailure(problem)
        raise AnsibleError(problem)

    def exec_command(self, cmd: str, in_data: bytes | None = None, sudoable: bool = True) -> tuple[int, bytes, bytes]:
        """Run a command of a shell in the container."""
        super().exec_command(cmd, in_data=in_data, sudoable=sudoable)
        display.vvv("EXEC %s" % to_text(cmd), host=self.get_option("container"))
        executable = self._play_context.executable or "/bin/sh"
        try:
            return self._inside([executable, "-c", to_text(cmd)], in_data)
        except AnsibleConnectionFailure as error:
            if not self._play_context.check_mode:
                raise
            return 0, to_bytes(self._foreseen(error)), b""

    def _foreseen(self, error: AnsibleConnectionFailure) -> str:
        """The result of a module that check mode cannot run yet."""
        problem = "%s; unless an earlier task of the play starts it, this task fails" % error
        display.warning(problem)
        # `stat` is for the actions that look at what is there first, such as copy: nothing is.
        return json.dumps({"changed": False, "skipped": True, "msg": problem, "stat": {"exists": False}})

    def put_file(self, in_path: str, out_path: str) -> None:
        """Copy a file of this machine into the container."""
        super().put_file(in_path, out_path)
        display.vvv("PUT %s TO %s" % (in_path, out_path), host=self.get_option("container"))
        try:
            with open(to_bytes(in_path, errors="surrogate_or_strict"), "rb") as file:
                data = file.read()
        except FileNotFoundError:
            raise AnsibleFileNotFound("file or module does not exist: %s" % to_text(in_path)) from None
        target = shlex.quote(out_path)
        # What a full file system took of it is not left.
        script = "cat >%s || { test ! -f %s || rm -f %s; exit 1; }" % (target, target, target)
        try:
            status, _output, errors = self._inside(["/bin/sh", "-c", script], data)
        except AnsibleConnectionFailure:
            if not self._play_context.check_mode:
                raise
            return
        if status:
            raise AnsibleError("failed to copy a file to %s in the container: %s" % (out_path, to_text(errors).strip()))

    def fetch_file(self, in_path: str, out_path: str) -> None:
        """Copy a file of the container to this machine."""
        super().fetch_file(in_path, out_path)
        display.vvv("FETCH %s TO %s" % (in_path, out_path), host=self.get_option("container"))
        status, output, errors = self._inside(["/bin/sh", "-c", "exec cat <%s" % shlex.quote(in_path)], None)
        if status:
            raise AnsibleError("failed to read %s in the container: %s" % (in_path, to_text(errors).strip()))
        with open(to_bytes(out_path, errors="surrogate_or_strict"), "wb") as file:
            file.write(output)

    def reset(self) -> None:
        """Have the node's connection begin anew."""
        if self._node is not None and hasattr(self._node, "reset"):
            self._node.reset()

    def close(self) -> None:
        """Let go of the node's connection."""
        if self._node is not None:
            self._node.close()
        self._connected = False
