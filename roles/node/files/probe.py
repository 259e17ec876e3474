# SPDX-FileCopyrightText: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a machine offers to isolate workloads with, as JSON: probe.py PYTHON KERNEL

PYTHON and KERNEL are the oldest versions that will do, such as 3.9 and 5.12. Reads /proc, /sys, /boot and the lists of
modules; changes nothing. Runs on a Python that is too old for the collection, so that it can say so.
"""

from __future__ import annotations

import gzip
import json
import os
import platform
import re
import sys

RELEASE = platform.release()
MODULES = "/lib/modules/" + RELEASE
# Where containers keep their own files.
STATE = "/var/lib/bulkhead"
CGROUP_OPTIONS = {
    "memory": "MEMCG",
    "cpu": "CGROUP_SCHED",
    "cpuset": "CPUSETS",
    "io": "BLK_CGROUP",
    "pids": "CGROUP_PIDS",
    "devices": "CGROUP_DEVICE",
    "freezer": "CGROUP_FREEZER",
    "hugetlb": "CGROUP_HUGETLB",
    "rdma": "CGROUP_RDMA",
    "misc": "CGROUP_MISC",
}
# What every v2 group has without a controller; devices are ruled there by an eBPF program.
BUILT_INTO_V2 = {"freezer": "cgroup.freeze", "devices": "eBPF"}
NAMESPACES = ("pid", "mnt", "uts", "ipc", "net", "cgroup")
# File systems that cannot hold the upper layer of an overlay.
NO_UPPER = {"overlay", "nfs", "nfs4", "cifs", "9p", "vfat", "fuse.sshfs", "squashfs", "erofs", "iso9660"}


def read(path):
    """The text of a file; None where it cannot be read."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return None


def version(text):
    """The numbers of a version, to be compared."""
    return tuple(int(number) for number in re.findall(r"\d+", text)[:2])


def yes(how):
    return {"available": True, "how": how, "why": ""}


def no(why):
    return {"available": False, "how": "", "why": why}


class Kernel:
    """What the kernel was built with, from its configuration and its lists of modules, as far as they are there."""

    def __init__(self):
        self.source, text = self._configuration()
        self.options = dict(re.findall(r"^CONFIG_(\w+)=(.*)$", text or "", re.MULTILINE))
        self.built_in = self._names("modules.builtin")
        self.loadable = self._names("modules.dep")
        self.loaded = {line.split()[0] for line in (read("/proc/modules") or "").splitlines()}

    @staticmethod
    def _configuration():
        try:
            with gzip.open("/proc/config.gz", "rt", encoding="utf-8") as file:
                return "/proc/config.gz", file.read()
        except OSError:
            pass
        for path in ("/boot/config-" + RELEASE, MODULES + "/config", "/lib/kernel/config-" + RELEASE):
            text = read(path)
            if text is not None:
                return path, text
        return "", None

    @staticmethod
    def _names(file):
        lines = (read("%s/%s" % (MODULES, file)) or "").splitlines()
        return {os.path.basename(line.split(":")[0]).split(".")[0].replace("-", "_") for line in lines}

    def has(self, option, module=""):
        """What of the kernel stands behind an option: ("built in", ""), or ("", why it is missing)."""
        value = self.options.get(option)
        if value == "y" or module in self.built_in:
            return "built in", ""
        if module in self.loaded or module in self.loadable:
            return "module " + module, ""
        if value == "m":
            return "", "the kernel has it as module %s, which is not installed on this machine" % module
        if self.source or self.built_in or self.loadable:
            return "", "the kernel was built without it (CONFIG_%s)" % option
        return "", "not known: neither the kernel's configuration (CONFIG_%s) nor its list of modules can be read" % option


def mounted():
    """(source, path, type, options) of each mount."""
    return [tuple(line.split()[:4]) for line in (read("/proc/self/mounts") or "").splitlines()]


def existing(path):
    """The path, or what is there of it."""
    while not os.path.exists(path):
        path = os.path.dirname(path)
    return os.path.realpath(path)


def disk_of(path):
    """The whole disk that a path is on, or would be, as /dev/NAME; empty where there is no one such disk."""
    number = os.stat(existing(path)).st_dev
    block = os.path.realpath("/sys/dev/block/%d:%d" % (os.major(number), os.minor(number)))
    if os.path.exists(block + "/partition"):
        block = os.path.dirname(block)
    device = "/dev/" + os.path.basename(block).replace("!", "/")
    return device if os.path.isdir(block) and os.path.exists(device) else ""


def filesystem_of(path):
    """The type of the file system that a path is on, or would be."""
    path = existing(path)
    best = ("", "unknown")
    for _source, at, kind, _options in mounted():
        if (path == at or path.startswith(at.rstrip("/") + "/")) and len(at) >= len(best[0]):
            best = (at, kind)
    return best[1]


def control_groups(kernel):
    """The mode, where each controller is, and the features that are controllers."""
    lines = [line.split() for line in (read("/proc/cgroups") or "").splitlines() if not line.startswith("#")]
    known = {line[0]: line for line in lines if len(line) == 4}
    v1, v2, offered = {}, "", []
    for _source, path, kind, options in mounted():
        if kind == "cgroup2" and not v2:
            v2, offered = path, (read(path + "/cgroup.controllers") or "").split()
        elif kind == "cgroup":
            for option in options.split(","):
                if option in known:
                    v1.setdefault("io" if option == "blkio" else option, path)
    mode = "hybrid" if v1 and v2 else "v1" if v1 else "v2" if v2 else "none"
    controllers = {name: {"version": 1, "path": path} for name, path in v1.items()}
    controllers.update({name: {"version": 2, "path": v2} for name in offered})
    features = {}
    for name, option in CGROUP_OPTIONS.items():
        old = known.get("blkio" if name == "io" else name)
        if name in controllers:
            features[name] = yes("v%(version)d, %(path)s" % controllers[name])
        elif v2 and name in BUILT_INTO_V2:
            features[name] = yes("v2, %s (%s)" % (v2, BUILT_INTO_V2[name]))
        elif mode == "none":
            features[name] = no("no control group hierarchy is mounted; mount -t cgroup2 none /sys/fs/cgroup")
        elif old and old[3] == "0":
            features[name] = no("it was switched off at boot (cgroup_disable=%s)" % old[0])
        elif old and old[1] == "0":
            features[name] = no("the kernel has it, but no mounted hierarchy offers it")
        elif old:
            features[name] = no("it is bound to a v1 hierarchy that is not mounted")
        else:
            features[name] = no(kernel.has(option)[1] or "the kernel has it, but no mounted hierarchy offers it")
    if features["devices"]["how"].endswith("(eBPF)") and kernel.source and not kernel.has("CGROUP_BPF")[0]:
        features["devices"] = no("v2 rules devices by eBPF programs, and " + kernel.has("CGROUP_BPF")[1])
    if features["io"]["available"] and kernel.source and not kernel.has("BLK_DEV_THROTTLING")[0]:
        features["io"] = no("the kernel can weigh disks but not limit them (CONFIG_BLK_DEV_THROTTLING)")
    if features["cpu"]["available"] and kernel.source and not kernel.has("CFS_BANDWIDTH")[0]:
        features["cpu"] = no("the kernel can weigh groups but not limit them (CONFIG_CFS_BANDWIDTH)")
    return {"mode": mode, "v2": v2, "systemd": os.path.isdir("/run/systemd/system"), "controllers": controllers}, features


def containers(kernel, oldest):
    """The features that containers stand on."""
    features = {}
    missing = [name for name in NAMESPACES if not os.path.exists("/proc/self/ns/" + name)]
    if version(RELEASE) < version(oldest):
        features["containers"] = no("they need Linux %s or newer, and this is %s" % (oldest, RELEASE))
    elif missing:
        features["containers"] = no("the kernel has no namespaces for: " + ", ".join(missing))
    else:
        features["containers"] = yes("namespaces for " + ", ".join(NAMESPACES))
    listed = "\toverlay\n" in (read("/proc/filesystems") or "")
    how, why = ("built in", "") if listed else kernel.has("OVERLAY_FS", "overlay")
    kind = filesystem_of(STATE)
    if not features["containers"]["available"]:
        features["rootfs_host"] = no("there are no containers")
    elif not how:
        features["rootfs_host"] = no("it needs overlayfs, and " + why)
    elif kind in NO_UPPER:
        features["rootfs_host"] = no("%s would be on %s, which cannot hold the upper layer of an overlay" % (STATE, kind))
    else:
        features["rootfs_host"] = yes("overlayfs; private layers on %s" % kind)
    users = (read("/proc/sys/user/max_user_namespaces") or "0").strip()
    if not os.path.exists("/proc/self/ns/user"):
        features["user_namespaces"] = no(kernel.has("USER_NS")[1])
    elif users == "0":
        features["user_namespaces"] = no("user.max_user_namespaces is 0")
    else:
        features["user_namespaces"] = yes("up to %s" % users)
    actions = (read("/proc/sys/kernel/seccomp/actions_avail") or "").split()
    features["seccomp"] = yes("filters") if actions else no(kernel.has("SECCOMP_FILTER")[1])
    return features


def pressure(kernel):
    if not os.path.exists("/proc/pressure"):
        return no("switched off at boot; psi=1 on the kernel's command line" if kernel.has("PSI")[0] else kernel.has("PSI")[1])
    if read("/proc/pressure/cpu") is None:
        return no("switched off at boot; psi=1 on the kernel's command line")
    return yes("/proc/pressure")


def resctrl(kernel):
    flags = set((re.search(r"^flags\s*:(.*)$", read("/proc/cpuinfo") or "", re.MULTILINE) or [""])[0].split())
    found = sorted(flags & {"cat_l2", "cat_l3", "cdp_l2", "cdp_l3", "mba", "cqm_occup_llc", "cqm_mbm_local", "cqm_mbm_total"})
    if "\tresctrl\n" not in (read("/proc/filesystems") or ""):
        arm = platform.machine() == "aarch64"
        why = kernel.has("ARM64_MPAM" if arm else "X86_CPU_RESCTRL")[1]
        return no(why or ("the processor has none of it" if not found else "the kernel does not use what the processor has: " + ", ".join(found)))
    return yes(", ".join(found) or "/sys/fs/resctrl")


def quotas(kernel):
    """Disk quotas, by the kind of file system that keeps them."""
    features = {}
    how, why = kernel.has("QFMT_V2", "quota_v2")
    features["quota_ext4"] = yes("quota format 2, %s" % how) if how else no(why)
    how, why = kernel.has("XFS_QUOTA", "xfs" if "XFS_QUOTA" in kernel.options else "")
    features["quota_xfs"] = yes(how) if how else no(why)
    how, why = ("built in", "") if "\tbtrfs\n" in (read("/proc/filesystems") or "") else kernel.has("BTRFS_FS", "btrfs")
    features["quota_btrfs"] = yes("quota groups, %s" % how) if how else no(why)
    return features


def network(kernel):
    """Networks of containers; what shapes what goes out, what drops what comes in."""
    features = {}
    for name, parts in (
        ("bridge", (("VETH", "veth"), ("BRIDGE", "bridge"))),
        ("shaping", (("NET_SCH_TBF", "sch_tbf"), ("NET_SCH_HTB", "sch_htb"))),
        ("policing", (("NET_SCH_INGRESS", "sch_ingress"), ("NET_ACT_POLICE", "act_police"))),
        ("ifb", (("NET_SCH_INGRESS", "sch_ingress"), ("IFB", "ifb"), ("NET_ACT_MIRRED", "act_mirred"))),
    ):
        whys = ["%s: %s" % (module, why) for module, why in ((module, kernel.has(option, module)[1]) for option, module in parts) if why]
        features[name] = no("; ".join(whys)) if whys else yes(", ".join(module for _option, module in parts))
    return features


def machine(oldest_python):
    sizes = dict(re.findall(r"^(\w+):\s+(\d+) kB", read("/proc/meminfo") or "", re.MULTILINE))
    return {
        "system": platform.system(),
        "kernel": RELEASE,
        "architecture": platform.machine(),
        "cpus": len(os.sched_getaffinity(0)),
        "memory": int(sizes.get("MemTotal", 0)) * 1024,
        "swap": int(sizes.get("SwapTotal", 0)) * 1024,
        "page_size": os.sysconf("SC_PAGE_SIZE"),
        "python": platform.python_version(),
        "python_will_do": sys.version_info[:2] >= version(oldest_python),
        "root": os.geteuid() == 0,
    }


def main(oldest_python, oldest_kernel):
    kernel = Kernel()
    groups, features = control_groups(kernel)
    features.update(containers(kernel, oldest_kernel))
    features["pressure"] = pressure(kernel)
    features["resctrl"] = resctrl(kernel)
    features.update(quotas(kernel))
    features.update(network(kernel))
    found = {
        "machine": machine(oldest_python),
        "kernel_configuration": kernel.source,
        "disk": disk_of(STATE),
        "cgroup": groups,
        "features": features,
        "can": [name for name, feature in features.items() if feature["available"]],
        "cannot": [name for name, feature in features.items() if not feature["available"]],
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
