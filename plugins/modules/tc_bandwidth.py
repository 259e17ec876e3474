#!/usr/bin/python
# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: tc_bandwidth
short_description: Limit the network bandwidth of interfaces, containers and control groups
description:
  - Limits what an interface sends and receives, and divides what it sends among classes by control
    group, network, protocol, port or mark. IPv4 and IPv6 alike.
  - Exact. Buckets go to the kernel in its own ticks, and what is read back is what was sent. A
    second run changes nothing.
  - Changes in place wherever the kind of queue stays; no packet is lost then, and counters go on.
    Where one kind takes the place of another, some milliseconds of traffic are lost, and the diff
    says so.
  - What is not given of an interface stays as it is in the kernel.
  - All or nothing. If the kernel refuses one request, those before it are undone, and the error
    carries the kernel's own words.
  - Queues, filters and BPF programs of others are named in the result and never removed. One that
    stands in the way is a refusal.
  - Nothing is needed on the node, no C(tc) and no C(nft).
version_added: 0.1.0
author:
  - bulkhead.linux contributors (@bulkhead-linux)
requirements:
  - Linux 4.19 or newer with C(CONFIG_NET_SCH_TBF); for classes C(CONFIG_NET_SCH_HTB) and
    C(CONFIG_NET_CLS_U32), for marks C(CONFIG_NF_TABLES_INET), for control groups that and
    C(CONFIG_NFT_SOCKET) (Linux 5.13), or on v1 C(CONFIG_NET_CLS_CGROUP); for what is received
    C(CONFIG_NET_SCH_INGRESS), and C(CONFIG_IFB) with C(CONFIG_NET_ACT_MIRRED) or
    C(CONFIG_NET_ACT_POLICE)
  - root
extends_documentation_fragment:
  - bulkhead.linux.attributes
  - bulkhead.linux.bandwidth
options:
  persist:
    description:
      - Also keep the options in C(/etc/bulkhead/desired.d/tc_bandwidth.json), and the runtime core
        as the command C(bulkhead), so that a boot brings the limits back. The role
        P(bulkhead.linux.node#role) installs what makes the boot do so.
      - An interface that is V(absent) is not kept any more. With V(false), what is kept stays as it
        is.
      - An interface that is not there when a boot brings limits back is waiting in C(bulkhead
        status) and C(bulkhead drift), and no failure. Where the role has seen to it, it is limited
        when it comes.
      - O(force) is not kept.
    type: bool
    default: true
notes:
  - The limits of an interface are gone when it is removed, or moved to another network namespace;
    they survive being taken down and renamed.
  - Bandwidth counts whole frames, so that a single TCP stream carries about 95 % of it as payload.
  - A full queue (C(tbf)) gets the handle C(7bf0), a tree of classes one from C(7000) to C(7bdf).
    Queues with these handles are taken for this collection's own.
seealso:
  - module: bulkhead.linux.tc_bandwidth_info
  - name: tc(8)
    description: The tool of which these are the terms.
    link: https://man7.org/linux/man-pages/man8/tc.8.html
"""

EXAMPLES = r"""
- name: Limit what an interface sends and receives
  bulkhead.linux.tc_bandwidth:
    interface: lo
    egress: {rate: 800mbit}
    ingress: {rate: 900mbit}
    persist: false

- name: Divide what it sends, with a class for all the rest
  bulkhead.linux.tc_bandwidth:
    interface: lo
    egress: {rate: 1gbit}
    classes:
      - name: web
        rate: 300mbit
        ceil: 1gbit
        match: {protocol: tcp, port: 443}
      - name: backup
        rate: 100mbit
        priority: 7
        match: {destination: 10.20.0.0/16}
      - name: others
        rate: 200mbit
        ceil: 500mbit
    persist: false

- name: Lift the limit of what is received, and keep the other
  bulkhead.linux.tc_bandwidth:
    interface: lo
    ingress: {rate: max}
    persist: false

- name: Take all limits away
  bulkhead.linux.tc_bandwidth:
    interface: lo
    state: absent
"""

RETURN = r"""
writes:
  description: The changes that were made, or in check mode would be made, in their order.
  returned: success
  type: list
  elements: dict
  contains:
    target:
      description: The queue, class, filter or device.
      type: str
      returned: success
      sample: "eth0: root queue"
    before:
      description: What was there, null for nothing.
      type: str
      returned: success
    after:
      description: What is there now, null for nothing.
      type: str
      returned: success
      sample: "7bf0: tbf rate 1250000B/s burst 156250 ticks limit 75000B"
limits:
  description: Each interface, in the order in which they were given.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: The interface, with its network namespace where it was named, or the container.
      type: str
      returned: success
      sample: v0 in blue
    interface:
      description: The interface on which the limits are set.
      type: str
      returned: success
      sample: v0
    state:
      description: Whether it is limited.
      type: str
      returned: success
      sample: present
    asked:
      description: What was asked for, by option.
      type: dict
      returned: success
      sample: {egress: {rate: 10mbit}}
    effective:
      description: What the kernel holds, in bytes and in ticks of 64 ns, with what was not given.
      type: dict
      returned: success
      sample: {egress: {rate: 10mbit, burst: 12500, burst_ticks: 156250, limit: 75000}}
    rounded:
      description: The options for which the kernel has no exact number.
      type: list
      elements: str
      returned: success
      sample: [egress.burst]
    summary:
      description: What the kernel holds, in one line.
      type: str
      returned: when O(limits[].state=present)
      sample: egress 20mbit, web 5mbit, the rest 15mbit up to 20mbit
    others:
      description: Queues, filters and BPF programs of others on the interface.
      type: list
      elements: str
      returned: success
      sample: ["tcx ingress program cil_from_netdev (id 7)"]
limit:
  description: The one interface that was asked for, as in RV(limits).
  returned: when O(interface) or O(container) is used
  type: dict
asked:
  description: As RV(limits[].asked).
  returned: when O(interface) or O(container) is used
  type: dict
  sample: {egress: {rate: 10mbit}}
effective:
  description: As RV(limits[].effective).
  returned: when O(interface) or O(container) is used
  type: dict
  sample: {egress: {rate: 10mbit, burst: 12500, burst_ticks: 156250, limit: 75000}}
rounded:
  description: As RV(limits[].rounded).
  returned: when O(interface) or O(container) is used
  type: list
  elements: str
  sample: []
error:
  description: What went wrong, as data.
  returned: on failure
  type: dict
  contains:
    problem:
      description: What was asked and what is wrong with it.
      type: str
      returned: on failure
    target:
      description: The queue, class, filter or device.
      type: str
      returned: on failure
    value:
      description: What was to be there.
      type: str
      returned: on failure
    errno:
      description: The kernel's answer.
      type: str
      returned: on failure
      sample: EINVAL
    kernel:
      description: The kernel's own words, from its extended acknowledgement.
      type: str
      returned: on failure
      sample: Specified qdisc kind is unknown
    hint:
      description: What can be done about it.
      type: str
      returned: on failure
    undo_failures:
      description: What could not be put back.
      type: list
      elements: str
      returned: on failure
    input:
      description: Whether the options could not be understood, before anything else was looked at.
      type: bool
      returned: on failure
"""

from ansible_collections.bulkhead.linux.plugins.module_utils import _module, _tc_options
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.container.bandwidth import (
    Limits,
)


def main() -> None:
    _module.run(Limits, _tc_options.LIMIT)


if __name__ == "__main__":
    main()
