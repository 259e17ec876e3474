# SPDX-FileCopyrightText: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Each kind of node is what it is said to be: seen on the node itself, in one look."""

from __future__ import annotations

import json

import pytest

# What other tests ask for as well.
SHARED = (("intel", "v2"), ("amd", "v2"), ("intel", "hybrid"), ("intel", "v1"))
# Prints what there is as JSON. Runs as one program, since each command costs a fifth of a second.
LOOK = r"""
import ctypes, errno, glob, json, os, subprocess

def read(path):
    with open(path) as file:
        return file.read().strip()

def sh(command):
    done = subprocess.run(command, shell=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return done.stdout.strip() if done.returncode == 0 else "%d: %s" % (done.returncode, done.stdout.strip())

def resctrl(options, look):
    failed = sh("mount -t resctrl %s resctrl /sys/fs/resctrl" % options)
    try:
        return failed or look()
    finally:
        sh("umount /sys/fs/resctrl")

R = "/sys/fs/resctrl/"
def classes():
    return {
        "schemata": dict(line.strip().split(":") for line in read(R + "schemata").splitlines()),
        "info": {path[len(R + "info/"):]: read(path) for path in glob.glob(R + "info/*/*") if "last_cmd" not in path},
        "domains": sorted(os.listdir(R + "mon_data")),
    }

def quota(kind):
    os.makedirs("/tmp/q", exist_ok=True)
    make = {"ext4": "mkfs.ext4 -q -O quota,project -E quotatype=usrquota:grpquota:prjquota", "xfs": "mkfs.xfs -q -f"}[kind]
    failed = sh("truncate -s 320M /tmp/q.img && %s /tmp/q.img && mount -o loop,prjquota /tmp/q.img /tmp/q" % make)
    if failed:
        return failed
    try:
        tell = {
            "ext4": "chattr +P -p 7 /tmp/q/d && setquota -P 7 0 2048 0 0 /tmp/q",
            "xfs": "xfs_quota -x -c 'project -s -p /tmp/q/d 7' -c 'limit -p bhard=2m 7' /tmp/q >/dev/null",
        }[kind]
        failed = sh("mkdir /tmp/q/d && chmod 777 /tmp/q/d && " + tell)
        if failed:
            return failed
        dd = "setpriv --reuid=65534 --clear-groups dd if=/dev/zero of=/tmp/q/d/f bs=64k count=64"
        return sh(dd + " 2>&1 | grep -oE 'Disk quota exceeded|No space left on device'; stat -c %s /tmp/q/d/f")
    finally:
        sh("umount /tmp/q")

def police():
    return sh("ip link add bhp0 type dummy && tc qdisc add dev bhp0 ingress && tc filter add dev bhp0 parent ffff: protocol ip u32 match u32 0 0"
              " police rate 1mbit burst 10k drop; tc filter show dev bhp0 parent ffff: | grep -c police; ip link del bhp0")

def apparmor():
    with open("/tmp/bh.aa", "w") as file:
        file.write("profile bh-lab-test { file, deny /etc/hostname r, }")
    failed = sh("apparmor_parser -r /tmp/bh.aa")
    return failed or sh("aa-exec -p bh-lab-test cat /etc/hostname; aa-exec -p bh-lab-test cat /proc/self/attr/current; apparmor_parser -R /tmp/bh.aa")

print(json.dumps({
    "kernel": os.uname().release,
    "hostname": os.uname().nodename,
    "init": read("/proc/1/comm"),
    "systemd": sh("systemctl is-system-running --wait; systemctl --failed --no-legend"),
    "cgroup": read("/proc/1/cgroup").splitlines(),
    "types": sorted({(line.split()[1], line.split()[2]) for line in open("/proc/mounts") if line.split()[2].startswith("cgroup")}),
    "controllers": read("/sys/fs/cgroup/cgroup.controllers").split() if os.path.exists("/sys/fs/cgroup/cgroup.controllers") else None,
    "unified": read("/sys/fs/cgroup/unified/cgroup.controllers").split() if os.path.exists("/sys/fs/cgroup/unified/cgroup.controllers") else None,
    "resctrl": resctrl("", classes),
    "cdp": resctrl("-o cdp", lambda: sorted(line.strip().split(":")[0] for line in read(R + "schemata").splitlines())),
    "mbps": resctrl("-o mba_MBps", lambda: read(R + "schemata").split()),
    "quota": {kind: quota(kind) for kind in ("ext4", "xfs")},
    "police": police(),
    "apparmor": apparmor(),
    "pressure": read("/proc/pressure/cpu").split()[0],
    "shared": os.path.exists("/bulkhead/galaxy.yml") and os.statvfs("/bulkhead").f_flag & os.ST_RDONLY,
    "outside": sh("timeout 2 bash -c '</dev/tcp/10.0.2.2/22'") != "",
}))
"""


@pytest.fixture(scope="module")
def look(lab):
    """What is there on a node; looked at once. The nodes that stay are started together."""
    seen = {}
    lab.fleet(*SHARED)

    def at(node):
        if node.name not in seen:
            seen[node.name] = json.loads(node.run("python3 -", input=LOOK).stdout)
        return seen[node.name]

    return at


def intel(seen):
    assert seen["domains"] == ["mon_L3_00", "mon_L3_01"]
    assert seen["schemata"] == {"L3": "0=7ff;1=7ff", "MB": "0=100;1=100"}
    info = seen["info"]
    assert (info["L3/cbm_mask"], info["L3/min_cbm_bits"], info["L3/num_closids"], info["L3/shareable_bits"]) == ("7ff", "1", "16", "600")
    assert (info["MB/min_bandwidth"], info["MB/bandwidth_gran"], info["MB/num_closids"]) == ("10", "10", "8")
    assert info["L3_MON/mon_features"].split() == ["llc_occupancy", "mbm_total_bytes", "mbm_local_bytes"]
    assert info["L3_MON/num_rmids"] == "32"


def amd(seen):
    assert seen["domains"] == ["mon_L3_%02d" % number for number in range(4)]
    assert set(seen["schemata"]) == {"L3", "MB", "SMBA"}
    assert seen["schemata"]["MB"] == "0=2048;1=2048;2=2048;3=2048"
    info = seen["info"]
    assert (info["L3/min_cbm_bits"], info["L3/sparse_masks"]) == ("0", "1")
    assert (info["MB/min_bandwidth"], info["MB/bandwidth_gran"]) == ("0", "1")
    assert (info["SMBA/min_bandwidth"], info["SMBA/bandwidth_gran"]) == ("0", "1")
    assert {"mbm_total_bytes_config", "mbm_local_bytes_config"} <= set(info["L3_MON/mon_features"].split())
    assert "L3_MON/mbm_total_bytes_config" in info


def v2(seen):
    assert seen["types"] == [["/sys/fs/cgroup", "cgroup2"]]
    assert {"cpuset", "cpu", "io", "memory", "hugetlb", "pids", "rdma", "misc"} <= set(seen["controllers"])


def hybrid(seen):
    mounts = dict(seen["types"])
    assert mounts["/sys/fs/cgroup/unified"] == "cgroup2"
    assert seen["unified"] == []
    assert {"/sys/fs/cgroup/" + name for name in ("cpu,cpuacct", "cpuset", "memory", "devices", "freezer", "blkio", "pids", "hugetlb")} <= set(mounts)
    assert any(line.startswith("0::") for line in seen["cgroup"])


def v1(seen):
    mounts = dict(seen["types"])
    assert set(mounts.values()) == {"cgroup"}
    assert {"/sys/fs/cgroup/" + name for name in ("systemd", "cpu,cpuacct", "cpuset", "memory", "devices", "freezer", "blkio", "pids", "hugetlb")} <= set(
        mounts
    )


@pytest.mark.parametrize("cgroup", ["v2", "hybrid", "v1"])
@pytest.mark.parametrize("kind", ["intel", "amd"])
def test_kind(kind, cgroup, node, fresh_node, look):
    """Each kind boots on each mode of control groups, with everything that the collection manages."""
    # Those that no other test asks for do not stay.
    it = node(kind, cgroup) if (kind, cgroup) in SHARED else fresh_node(kind, cgroup)
    seen = look(it)
    assert seen["kernel"].endswith("-bulkhead")
    assert seen["hostname"] == it.name
    assert seen["init"] == "systemd"
    assert seen["systemd"] == "running"
    {"v2": v2, "hybrid": hybrid, "v1": v1}[cgroup](seen)
    {"intel": intel, "amd": amd}[kind](seen["resctrl"])
    assert seen["cdp"] == (["L3CODE", "L3DATA", "MB"] if kind == "intel" else seen["cdp"])
    if kind == "intel":
        assert seen["mbps"][0].startswith("MB:0=")
        assert seen["mbps"][0] != "MB:0=100;1=100"
    assert seen["quota"] == {"ext4": "Disk quota exceeded\n2093056", "xfs": "No space left on device\n2097152"}
    assert seen["police"] == "1"
    assert "Permission denied" in seen["apparmor"]
    assert "bh-lab-test (enforce)" in seen["apparmor"]
    assert seen["pressure"] == "some"
    assert seen["shared"]
    assert seen["outside"], "a node reaches this machine"
