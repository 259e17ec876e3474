# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""From desired limits to the steps that make them so.

The order of a plan, and why:

1. rules of nftables: what the kernel cannot do is refused here, before anything else was changed;
2. helper devices, with their limit, and up: what is sent to a device that is down is swallowed;
3. queues of the interfaces, and the numbers of control groups of v1 that name their classes;
4. filters that send what is received to the helpers, or away from them;
5. helper devices that are no longer needed, all in one request.
"""

from __future__ import annotations

import contextlib
import os
import sys

from .. import slices
from ..errors import BulkheadError, InvalidInput
from ..foreseen import Missing, warning
from ..kernel import mounts, netdevice, nftables, traffic
from ..plan import Plan
from . import features, netcls, targets
from .limit import Class, Direction, Limit
from .matches import Match
from .observation import (
    GROUP,
    OTHERS_HOOK,
    OWN_HOOK,
    TABLE,
    Hook,
    Place,
    container_alias,
    elsewhere,
    helper_alias,
    helper_index,
    helper_name,
)
from .steps import Change, Steer
from .targets import Wanted
from .tree import DEFAULT, FIRST_TREE, TREES, Tree
from .trees import Device, tree_steps

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..kernel.netdevice import Link
    from ..kernel.netlink import Message
    from ..kernel.nftables import Expression
    from ..kernel.traffic import Item
    from ..plan import Step

_HELPER_QUEUE = 1000  # packets; a class without a queue of its own takes as many as its device
# After other chains of the machine have set marks; before that, they would be seen too early.
_CHAIN_PRIORITY = 100
_ORDER = sys.byteorder


class Seen:
    """What was seen of one interface.

    outgoing: its own queue; incoming: that of its helper device. names: of the classes, by limit.
    """

    def __init__(self, place: Place, link: Link) -> None:
        self.place = place
        self.link = link
        self.outgoing = place.tree(link.index)
        self.hook = place.hook(link.index)
        self.helper = place.helper(link.index)
        self.incoming = place.tree(self.helper.index) if self.helper else Tree()

    @property
    def nothing(self) -> bool:
        """Whether nothing of it is ours."""
        kept = self.outgoing.kind and not self.outgoing.foreign
        return not (kept or self.helper or self.hook.ours)

    def others(self) -> list[str]:
        """What others have there, for people."""
        own = ["queue %s" % self.outgoing.foreign] if self.outgoing.foreign else []
        return [
            *own,
            *self.outgoing.foreign_filters,
            *self.hook.others,
            *self.hook.outgoing,
            *self.hook.programs,
        ]


class BandwidthPlan(Plan):
    """A plan that keeps what was seen, and what is wanted of each limit, when it was made."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: dict[str, Seen] = {}
        self.wanted: dict[str, tuple[Wanted | None, Wanted | None]] = {}
        # {control group of v1: the interface of its class}
        self.grouped: dict[str, str] = {}


def find(place: Place, limit: Limit) -> Link | None:
    """The interface that a limit is of; None where it is not there."""
    if not limit.container:
        return place.link(limit.interface)
    alias = container_alias(limit.container, os.environ.get("BULKHEAD_PREFIX", "").rstrip("/"))
    found = [link for link in place.links() if link.alias == alias]
    return found[0] if found else None


def missing(limit: Limit) -> InvalidInput:
    """Why there is no such interface."""
    if limit.container:
        problem = "container %s has no interface on this machine" % limit.container
        return Missing(problem, hint="it is not running, or has no network of its own")
    problem = "there is no interface %s%s" % (
        limit.interface,
        " in network namespace %s" % limit.namespace if limit.namespace else "",
    )
    there = elsewhere(limit.interface)
    if there:
        hint = "it is in network namespace %s: name it as netns" % " and ".join(there)
        return InvalidInput(problem, hint=hint)
    return Missing(problem, hint="see what there is: ip link")


def check_together(limits: list[Limit]) -> None:
    """Refuse what contradicts itself within one call."""
    seen: set[str] = set()
    for limit in limits:
        if limit.name in seen:
            raise InvalidInput("%s is named twice in one call" % limit.name)
        seen.add(limit.name)


def plan_limits(limits: list[tuple[Limit, Place, Link]]) -> BandwidthPlan:
    """One plan for all limits."""
    plan = BandwidthPlan()
    names: dict[tuple[int, int], str] = {}
    for limit, place, link in limits:
        other = names.setdefault((place.fd, link.index), limit.name)
        if other != limit.name:
            raise InvalidInput("%s and %s are the same interface" % (other, limit.name))
    works = [_Work(plan, limit, place, link) for limit, place, link in limits]
    for part in ("steering", "helpers", "queues", "grouping", "hooks"):
        for work in works:
            plan.steps += getattr(work, part)()
    gone: dict[Place, list[Link]] = {}
    for work in works:
        gone.setdefault(work.place, []).extend(work.needless())
    for place, links in gone.items():
        plan.steps += _removed_helpers(place, [*links, *_orphans(place, links)])
        plan.steps += _removed_tables(place)
    return plan


def _orphans(place: Place, known: list[Link]) -> list[Link]:
    indexes = {link.index for link in known}
    return [link for link in place.orphans() if link.index not in indexes]


def _removed_helpers(place: Place, links: list[Link]) -> list[Change]:
    if not links:
        return []
    messages = netdevice.delete_several([link.index for link in links], GROUP ^ 1)
    names = " ".join(place.called(link.name) for link in links)
    target = "helper devices %s" % names
    back = [
        one
        for link in links
        for one in _helper_messages(link.index, link.name, link.alias, link.mtu)
    ]
    return [Change(place, target, "ifb", None, messages, back, "ifb")]


def _removed_tables(place: Place) -> list[Step]:
    """Tables of interfaces that are gone."""
    names = place.tables()
    if not names:
        return []
    there = {TABLE % link.index for link in place.links()}
    return [
        Steer(place, name, ("rules of an interface that is gone", []), (None, []))
        for name in names
        if name not in there
    ]


def _helper_messages(index: int, name: str, alias: str, mtu: int) -> list[Message]:
    made = netdevice.add_ifb(name, GROUP, _HELPER_QUEUE, mtu, index)
    return [made, netdevice.set_alias(name, alias)]


def refuse_steered(received: Wanted) -> None:
    """Refuse matches that nothing can look at any more where a container's packets arrive."""
    if received.steered:
        raise InvalidInput(
            "class %s: what a container sends has lost its control group and mark on the way to "
            "the host" % received.steered[0][0].name,
            hint="match by source, destination, protocol or port",
        )


def check_sums(
    label: str, wanted: Wanted, classes: list[Class] | None, overcommit: str, mtu: int
) -> list[str]:
    """Refuse classes that have more together than the one above them, or warn, as is asked."""
    if classes is None:
        generated = targets.rest_is_generated(wanted.tree, mtu, label)
    else:
        generated = not any(wanted.names(DEFAULT) == one.name for one in classes)
    wrong = targets.overcommitted(wanted, generated)
    if wrong and overcommit == "deny":
        raise InvalidInput(
            "%s: %s" % (label, "; ".join(wrong)),
            hint="lower a rate and give it a ceil instead, or allow it with overcommit",
        )
    return ["%s: %s" % (label, text) for text in wrong] if overcommit == "warn" else []


class _Work:
    """What is to be done for one limit, direction by direction.

    outgoing and incoming are those of the interface: a container's are the other way round, since
    its limits are set on the host's side.
    """

    def __init__(self, plan: BandwidthPlan, limit: Limit, place: Place, link: Link) -> None:
        self.plan = plan
        self.limit = limit
        self.place = place
        self.link = link
        self.label = place.called(link.name)
        self.seen = Seen(place, link)
        self.device = Device(place, link.index, self.label)
        self.helper = Device(
            place, helper_index(link.index), "%s of %s" % (helper_name(link.index), self.label)
        )
        self.out_asked: Direction | None
        self.in_asked: Direction | None
        self.out_classes: list[Class] | None
        self.in_classes: list[Class] | None
        if limit.container:
            self.out_asked, self.out_classes = limit.ingress, None
            self.in_asked, self.in_classes = limit.egress, limit.classes
        else:
            self.out_asked, self.out_classes = limit.egress, limit.classes
            self.in_asked, self.in_classes = limit.ingress, None
        self.out, self.inside = self._wanted()
        self._check_others()
        self._tell()
        plan.seen[limit.name] = self.seen
        if self.seen.nothing:
            plan.fresh.add(limit.name)
        plan.wanted[limit.name] = (self.out, self.inside)

    @property
    def polices(self) -> bool:
        asked = self.in_asked
        return asked is not None and asked.method == "police" and asked.rate is not None

    def _wanted(self) -> tuple[Wanted | None, Wanted | None]:
        if not self.limit.present:
            return Wanted(Tree()), Wanted(Tree())
        out = self._queue(self.out_asked, self.out_classes, self.seen.outgoing, self.link.index)
        if out:
            self._group_on_v1(out)
        if self.polices or (self.in_asked is None and self.in_classes is None):
            inside = Wanted(Tree()) if self.polices else None
        else:
            index = helper_index(self.link.index)
            inside = self._queue(self.in_asked, self.in_classes, self.seen.incoming, index)
        if inside:
            refuse_steered(inside)
        for one, classes in ((out, self.out_classes), (inside, self.in_classes)):
            if one and one.tree.kind == "htb":
                asked = (classes, self.limit.overcommit)
                self.plan.warnings += check_sums(self.label, one, *asked, self.link.mtu)
        return out, inside

    def _queue(
        self, asked: Direction | None, classes: list[Class] | None, seen: Tree, index: int
    ) -> Wanted | None:
        def next_tree() -> int:
            return _next_tree(self.place, index)

        return targets.queue_of(
            asked, classes, seen, self.link.mtu, self.label, next_tree, features.leaf_kind
        )

    def _check_others(self) -> None:
        """Refuse to take the place of what others have made, unless that is asked for."""
        if not self.limit.present or self.limit.force:
            return
        seen = self.seen
        if self.out is not None and self.out.tree.kind and seen.outgoing.foreign:
            raise BulkheadError(
                "%s has the queue %s, which is not ours" % (self.label, seen.outgoing.foreign),
                target=self.device.root(),
                hint="with force: true it is replaced, with all that is below it",
            )
        if not self._receives():
            return
        before = [*seen.hook.others, *(one for one in seen.hook.programs if "tcx ingress" in one)]
        if before:
            raise BulkheadError(
                "%s: others look at what it receives, so that no limit of ours can be relied on: %s"
                % (self.label, ", ".join(before)),
                target=self.label,
                hint="with force: true the limit is set beside them, and a redirection hides from later filters",
            )
        helper = seen.helper
        if helper and (helper.kind, helper.alias) != ("ifb", helper_alias(self.link.index)):
            raise BulkheadError(
                "%s is not a helper device of ours" % helper.name, target=helper.name
            )

    def _receives(self) -> bool:
        """Whether what is received is to be limited."""
        return self.polices or (self.inside is not None and bool(self.inside.tree.kind))

    def _tell(self) -> None:
        if self.limit.present:
            for one in (self.out, self.inside):
                if one is not None and one.unlimited:
                    self.plan.warnings.append(
                        "%s: what no class matches is not limited: neither egress.rate nor a class without match is given"
                        % self.label
                    )
        if (
            self.polices
            and self.in_asked
            and (self.in_asked.burst or targets.POLICE_BURST) < targets.POLICE_BURST
        ):
            self.plan.warnings.append(
                "%s: ingress.burst is below 64 KiB: packets that were joined on receiving never pass"
                % self.label
            )

    # Rules of nftables

    def steering(self) -> list[Step]:
        if self.out is None or self.out.steered is None:
            return []
        chains = self._chains(self.out)
        wanted = [(name, rule) for name, _hook, rules in chains for rule, _text in rules]
        if not wanted and TABLE % self.link.index not in self.place.tables():
            return []
        held = self.place.rules(self.link.index)
        alike = len(held) == len(wanted) and all(
            one.chain == name and one.holds(rule) for one, (name, rule) in zip(held, wanted)
        )
        if alike and held:
            return []
        if wanted and not self.place.nft():
            raise BulkheadError(
                "%s: matches on control groups and marks need nftables, which the kernel has not"
                % self.label,
                hint="CONFIG_NF_TABLES_INET and CONFIG_NFT_SOCKET",
            )
        hooks = {name: hook for name, hook, _rules in chains}
        old: dict[str, list[bytes]] = {}
        for one in held:
            old.setdefault(one.chain, []).append(one.expressions)
        before = [
            nftables.Chain(name, hooks.get(name, _hook_of(name)), _CHAIN_PRIORITY, rules)
            for name, rules in old.items()
        ]
        after = [
            nftables.Chain(
                name, hook, _CHAIN_PRIORITY, [nftables.encode(rule) for rule, _text in rules]
            )
            for name, hook, rules in chains
        ]
        texts = "\n".join(text for _name, _hook, rules in chains for _rule, text in rules)
        earlier = "%d rules" % len(held) if held else None
        table = TABLE % self.link.index
        return [Steer(self.place, table, (earlier, before), (texts or None, after))]

    def _chains(self, wanted: Wanted) -> list[tuple[str, int, list[tuple[list[Expression], str]]]]:
        """(name, hook, [(expressions, text)]) of each chain."""
        found = []
        for name, hook in (("output", nftables.LOCAL_OUT), ("postrouting", nftables.POST_ROUTING)):
            rules: list[tuple[list[Expression], str]] = []
            for one, minor in wanted.steered or []:
                if one.match and bool(one.match.cgroup) == (name == "output"):
                    rules += self._rules(one, wanted.tree.handle | minor)
            if rules:
                found.append((name, hook, [*self._guards(name, wanted.tree.handle), *rules]))
        return found

    def _guards(self, chain: str, handle: int) -> list[tuple[list[Expression], str]]:
        """What leaves by another interface, or has its class already, goes on as it is.

        What is sent through a bridge leaves by the bridge, and by its port afterwards.
        """
        way = self.link.master or self.link.index
        index = way.to_bytes(4, _ORDER)
        guard = [nftables.load_meta(nftables.OIF), nftables.differs(index), nftables.leave()]
        found = [(guard, "chain %s: oif != %d return" % (chain, way))]
        if chain == "postrouting":
            major = [
                nftables.load_meta(nftables.PRIORITY),
                nftables.mask((0xFFFF0000).to_bytes(4, _ORDER)),
            ]
            has = [*major, nftables.equals(handle.to_bytes(4, _ORDER)), nftables.leave()]
            found.append((has, "chain %s: meta priority %x: return" % (chain, handle >> 16)))
        return found

    def _rules(self, one: Class, priority: int) -> list[tuple[list[Expression], str]]:
        if one.match is None:
            return []
        group, shown = None, ""
        if one.match.cgroup:
            group = self._group(one)
            if group is None:
                return []
            shown = "socket cgroupv2 %s (level %d, id %d) " % (one.match.cgroup, *group)
        text = "%smeta priority set %x:%x (%s)" % (
            shown,
            priority >> 16,
            priority & 0xFFFF,
            one.name,
        )
        return [
            ([*expressions, *nftables.set_priority(priority), nftables.leave()], text)
            for expressions in one.match.expressions(group)
        ]

    def _group(self, one: Class) -> tuple[int, int] | None:
        """(level, id) of a control group; None where it is waited for."""
        root = next((mount.path for mount in mounts.mounts("cgroup2")), "")
        if not root:
            raise InvalidInput(
                "class %s: control groups are matched in the v2 hierarchy, which is not mounted"
                % one.name,
                hint="mount -t cgroup2 none /sys/fs/cgroup/unified",
            )
        name, number = self._found_in(root, one)
        return (name.count("/") + 1, number) if number else None

    def _found_in(self, root: str, one: Class) -> tuple[str, int]:
        """(path, inode) of the control group of a class; the inode is 0 where the group is waited for."""
        asked = one.match.cgroup if one.match else ""
        name = slices.find(asked, lambda path: os.path.isdir(os.path.join(root, path)))
        path = os.path.join(root, name)
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            return name, os.stat(path).st_ino
        hint = "make it first; it must be in the hierarchy at %s" % root
        missing = Missing("class %s: there is no control group %s" % (one.name, path), hint=hint)
        if self.limit.brought_back:
            waits = "%s: class %s waits for control group %s" % (self.label, one.name, path)
            self.plan.warnings.append(waits)
        elif self.limit.foreseen:
            self.plan.warnings.append(warning(missing))
        else:
            raise missing
        return name, 0

    # Control groups of v1

    def _group_on_v1(self, wanted: Wanted) -> None:
        """Where only v1 is mounted, a control group is matched by its number, without nftables."""
        if not wanted.steered or any(mounts.mounts("cgroup2")):
            return
        root = netcls.root()
        if not root:
            return
        for one, minor in list(wanted.steered):
            if one.match is None or not one.match.cgroup:
                continue
            name, number = self._found_in(root, one)
            self._check_alone(one, name)
            wanted.tree.by_group = True
            if number:
                wanted.grouped[name] = wanted.tree.handle | minor
            wanted.steered.remove((one, minor))

    def _check_alone(self, one: Class, name: str) -> None:
        """Refuse what net_cls cannot do: a group has one class, for all that it sends."""
        if one.match and one.match.key() != Match({"cgroup": one.match.cgroup}, "").key():
            raise InvalidInput(
                "class %s: a control group of v1 is matched by net_cls, for all that it sends"
                % one.name,
                hint="leave the rest of match out, or mount the v2 hierarchy as well",
            )
        other = self.plan.grouped.setdefault(name, self.label)
        if other != self.label:
            raise InvalidInput(
                "control group %s has a class of %s, and of %s: in net_cls a group has one class"
                % (name, other, self.label)
            )

    def grouping(self) -> list[Step]:
        """The numbers of control groups, written after their classes are there."""
        out, seen = self.out, self.seen.outgoing
        if out is None or out.steered is None or not (seen.by_group or out.tree.by_group):
            return []
        handle = out.tree.handle if out.tree.by_group else seen.handle
        return list(netcls.steps(handle, out.grouped, self.limit.force))

    # Helper devices

    def _needs_helper(self) -> bool:
        return self.inside is not None and bool(self.inside.tree.kind)

    def helpers(self) -> list[Step]:
        """A helper device is made, limited, and then brought up."""
        if self.inside is None or not self._needs_helper():
            return []
        held, index = self.seen.helper, self.helper.index
        steps: list[Step] = []
        if held is None:
            name, alias = helper_name(self.link.index), helper_alias(self.link.index)
            messages = _helper_messages(index, name, alias, self.link.mtu)
            back = [netdevice.delete(index)]
            steps.append(
                Change(
                    self.place,
                    "helper device %s" % self.helper.label,
                    None,
                    "ifb",
                    messages,
                    back,
                    "ifb",
                )
            )
        steps += tree_steps(self.helper, self.seen.incoming, self.inside.tree, self.inside.names)
        if held is None or not held.up:
            back = [netdevice.set_up(index, False)]
            target = "helper device %s" % self.helper.label
            steps.append(
                Change(
                    self.place, target + ": state", "down", "up", [netdevice.set_up(index)], back
                )
            )
        return steps

    def needless(self) -> list[Link]:
        """The helper device, where it is not needed any more."""
        held = self.seen.helper
        return [held] if held and self.inside is not None and not self.inside.tree.kind else []

    # Queues and filters of the interface

    def queues(self) -> list[Step]:
        if self.out is None:
            return []
        wanted = self.out.tree
        if not wanted.kind and (self.seen.outgoing.foreign or not self.seen.outgoing.kind):
            return []  # what is not ours stays
        return list(tree_steps(self.device, self.seen.outgoing, wanted, self.out.names))

    def hooks(self) -> list[Step]:
        if self.inside is None:
            return []
        hook, index = self.seen.hook, self.link.index
        own = not hook.kind or any(item.preference == OWN_HOOK for item in hook.ours)
        action, text = self._action()
        serving = [item for item in hook.ours if action and _is(item, self._means())]
        steps: list[Step] = []
        if action and not serving:
            if not hook.kind:
                messages = [traffic.add_hook(index)]
                back = [traffic.delete_qdisc(index, traffic.HOOK_PARENT, traffic.HOOK)]
                steps.append(
                    Change(
                        self.place, self.label + ": hook", None, "clsact", messages, back, "ingress"
                    )
                )
            steps.append(self._filter(hook, own, action, text))
        unwanted = [item for item in hook.ours if item not in serving[:1]]
        if not action:  # one request takes all of a preference
            unwanted = list({item.preference: item for item in unwanted}.values())
        steps += [self._removed_filter(item, not action) for item in unwanted]
        if not action and own and hook.kind and not hook.others and not hook.outgoing:
            messages = [traffic.delete_qdisc(index, traffic.HOOK_PARENT, traffic.HOOK)]
            back = [traffic.add_hook(index, hook.kind)]
            steps.append(
                Change(
                    self.place, self.label + ": hook", hook.kind, None, messages, back, "ingress"
                )
            )
        return steps

    def _means(self) -> tuple[str, int, int, int]:
        """(kind, index, rate, burst) of the action that is wanted."""
        if self._needs_helper():
            return "mirred", self.helper.index, 0, 0
        asked = self.in_asked
        if not self.polices or asked is None or asked.rate is None:
            return "", 0, 0, 0
        burst = asked.burst
        if burst is None:
            burst = max(targets.default_burst(asked.rate, self.link.mtu), targets.POLICE_BURST)
        ticks = targets.buffer_of(burst, asked.rate, self.link.mtu, self.label + ": ingress")
        return "police", 0, asked.rate, ticks

    def _action(self) -> tuple[bytes, str]:
        kind, index, rate, ticks = self._means()
        if kind == "mirred":
            return traffic.redirect(index), "redirect to %s" % helper_name(self.link.index)
        if kind == "police":
            return traffic.police(rate, ticks), "police rate %dB/s burst %d ticks drop" % (
                rate,
                ticks,
            )
        return b"", ""

    def _filter(self, hook: Hook, own: bool, action: bytes, text: str) -> Change:
        """A filter beside the one that is there, so that nothing gets by while one takes the place of the other."""
        preference = OWN_HOOK if own else OTHERS_HOOK
        held = [item for item in hook.ours if item.preference == preference]
        node = next(
            number for number in (1, 2, 3) if number not in {item.handle & 0xFFF for item in held}
        )
        options = traffic.u32_options(traffic.EVERYTHING, 0, action)
        index = self.link.index
        message = traffic.add_filter(
            index, traffic.INGRESS, node, preference, traffic.ALL, "u32", options
        )
        whole = (held[0].handle & ~0xFFF) | node if held else 0
        back = [
            traffic.delete_filter(index, traffic.INGRESS, whole, preference, traffic.ALL, "u32")
        ]
        target = "%s: filter on what it receives, pref %d node %x" % (self.label, preference, node)
        return Change(self.place, target, None, text, [message], back, "police")

    def _removed_filter(self, item: Item, whole: bool) -> Change:
        """whole: with its preference, of which the kernel else keeps an empty table beside those
        of others (u32_delete())."""
        index, node = self.link.index, item.handle & 0xFFF
        target = "%s: filter on what it receives, pref %d node %x" % (
            self.label,
            item.preference,
            node,
        )
        message = traffic.delete_filter(
            index, traffic.INGRESS, 0 if whole else item.handle, item.preference, traffic.ALL, "u32"
        )
        done = traffic.Action(item.options)
        again = (
            traffic.redirect(done.index)
            if done.kind == "mirred"
            else traffic.police(done.rate, done.burst)
        )
        options = traffic.u32_options(traffic.EVERYTHING, 0, again)
        back = [
            traffic.add_filter(
                index, traffic.INGRESS, node, item.preference, traffic.ALL, "u32", options
            )
        ]
        before = (
            "redirect"
            if done.kind == "mirred"
            else "police rate %dB/s burst %d ticks drop" % (done.rate, done.burst)
        )
        return Change(self.place, target, before, None, [message], back, "u32")


def _is(item: Item, means: tuple[str, int, int, int]) -> bool:
    """Whether a filter of the hook does exactly this to every packet."""
    done = traffic.Action(item.options)
    return (
        item.protocol == traffic.ALL
        and traffic.u32_keys(item.options) == traffic.EVERYTHING
        and (done.kind, done.index, done.rate, done.burst) == means
    )


def _hook_of(chain: str) -> int:
    return nftables.LOCAL_OUT if chain == "output" else nftables.POST_ROUTING


def _next_tree(place: Place, index: int) -> int:
    """A number for a tree that no other one of the namespace has."""
    taken = place.majors()
    taken.update(place.promised)
    for number in range(TREES):
        major = FIRST_TREE + (index + number) % TREES
        if major not in taken:
            place.promised[major] = index
            return major
    raise BulkheadError(
        "%s: all %d numbers for trees of classes are in use" % (place.called("this machine"), TREES)
    )
