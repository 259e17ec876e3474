# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The options of a limit of bandwidth, written once: for one interface, and again below the list."""

from __future__ import annotations

import textwrap

from ansible_collections.bulkhead.linux.plugins.doc_fragments.resources import BESIDE as _BESIDE
from ansible_collections.bulkhead.linux.plugins.doc_fragments.resources import in_list as _in_list

_INTERFACE = """
interface:
  description:
    - The interface, by its name.
    - One of this, O(container) and O(limits) is required.
  type: str
"""

_INTERFACE_IN_LIST = """
interface:
  description: The interface, by its name. Either this or O(limits[].container) is required.
  type: str
"""

_PLACE = """
netns:
  description:
    - The network namespace in which the interface is, by its name (C(ip netns)), by a path, or by
      the number of a process that lives there.
    - Without it, the namespace in which the module runs.
  type: str
container:
  description:
    - The container whose traffic is limited, in the directions as the container sees them. The
      limits are set on the host's side of its interface, where nothing inside the container can
      touch them.
    - For a container of M(bulkhead.linux.container_run), these are the limits of its option
      C(network.bandwidth), which are there at each start and go with it. They are told by
      M(bulkhead.linux.container_info) and kept for the boot with the container.
    - The interface is found by its alias (C(ip link set dev NAME alias)), which is C(bulkhead
      container) and the name.
  type: str
state:
  description:
    - Whether the interface is limited. V(absent) takes away the limits of this collection, and the
      interface's own queue comes back. What others have made stays.
  type: str
  choices: [present, absent]
  default: present
"""

BANDWIDTH = """
egress:
  description:
    - The limit of what is sent, of every protocol. Without it, what there is stays.
    - Of several classes together where there are O(classes), each of which can borrow what the
      others leave.
  type: dict
  suboptions:
    rate:
      description:
        - How much may pass in a second, as in V(10mbit), V(1.5gbit), V(100kibit) or V(12.5MB/s).
          The units are C(bit), C(kbit), C(mbit), C(gbit), C(tbit) (powers of 1000) and C(kibit),
          C(mibit), C(gibit), C(tibit) (powers of 1024), in any case and with or without C(/s);
          C(kB/s), C(MB/s) and C(GB/s) for bytes.
        - A bare number, V(10M) and V(10mbps) are refused, since programs differ in what they take
          these for.
        - From V(8kbit) to V(400gbit). The kernel counts whole bytes in a second, and what lies
          between is rounded down. V(max) lifts the limit.
      type: raw
      required: true
    burst:
      description:
        - How many bytes may pass at once after a pause, a number or with K, M (powers of 1024).
        - Without it, what passes in 10 ms, and at least a full frame (the MTU and 14 bytes). Less
          than that is refused, and so is more than 274 s of the rate.
      type: raw
    latency:
      description: How long a packet may wait, as in V(50ms), which is what holds when neither this
        nor O(egress.limit) is given. Not with O(classes).
      type: raw
    limit:
      description: How many bytes may wait, in the place of O(egress.latency). Not with O(classes).
      type: raw
    peakrate:
      description: How fast a burst may be sent. Not with O(classes).
      type: raw
ingress:
  description:
    - The limit of what is received, of every protocol. Without it, what there is stays.
  type: dict
  suboptions:
    rate:
      description: How much may pass in a second, as for O(egress.rate).
      type: raw
      required: true
    burst:
      description: How many bytes may pass at once, as for O(egress.burst). With V(method=police),
        at least 64 KiB when it is not given.
      type: raw
    latency:
      description: How long a packet may wait. Only with O(ingress.method=ifb).
      type: raw
    limit:
      description: How many bytes may wait. Only with O(ingress.method=ifb).
      type: raw
    peakrate:
      description: How fast a burst may pass. Only with O(ingress.method=ifb).
      type: raw
    method:
      description:
        - V(ifb), which is what holds when it is not given, sends what is received through a helper
          device (C(ifb)) whose queue delays what is too much. The device belongs to the interface
          and goes with the limit.
        - V(police) drops what is too much. It costs less and treats TCP hard. The kernel needs
          C(CONFIG_NET_ACT_POLICE).
      type: str
      choices: [ifb, police]
classes:
  description:
    - Classes of what is sent, as a tree of hierarchical token buckets (C(tc-htb(8))). All classes
      of the interface; a class that is not named any more is removed, and an empty list removes
      all. Without it, what there is stays.
    - What no class matches is in the class without O(classes[].match), and where there is none gets
      what is left of O(egress.rate) and can borrow all of it. Without O(egress.rate) either, it is
      not limited, and a warning says so.
    - A class is changed in place. One that moves below another parent is made anew, and what waits
      in it is lost.
  type: list
  elements: dict
  suboptions:
    name:
      description: A name for the class.
      type: str
      required: true
    parent:
      description: The class that this one is a part of. A class that is a parent carries no traffic
        of its own.
      type: str
    rate:
      description: What the class always has, as for O(egress.rate).
      type: raw
      required: true
    ceil:
      description: What the class may have when others leave it. Its rate, when it is not given.
      type: raw
    burst:
      description: How many bytes may pass at once, as for O(egress.burst).
      type: raw
    priority:
      description: Which classes are offered first what others leave, from 0 (first, and what holds
        when it is not given) to 7.
      type: int
    match:
      description:
        - Which packets are in the class, those of IPv4 and of IPv6 alike. All that is given must be
          so.
        - The first class of the list that matches counts; but classes that match by
          O(classes[].match.cgroup) or O(classes[].match.mark) come before all others.
      type: dict
      suboptions:
        cgroup:
          description:
            - A control group of the v2 hierarchy (also on machines that have both), by its path or
              its name in M(bulkhead.linux.cgroup_group), with all groups below it. What counts is the group in which the sending process was
              when it made its socket. Needs nftables.
            - Where only v1 is mounted, a group of the hierarchy with C(net_cls), which gets the
              number of the class in C(net_cls.classid), as do the groups below it. Such a group is
              in one class alone, and nothing else can be asked of its packets. A number that is
              somebody else's is a refusal unless O(force=true).
            - A group that was removed and made again is another one for the kernel, so run the
              module again then.
          type: str
        source:
          description: A network or address from which the packets come.
          type: str
        destination:
          description: A network or address to which they go.
          type: str
        protocol:
          description:
            - A protocol such as V(tcp), V(udp), V(icmp) or V(icmpv6), or its number. With a port
              and without this, V(tcp) and V(udp).
            - Packets of IPv4 with options, and of IPv6 with headers between, are matched by it only
              where nftables does it (see O(classes[].match)).
          type: str
        port:
          description: A port at either end. The first fragment of a packet has ports, later ones
            have none.
          type: int
        source_port:
          description: The port from which they come.
          type: int
        destination_port:
          description: The port to which they go.
          type: int
        mark:
          description: The mark that a firewall gave them, as in V(7) or V(0x10/0xff). Needs
            nftables.
          type: str
overcommit:
  description:
    - What to do when classes have more together than what they are a part of. V(deny) refuses,
      V(warn) warns, V(allow) does it.
    - The kernel gives each class its rate even then, so that more than the whole leaves the
      interface.
  type: str
  choices: [allow, warn, deny]
  default: deny
"""

_REST = """
force:
  description:
    - Replace a queue that others have made. Its classes and filters are lost.
    - Limit what is received although others look at it first (filters, BPF programs on C(tcx)).
      They stay.
  type: bool
  default: false
"""


def _options(name: str) -> str:
    return "".join(part.lstrip("\n") for part in (name, _PLACE, BANDWIDTH, _REST))


class ModuleDocFragment:
    """One limit, or a list of them."""

    # Annotated, because tools that read documentation without running it take a plain assignment for a literal.
    DOCUMENTATION: str = (
        "options:\n"
        + textwrap.indent(_options(_INTERFACE), "  ")
        + "  limits:\n"
        + "    description:\n"
        + "      - Several interfaces in one call, each with the options above; all are limited or none.\n"
        + "      - %s\n" % _BESIDE
        + "    type: list\n"
        + "    elements: dict\n"
        + "    suboptions:\n"
        + textwrap.indent(_in_list(_options(_INTERFACE_IN_LIST)), "      ")
    )
