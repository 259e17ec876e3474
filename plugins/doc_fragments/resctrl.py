# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The options of a class of cache and memory bandwidth, written once: for one class, and again below the list of several."""

from __future__ import annotations

import textwrap

from ansible_collections.bulkhead.linux.plugins.doc_fragments.resources import BESIDE as _BESIDE
from ansible_collections.bulkhead.linux.plugins.doc_fragments.resources import in_list as _in_list

_NAME = """
name:
  description:
    - The group, a plain name such as V(gold). An empty name (V("")) is the default group, which has every task and CPU that no other group has.
    - Either this or O(groups) is required.
  type: str
"""

_NAME_IN_LIST = """
name:
  description: The group, a plain name. An empty name is the default group.
  type: str
  required: true
"""

_STATE = """
state:
  description:
    - Whether the group is there. Removing it sends its tasks and CPUs to the default group, and removes its monitoring groups.
    - The default group cannot be removed. For it, V(absent) lifts every limit that was set on it.
  type: str
  choices: [present, absent]
  default: present
"""

SHARES = """
l3:
  description:
    - Which part of the L3 cache the class may fill. V(50%) is a share of the ways, rounded down to whole ways; a number such as V(3) is that many ways;
      a text such as V('0x7f') is exactly these ways, as a mask; V(max) is all that no other class has exclusively.
    - "Put masks in quotes: YAML reads C(0x7f) without them as the number 127."
    - "One value for every cache, or a dictionary of values by cache id, in which C(all) stands for those that are not named: C({0: 50%, all: 2})."
    - Shares and numbers of ways are placed on the hardware of each machine. Classes with O(mode=exclusive) come first, from the lowest way up, each beside all
      others and beside the ways that devices use. The others share what is left, and lie apart as long as that is possible. A class stays where it was
      put; the classes of one call are placed together, and moved only if they do not fit otherwise. The same classes on the same hardware get the same ways.
    - Where code and data have masks of their own (C(cdp)), this sets both. It can stand beside O(l3code) and O(l3data) where these name other domains.
  type: raw
l2:
  description: The same for the L2 caches.
  type: raw
l3code:
  description: The same for code in the L3 cache. Needs the mount option C(cdp).
  type: raw
l3data:
  description: The same for data in the L3 cache. Needs the mount option C(cdp).
  type: raw
l2code:
  description: The same for code in the L2 caches. Needs the mount option C(cdpl2).
  type: raw
l2data:
  description: The same for data in the L2 caches. Needs the mount option C(cdpl2).
  type: raw
mb:
  description:
    - How much memory bandwidth the class may use. V(80%) where the hardware counts in percent; V(2000MBps) or V(16GBps) where it counts in bytes, which it does
      when mounted with O(mount_options.mba_mbps), and on AMD; a plain number in the unit of the machine (on AMD 1/8 GB/s); V(max) for no limit.
    - The kernel rounds a percentage up to a step of the hardware, often to a multiple of ten. That is reported under RV(groups[].rounded) and is no change.
    - A list of values is for machines that count in different units; the first that the machine can express counts, as in C([80%, 16GBps]).
    - One value for every domain, or a dictionary of values by id, as for O(l3).
  type: raw
smba:
  description: The same for slow memory (AMD).
  type: raw
schemata:
  description:
    - "The same in the kernel's own lines, such as C(L3:0=7f;1=7f) and C(MB:0=20;1=70)."
    - Domains that a line does not name are left as they are. Where an option of its own names the same resource and domain, that one counts.
  type: list
  elements: str
mode:
  description:
    - V(exclusive), no other group has any of the same ways, in any cache that can be divided, and neither have devices. The default group and groups that were
      never given ways give way by themselves.
    - V(shareable), others may have them too.
  type: str
  choices: [shareable, exclusive]
shareable_bits:
  description:
    - What to do with ways that devices use too (C(info/L3/shareable_bits)) when shares and numbers of ways are placed. V(allow) uses them last, V(avoid) never.
    - An exclusive class never has them.
  type: str
  choices: [allow, avoid]
  default: allow
"""

_CPUS = """
cpus:
  description:
    - CPUs in list format, such as V(0-3,7). Tasks of the default group are in this class while they run on one of them. V(none) gives all of them back.
    - CPUs that another group of this collection has are taken from it, which the diff shows. CPUs that are offline are left out, with a warning.
  type: str
"""

_MEMBERS = """
tasks:
  description:
    - Tasks that are moved into the class. The number of a process stands for all of its threads, which are moved until none is left outside; the number of
      another thread stands for that thread alone. Children are born into the class of their parent.
    - Tasks that are in the class and not named stay. They are not kept for the next boot.
  type: list
  elements: int
cgroup:
  description:
    - Control groups, as paths relative to the root of their hierarchy, or as M(bulkhead.linux.cgroup_group) names them where systemd runs the machine. All of
      their threads are moved into the class, with those of the groups below them; they are looked at again until none is left
      outside. What starts in a control group later is moved by the next run.
  type: list
  elements: str
"""

_REST = """
monitor_groups:
  description:
    - Monitoring groups within the class, which count cache occupancy and bandwidth of some of its tasks or CPUs. Those that are not named stay.
  type: list
  elements: dict
  suboptions:
    name:
      description: The name.
      type: str
      required: true
    state:
      description: Whether it is there. When it is removed, its tasks and CPUs stay in the class.
      type: str
      choices: [present, absent]
      default: present
    cpus:
      description: CPUs of the class that are counted here, in list format.
      type: str
    tasks:
      description: Tasks that are counted here, as in O(tasks). They are moved into the class first.
      type: list
      elements: int
    cgroup:
      description: Control groups all of whose threads are counted here, as in O(cgroup). They are moved into the class first.
      type: list
      elements: str
mount_options:
  description:
    - Options of the file system. It is mounted on C(/sys/fs/resctrl) when it is not mounted yet.
    - Other options than it is mounted with need a new mount, which destroys every group. Without O(force=true) that is refused; with it, all that is kept for
      the next boot is made anew, with the tasks it had, and the diff shows it.
    - An option that is not given is left as it is. Those of all groups of a call are taken together.
  type: dict
  suboptions:
    cdp:
      description: Masks of their own for code and data in the L3 cache. Halves the number of classes.
      type: bool
    cdpl2:
      description: Masks of their own for code and data in the L2 caches. Halves the number of classes.
      type: bool
    mba_mbps:
      description: Memory bandwidth in MiB/s, kept by a control loop in the kernel. Kernel name C(mba_MBps).
      type: bool
unsupported:
  description:
    - What to do with a resource that this machine cannot divide, a value in a unit that it does not count in, a share that is less than one way of it, and
      exclusiveness where there is no cache to have. V(leave_out) leaves it out and reports it under RV(groups[].left_out).
    - What does not fit beside other classes is refused all the same.
  type: str
  choices: [refuse, leave_out]
  default: refuse
force:
  description:
    - Change or remove a group that this collection has not made. Without it, groups of others can only be joined, with O(tasks) and O(cgroup).
    - Take CPUs from such groups.
    - With O(mount_options), mount anew when other options are wanted than are in force.
  type: bool
  default: false
"""


def _options(name: str) -> str:
    return "".join(part.lstrip("\n") for part in (name, _STATE, SHARES, _CPUS, _MEMBERS, _REST))


class ModuleDocFragment:
    """One class, or a list of them."""

    # Annotated, because tools that read documentation without running it take a plain assignment for a literal.
    DOCUMENTATION: str = (
        "options:\n"
        + textwrap.indent(_options(_NAME), "  ")
        + "  groups:\n"
        + "    description:\n"
        + "      - Several classes in one call, each with the options above; they are laid out together, and all are set or none.\n"
        + "      - %s\n" % _BESIDE
        + "    type: list\n"
        + "    elements: dict\n"
        + "    suboptions:\n"
        + textwrap.indent(_in_list(_options(_NAME_IN_LIST)), "      ")
    )
