# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What the machine can divide: the files below info/, read once (resctrl.rst, "Info directory").

Three kinds of bandwidth are told apart, because their numbers mean different things:

* percent: Intel, and Arm. Steps of bandwidth_gran from min_bandwidth to 100; the kernel rounds up to a step.
* MBps: Intel, mounted with mba_MBps. MiB/s that a control loop in the kernel keeps to; no rounding.
* eighths: AMD. An absolute limit in steps of 1/8 GB/s; the greatest value is no limit.
"""

from __future__ import annotations

import os

from ..kernel.files import Tree
from .schemata import UNLIMITED_MBPS, level_of, parse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Union

    Resource = Union["Cache", "Bandwidth"]

PERCENT = "percent"
MBPS = "MBps"
EIGHTHS = "1/8 GB/s"
OPTIONS = ("cdp", "cdpl2", "mba_MBps")
# The mount option that gives code and data of a cache masks of their own.
_CDP_OPTIONS = {"L3": "cdp", "L2": "cdpl2"}
# Where the kernel's rounding is that of bw_validate() and what it prints is what it holds. Arm's rounds a second time, to steps
# that info/ does not tell, so there only what was seen counts.
_EXACT_MACHINES = ("x86_64", "i686", "i386")


class Cache:
    """One resource with masks.

    name: as in schemata, L3CODE and L3DATA being two; level: the cache; mask: every way; shareable: ways that devices use too.
    """

    __slots__ = ("closids", "level", "mask", "min_bits", "name", "shareable", "sparse")

    def __init__(self, name: str, mask: int, min_bits: int = 1, shareable: int = 0, sparse: bool = False, closids: int = 16) -> None:
        self.name = name
        self.level = level_of(name)
        self.mask = mask
        self.min_bits = min_bits
        self.shareable = shareable
        self.sparse = sparse
        self.closids = closids

    @property
    def ways(self) -> int:
        return self.mask.bit_length()

    @property
    def least(self) -> int:
        """The fewest ways that make sense; some hardware takes none at all, which leaves a class without cache."""
        return max(1, self.min_bits)


class Bandwidth:
    """One resource with a bandwidth. maximum: None where it is not known before the kernel refuses."""

    __slots__ = ("closids", "exact", "linear", "maximum", "minimum", "name", "step", "unit")

    def __init__(self, name: str, unit: str, minimum: int, step: int, maximum: int | None, closids: int = 16, exact: bool = True, linear: bool = True) -> None:
        self.name = name
        self.unit = unit
        self.minimum = minimum
        self.step = max(1, step)
        self.maximum = maximum
        self.closids = closids
        self.exact = exact
        self.linear = linear

    @property
    def unlimited(self) -> int | None:
        """The value that is no limit; None where it is not known."""
        return UNLIMITED_MBPS if self.unit == MBPS else self.maximum

    def kept(self, asked: int) -> int:
        """What the kernel keeps of a value: bw_validate(), ctrlmondata.c. Sure only where exact."""
        return asked if self.unit == MBPS else -(-asked // self.step) * self.step


class Hardware:
    """What can be divided here, with the options that the file system is mounted with."""

    def __init__(self, caches: list[Cache], bandwidths: list[Bandwidth], options: Iterable[str] = (), rmids: int = 0, features: Iterable[str] = ()) -> None:
        self.caches = {cache.name: cache for cache in caches}
        self.bandwidths = {bandwidth.name: bandwidth for bandwidth in bandwidths}
        self.options = frozenset(options)
        self.rmids = rmids
        self.features = list(features)

    @classmethod
    def observe(cls, tree: Tree, options: Iterable[str], default: str | None) -> Hardware:
        """From info/. default: the text of the default group's schemata, which names the resources; None where nothing can be divided."""
        options = frozenset(options)
        caches: list[Cache] = []
        bandwidths: list[Bandwidth] = []
        exact = os.uname().machine in _EXACT_MACHINES
        for name, domains in parse(default or "").items():
            path = "info/%s/" % name
            closids = _number(tree, path + "num_closids", 10)
            if closids is None:  # the kernel has a resource that these words do not describe
                continue
            mask = _number(tree, path + "cbm_mask", 16)
            if mask is not None:
                twin = next((cache for cache in caches if cache.level == level_of(name)), None)
                if twin:
                    caches.append(Cache(name, twin.mask, twin.min_bits, twin.shareable, twin.sparse, twin.closids))
                    continue
                fewest = _number(tree, path + "min_cbm_bits", 10) or 0
                shareable = _number(tree, path + "shareable_bits", 16) or 0
                sparse = _number(tree, path + "sparse_masks", 10)
                # Before Linux 6.7 there is no such file; there, only AMD's caches may have holes in their masks, and none at all.
                caches.append(Cache(name, mask, fewest, shareable, bool(sparse) if sparse is not None else fewest == 0, closids))
                continue
            minimum = _number(tree, path + "min_bandwidth", 10) or 0
            step = _number(tree, path + "bandwidth_gran", 10) or 1
            linear = minimum > 0 or bool(_number(tree, path + "delay_linear", 10))
            if name == "MB" and "mba_MBps" in options:
                bandwidths.append(Bandwidth(name, MBPS, minimum, step, None, closids))
            elif not linear and step == 1:
                # No file tells the greatest value, a power of two (__rdt_get_mem_config_amd(), core.c); the default group has it until it is limited.
                largest = max(domains.values(), default=0)
                bandwidths.append(Bandwidth(name, EIGHTHS, minimum, step, largest if largest >= 256 and not largest & (largest - 1) else None, closids))
            else:
                bandwidths.append(Bandwidth(name, PERCENT, minimum, step, 100, closids, exact, linear))
        rmids = _number(tree, "info/L3_MON/num_rmids", 10)
        return cls(caches, bandwidths, options, rmids or 0)

    @property
    def resources(self) -> dict[str, Resource]:
        return {**self.caches, **self.bandwidths}

    def learn(self, greatest: dict[str, int]) -> None:
        """Take what was seen earlier for the greatest values that the default group, limited since, does not show."""
        for name, value in greatest.items():
            bandwidth = self.bandwidths.get(name)
            if bandwidth and bandwidth.unit == EIGHTHS:
                bandwidth.maximum = max(value, bandwidth.maximum or 0)

    @property
    def closids(self) -> int:
        """The number of classes, the default one among them: closid_init(), rdtgroup.c."""
        return min([32, *(resource.closids for resource in self.resources.values())])

    @property
    def levels(self) -> list[str]:
        """The caches that can be divided."""
        return sorted({cache.level for cache in self.caches.values()}, reverse=True)

    def of_level(self, level: str) -> list[Cache]:
        """The resources of one cache: itself, or its code and its data."""
        return [cache for cache in self.caches.values() if cache.level == level]

    def mounted_with(self, options: frozenset[str]) -> Hardware:
        """What this hardware would offer under other mount options: schemata_list_add(), rdt_enable_ctx(), rdtgroup.c."""
        caches: list[Cache] = []
        for level in self.levels:
            one = self.of_level(level)[0]
            option = _CDP_OPTIONS.get(level)
            closids = one.closids * (2 if option in self.options else 1)
            if option in options:
                names = [level + "CODE", level + "DATA"]
                closids //= 2
            else:
                names = [level]
            caches += [Cache(name, one.mask, one.min_bits, one.shareable, one.sparse, closids) for name in names]
        bandwidths = []
        for bandwidth in self.bandwidths.values():
            if bandwidth.name == "MB" and "mba_MBps" in options:
                bandwidth = Bandwidth("MB", MBPS, bandwidth.minimum, bandwidth.step, None, bandwidth.closids)
            elif bandwidth.unit == MBPS:
                bandwidth = Bandwidth("MB", PERCENT, bandwidth.minimum, bandwidth.step, 100, bandwidth.closids)
            bandwidths.append(bandwidth)
        return Hardware(caches, bandwidths, options, self.rmids, self.features)

    def signature(self) -> str:
        """What recorded values depend on, as text."""
        caches = ["%s/%x/%x" % (cache.name, cache.mask, cache.shareable) for cache in self.caches.values()]
        bandwidths = ["%s/%s/%d" % (bandwidth.name, bandwidth.unit, bandwidth.step) for bandwidth in self.bandwidths.values()]
        return " ".join(sorted(caches + bandwidths))


def _number(tree: Tree, path: str, base: int) -> int | None:
    text = tree.read_short(path)
    try:
        return None if text is None else int(text, base)
    except ValueError:
        return None
