#!/usr/bin/python
# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: tc_bandwidth_info
short_description: Look at limits of network bandwidth and at what passes
description:
  - Tells what limits the interfaces of a network namespace have, in units of people and in the
    kernel's ticks, and what queues, filters and BPF programs of others are there.
  - Counts what was sent, dropped and delayed, and what waits, for each direction and each class;
    and measures how much passes.
version_added: 0.1.0
author:
  - bulkhead.linux contributors (@bulkhead-linux)
requirements:
  - root
extends_documentation_fragment:
  - bulkhead.linux.attributes.info
options:
  interface:
    description: Describe this interface only. It must be there.
    type: str
  netns:
    description: The network namespace, by its name, by a path, or by the number of a process that
      lives there. Without it, the one in which the module runs.
    type: str
  container:
    description: Describe the host's side of the interface of this container only.
    type: str
  interval:
    description: For how many seconds traffic is measured. V(0) tells the counters only.
    type: float
    default: 0
notes:
  - What is received is limited on a helper device, and counted there. Policing has no counters
    here.
  - The kernel knows classes by number. Their names are those of what is kept for the next boot, and
    else the numbers.
seealso:
  - module: bulkhead.linux.tc_bandwidth
"""

EXAMPLES = r"""
- name: See what is limited
  bulkhead.linux.tc_bandwidth_info:
  register: network

- name: Name the interfaces that are
  ansible.builtin.debug:
    msg: "{{ network.interfaces | selectattr('limited') | map(attribute='interface') | list }}"

- name: Measure for two seconds what passes
  bulkhead.linux.tc_bandwidth_info:
    interface: lo
    interval: 2
  register: network

- name: Show it
  ansible.builtin.debug:
    msg: "{{ network.interfaces[0].egress.measured.bits_per_second | default('not limited') }}"
"""

RETURN = r"""
interfaces:
  description: Each interface, those of this collection's own helper devices left out.
  returned: success
  type: list
  elements: dict
  contains:
    interface:
      description: The name.
      type: str
      returned: success
      sample: eth0
    netns:
      description: The network namespace as it was named.
      type: str
      returned: success
    kind:
      description: The kind of a virtual interface, empty for others.
      type: str
      returned: success
      sample: veth
    up:
      description: Whether it is up.
      type: bool
      returned: success
    mtu:
      description: The largest packet.
      type: int
      returned: success
      sample: 1500
    limited:
      description: Whether there is a limit of this collection on it.
      type: bool
      returned: success
    queue:
      description: The kind of its queue.
      type: str
      returned: success
      sample: tbf
    egress:
      description: The limit of what is sent, with C(counters), and with C(measured) where
        O(interval) is given; null where there is none.
      type: dict
      returned: success
      sample: {rate: 10mbit, burst: 12500, burst_ticks: 156250, limit: 75000, counters: {bytes: 70, packets: 1, dropped: 0}}
    ingress:
      description: The same of what is received.
      type: dict
      returned: success
    classes:
      description: The classes of either direction, with the same.
      type: list
      elements: dict
      returned: success
      sample: [{name: web, direction: egress, class: "7002:e51", rate: 5mbit, ceil: 20mbit}]
    direct_packets:
      description: Packets that passed beside all classes. There are none where this collection has
        made the tree.
      type: int
      returned: success
    others:
      description: Queues, filters and BPF programs of others.
      type: list
      elements: str
      returned: success
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.bulkhead.linux.plugins.module_utils._answer import answer
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.errors import InvalidInput
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.tc import info


def look(params: dict[str, t.Any]) -> dict[str, t.Any]:
    """The answer to the module's question."""
    if not 0 <= params["interval"] <= 3600:
        raise InvalidInput("interval: %s is not a number of seconds up to 3600" % params["interval"])
    return {"changed": False, "interfaces": info.look(params, params["interval"])}


def main() -> None:
    names = ("interface", "netns", "container")
    module = AnsibleModule(
        argument_spec={
            **{name: {"type": "str"} for name in names},
            "interval": {"type": "float", "default": 0},
        },
        mutually_exclusive=[("interface", "container"), ("netns", "container")],
        supports_check_mode=True,
    )
    answer(module, lambda: look(module.params))


if __name__ == "__main__":
    main()
