# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""How much of a limit is in use and stays so: a limit below that would make the kernel kill, or refuse it."""

from __future__ import annotations

from ..errors import InvalidInput
from ..kernel.files import read_text
from ..units import format_size
from .values import MAX

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .group import Group, Setting
    from .observation import Observation

_FILES = {"memory.max", "memory.high", "memory.limit_in_bytes", "memory.memsw.limit_in_bytes"}


def check(group: Group, setting: Setting, seen: Observation) -> None:
    """Refuse a limit below what is in use and cannot be taken away."""
    if not setting.file.usage or group.force or setting.kept == MAX:
        return
    used = _in_use(group, setting, seen)
    if used is None or used <= int(setting.kept):
        return
    show = str if setting.option.startswith("pids") else lambda number: "%s (%d bytes)" % (format_size(number), number)
    force = "set it above that"
    if group.may_force:
        force += ", or add force: true, and the kernel reclaims and, on v2, kills until it fits"
    raise InvalidInput(
        "%s: %s of %s is below the %s in use now" % (group.called, setting.option, show(int(setting.kept)), show(used)),
        target=setting.hierarchy.tree.full("%s/%s" % (group.name, setting.file.name)),
        hint=force,
    )


def _in_use(group: Group, setting: Setting, seen: Observation) -> int | None:
    text = seen.text(setting.hierarchy, "%s/%s" % (group.name, setting.file.usage))
    if text is None:
        return None
    if setting.file.name not in _FILES or int(text) <= int(setting.kept):
        return int(text)
    stat = _numbers(seen.text(setting.hierarchy, group.name + "/memory.stat"))
    if setting.hierarchy.version == 1:
        return _certain(group, setting, seen, stat)
    events = seen.text(setting.hierarchy, group.name + "/cgroup.events") or ""
    if "populated 0" in events.splitlines():
        return 0  # nobody is there to be killed
    cache = stat.get("active_file", 0) + stat.get("inactive_file", 0) + stat.get("slab_reclaimable", 0)
    return max(0, int(text) - cache - min(_anonymous(stat), _swap_left(group, setting, seen)))


def _certain(group: Group, setting: Setting, seen: Observation, stat: dict[str, int]) -> int:
    """The least that cannot be reclaimed on v1, which does not kill for a lower limit but refuses it when it has tried."""
    stat = {name[len("total_") :]: value for name, value in stat.items() if name.startswith("total_")}
    anonymous, locked = _anonymous(stat), stat.get("unevictable", 0)
    if "memsw" in setting.file.name:
        return anonymous + locked + stat.get("swap", 0)
    return locked + max(0, anonymous - _swap_free())


def _anonymous(stat: dict[str, int]) -> int:
    """Memory that can go to swap and nowhere else; shared memory is on the same lists."""
    return stat.get("active_anon", 0) + stat.get("inactive_anon", 0)


def _swap_left(group: Group, setting: Setting, seen: Observation) -> int:
    """How much of a v2 group can go to swap yet."""
    most = seen.text(setting.hierarchy, group.name + "/memory.swap.max")
    used = seen.text(setting.hierarchy, group.name + "/memory.swap.current")
    if most is None or used is None:
        return 0
    return _swap_free() if most == MAX else max(0, min(_swap_free(), int(most) - int(used)))


def _swap_free() -> int:
    for line in (read_text("/proc/meminfo") or "").splitlines():
        if line.startswith("SwapFree:"):
            return int(line.split()[1]) * 1024
    return 0


def _numbers(text: str | None) -> dict[str, int]:
    pairs = (line.partition(" ") for line in (text or "").splitlines())
    return {name: int(value) for name, _space, value in pairs if value.isdigit()}
