# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What is kept of a class: one value for each resource and domain, however it was asked for.

| asked as | is kept as |
|---|---|
| mb: 50% | mb: {all: 50%} |
| schemata: ["L3:0=7f", "MB:1=20"] | l3: {"0": "0x7f"}, mb: {"1": 20} |
| l3: 50%, and later l3code: 3 | l3code: {all: 3}, l3data: {all: 50%} |

`all` stands for the domains that are not named, so a later `all` replaces what was said of any of them.
"""

from __future__ import annotations

from .. import units
from ..records import merge
from . import schemata
from .asks import Ask
from .group import RESOURCES, parse_cgroups, parse_cpus

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    Options = dict[str, Any]
    Shares = dict[str, Any]  # {domain or all: value} of one option

ALL = "all"
# The option that stands for both, and the options for code and for data.
_TWINS = {"l3": ("l3code", "l3data"), "l2": ("l2code", "l2data")}
_OPTIONS = {resource: option for option, resource in RESOURCES.items()}
_CACHES = tuple(option for option, resource in RESOURCES.items() if schemata.is_cache(resource))


def canonical(options: Options) -> Options:
    """The options of one class in their one form. Raises InvalidInput."""
    found = {name: value for name, value in options.items() if name not in RESOURCES and name != "schemata"}
    shares, unknown = _of_lines(options.get("schemata"))
    given = {name: _of_option(name, options[name]) for name in RESOURCES if options.get(name) is not None}
    # An option says more than a line about the same resource.
    given = {name: _lay_one_over(shares.get(name, {}), given.get(name, {})) for name in {**shares, **given}}
    found.update(_lay_shares_over({}, given))
    if unknown:
        found["schemata"] = unknown
    if options.get("cpus") is not None:
        found["cpus"] = _spell_cpus(options["cpus"])
    if options.get("cgroup") is not None:
        found["cgroup"] = sorted(set(parse_cgroups(options["cgroup"], "cgroup")))
    if options.get("mount_options") is not None:
        given_options = options["mount_options"].items()
        found["mount_options"] = {name: units.parse_boolean(on, name) for name, on in given_options if on is not None}
    if options.get("monitor_groups") is not None:
        found["monitor_groups"] = sorted((_monitor(entry) for entry in options["monitor_groups"]), key=_name)
    return found


def _of_lines(lines: Any) -> tuple[Options, list[str]]:
    """({option: shares}, lines about resources that have no option) of the kernel's own lines."""
    found: Options = {}
    unknown = []
    for resource, values in schemata.read_lines([lines] if isinstance(lines, str) else lines or []).items():
        if resource in _OPTIONS:
            found[_OPTIONS[resource]] = {str(domain): spell(Ask.of_line(resource, value)) for domain, value in values.items()}
        else:
            unknown += ["%s:%d=%s" % (resource, domain, value) for domain, value in sorted(values.items())]
    return found, unknown


def _of_option(option: str, value: Any) -> Shares:
    resource = RESOURCES[option]
    entries = value.items() if isinstance(value, dict) else ((ALL, value),)
    return {_domain(domain, option): spell(Ask.of_option_or_list(resource, each, option)) for domain, each in entries if each is not None}


def _domain(text: object, option: str) -> str:
    return ALL if str(text) == ALL else str(units.parse_count(str(text), "%s: the id of a domain" % option))


def spell(ask: Ask) -> Any:
    """One value in its one spelling."""
    if ask.alternatives:
        return [_spell_one(ask), *(_spell_one(other) for other in ask.alternatives)]
    return _spell_one(ask)


def _spell_one(ask: Ask) -> Any:
    if ask.kind == "max":
        return "max"
    if ask.kind == "mask":
        return "0x%x" % ask.number
    if ask.kind == "mbps":
        return "%dMBps" % ask.number
    if ask.kind == "percent":
        whole, rest = divmod(ask.number, ask.denominator)
        digits = ("%0*d" % (len(str(ask.denominator)) - 1, rest)).rstrip("0") if rest else ""
        return "%d%s%%" % (whole, "." + digits if digits else "")
    return ask.number


def _monitor(entry: Any) -> Options:
    """One monitoring group; what is of the moment, its tasks, is left out."""
    entry = {"name": entry} if isinstance(entry, str) else entry
    found: Options = {"name": str(entry["name"])}
    if (entry.get("state") or "present") == "absent":
        return {**found, "state": "absent"}
    if entry.get("cpus") is not None:
        found["cpus"] = _spell_cpus(entry["cpus"])
    if entry.get("cgroup") is not None:
        found["cgroup"] = sorted(set(parse_cgroups(entry["cgroup"], "cgroup")))
    return found


def _name(entry: Options) -> str:
    return str(entry["name"])


def _spell_cpus(value: Any) -> str:
    return units.format_list(parse_cpus(value, "cpus") or frozenset()) or "none"


def _cpus_of(entry: Options) -> frozenset[int]:
    return parse_cpus(entry.get("cpus"), "cpus") or frozenset()


# One over the other


def laid_over(held: Options, given: Options) -> Options:
    """What was kept, with what is given now over it, value by value."""
    shares = _lay_shares_over(_shares_of(held), _shares_of(given))
    found = merge(_rest_of(held), _rest_of(given))
    if "shareable_bits" in held and not any(name in given for name in _CACHES):
        found["shareable_bits"] = held["shareable_bits"]  # it says how ways are placed, and this call places none
    if "schemata" in held and "schemata" in given:
        found["schemata"] = _unknown_over(held["schemata"], given["schemata"])
    if (given.get("mount_options") or {}).get("cdp") is False:
        shares = {name: value for name, value in shares.items() if name not in _TWINS["l3"]}
    if (given.get("mount_options") or {}).get("cdpl2") is False:
        shares = {name: value for name, value in shares.items() if name not in _TWINS["l2"]}
    if "monitor_groups" in found:
        found["monitor_groups"] = _monitors_over(held.get("monitor_groups") or [], given.get("monitor_groups") or [])
        if not found["monitor_groups"]:
            del found["monitor_groups"]
    return within({**found, **shares})


def _shares_of(options: Options) -> Options:
    return {name: value for name, value in options.items() if name in RESOURCES}


def _rest_of(options: Options) -> Options:
    return {name: value for name, value in options.items() if name not in RESOURCES}


def _lay_shares_over(held: Options, given: Options) -> Options:
    found: Options = {}
    for names in (("l3", *_TWINS["l3"]), ("l2", *_TWINS["l2"])):
        found.update(_lay_level_over({name: held.get(name, {}) for name in names}, {name: given.get(name, {}) for name in names}))
    for name in RESOURCES:
        if not name.startswith("l"):
            found[name] = _lay_one_over(held.get(name, {}), given.get(name, {}))
    return {name: value for name, value in found.items() if value}


def _lay_one_over(held: Shares, given: Shares) -> Shares:
    return {**({} if ALL in given else held), **given}


def _lay_level_over(held: Options, given: Options) -> Options:
    """The three options of one cache. What was asked for code and data together stays together, as it is one mask for both."""
    both, *apart = held
    cells = {
        name: _lay_one_over(
            {**_marked(held[both], True), **_marked(held[name], False)},
            {**_marked(given[both], True), **_marked(given[name], False)},
        )
        for name in apart
    }
    found: Options = {both: {}, **{name: {} for name in apart}}
    for domain in sorted({domain for shares in cells.values() for domain in shares}):
        values = {name: shares[domain] for name, shares in cells.items() if domain in shares}
        if len(values) == len(apart) and all(together for together, _value in values.values()):
            found[both][domain] = values[apart[0]][1]
        else:
            for name, (_together, value) in values.items():
                found[name][domain] = value
    return found


def _marked(shares: Shares, together: bool) -> Shares:
    return {domain: (together, value) for domain, value in shares.items()}


def _unknown_over(held: list[str], given: list[str]) -> list[str]:
    """Lines such as X:0=5, of which each names one domain."""
    return [line for _cell, line in sorted({line.partition("=")[0]: line for line in (*held, *given)}.items())]


def _monitors_over(held: list[Options], given: list[Options]) -> list[Options]:
    """Monitoring groups by name. CPUs and control groups are in one of them, so those that are given now are taken from the others."""
    found = {_name(entry): entry for entry in held}
    for entry in given:
        for name, other in found.items():
            if name != _name(entry):
                found[name] = _without(other, _cpus_of(entry), entry.get("cgroup") or [])
        found[_name(entry)] = {**found.get(_name(entry), {}), **entry}
    return [entry for _name_of, entry in sorted(found.items()) if entry.get("state") != "absent"]


def _without(entry: Options, cpus: frozenset[int], cgroups: list[str]) -> Options:
    """A class or monitoring group after others were given these CPUs and control groups."""
    entry = dict(entry)
    if _cpus_of(entry) & cpus:
        entry["cpus"] = units.format_list(_cpus_of(entry) - cpus) or "none"
    if set(entry.get("cgroup") or []) & set(cgroups):
        entry["cgroup"] = [name for name in entry["cgroup"] if name not in cgroups]
    return entry


def within(options: Options) -> Options:
    """A class whose monitoring groups have no CPUs that the class has not."""
    if options.get("cpus") is None or not options.get("monitor_groups"):
        return options
    mine = _cpus_of(options)
    return {**options, "monitor_groups": [_without(entry, _cpus_of(entry) - mine, []) for entry in options["monitor_groups"]]}


def settled(records: dict[str, Options], asked: Iterable[str]) -> dict[str, Options]:
    """What a class was given is taken from the others: CPUs, control groups, and mount options, of which there is one set."""
    records = dict(records)
    for name in asked:
        mine = records[name]
        cpus = _cpus_of(mine)
        cgroups = [*(mine.get("cgroup") or []), *(each for entry in mine.get("monitor_groups") or [] for each in entry.get("cgroup") or [])]
        mounted = mine.get("mount_options") or {}
        for other in records:
            if other != name:
                records[other] = _after(records[other], cpus, cgroups, mounted)
    return records


def _after(options: Options, cpus: frozenset[int], cgroups: list[str], mounted: dict[str, bool]) -> Options:
    """A class after another was given these."""
    held = options.get("mount_options") or {}
    if any(held.get(name, on) != on for name, on in mounted.items()):
        options = {**options, "mount_options": {name: on for name, on in held.items() if mounted.get(name, on) == on}}
    if not cpus and not cgroups:
        return options
    found = _without(options, cpus, cgroups)
    if options.get("monitor_groups"):
        found["monitor_groups"] = [_without(entry, cpus, cgroups) for entry in options["monitor_groups"]]
    return within(found)
