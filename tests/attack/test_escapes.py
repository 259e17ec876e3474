# SPDX-FileCopyrightText: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Getting the runtime to make, mount or write something outside of the container's root."""

from __future__ import annotations

import contextlib
import ctypes
import multiprocessing
import os
import shutil
import time
from pathlib import Path

import pytest
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.container import config
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.container.mounts import Root
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.errors import BulkheadError, InvalidInput

from .conftest import groups

USR = ["/usr:/usr:ro"]


def targets(outside):
    """An absolute link, a relative one, one to nothing."""
    up = "../" * 20
    return {"absolute": str(outside), "relative": up + str(outside).lstrip("/"), "dangling": str(outside) + "/missing", "self": "/proc/self/root/tmp"}


@pytest.mark.parametrize("kind", ["absolute", "relative", "dangling", "self"])
@pytest.mark.parametrize("name", ["dev", "proc", "sys"])
def test_top_directory_is_a_link(node, rootfs, outside, name, kind):
    """CVE-2019-19921, CVE-2023-27561, CVE-2026-41579, CVE-2026-47766."""
    (rootfs / name).symlink_to(targets(outside)[kind])
    with pytest.raises(BulkheadError, match="not a directory but a link"):
        node.run("link", "true", rootfs=str(rootfs), volumes=USR)


@pytest.mark.parametrize("kind", ["absolute", "relative", "dangling"])
@pytest.mark.parametrize(
    "name", ["dev/pts", "dev/null", "dev/console", "dev/shm", "dev/mqueue", "dev/ptmx", "sys/fs", "sys/fs/cgroup", "proc/sys", "proc/keys"]
)
def test_inner_name_is_a_link(node, rootfs, outside, name, kind):
    """CVE-2025-31133, CVE-2025-52565, CVE-2026-88264: what the root file system has there does not matter."""
    path = rootfs / name
    path.parent.mkdir(parents=True)
    path.symlink_to(targets(outside)[kind])
    report = node.run("link", "test -c /dev/null && test -d /proc/1 && test -d /sys/fs/cgroup && echo fine", rootfs=str(rootfs), volumes=USR)
    assert report["output"] == "fine\n"


@pytest.mark.parametrize("destination", ["a/../../x", "/a/../../x", "/..", "/proc", "/proc/self/attr", "/sys", "/dev", "/dev/pts", "/", "relative", ""])
def test_destination_is_refused(destination, tmp_path):
    with pytest.raises(InvalidInput):
        config.parse({"name": "x", "command": "true", "volumes": ["%s:%s" % (tmp_path, destination)]}, "/tmp")


@pytest.mark.parametrize("kind", ["absolute", "relative", "dangling"])
def test_destination_below_a_link(node, rootfs, outside, share, kind):
    """CVE-2019-18837: a link on the way to a destination is followed inside the root, or not at all."""
    (rootfs / "link").symlink_to(targets(outside)[kind])
    try:
        node.run("dest", "true", rootfs=str(rootfs), volumes=[*USR, "%s:/link/inner/x" % share])
    except BulkheadError:
        pass


def test_destination_into_proc(node, rootfs, share):
    """CVE-2019-16884, CVE-2025-52881: a link that leads a destination into /proc or /sys."""
    (rootfs / "link").symlink_to("/proc/self")
    with pytest.raises(BulkheadError):
        node.run("dest", "true", rootfs=str(rootfs), volumes=[*USR, "%s:/link/attr" % share])


def test_masked_path_is_a_link(node, rootfs, outside):
    """A path to be hidden leads out: what is hidden is inside, or nothing."""
    (rootfs / "secret").symlink_to(str(outside))
    assert node.run("mask", "true", rootfs=str(rootfs), volumes=USR, masked_paths=["/secret"])["exit"]["code"] == 0


def test_mask_that_leads_through_a_link_is_not_passed_over(node):
    """Nothing is followed in /proc and /sys, and a path that was to be hidden and cannot be found is no start."""
    with pytest.raises(BulkheadError, match="leads through a link"):
        node.run("mask", "true", masked_paths=["/sys/class/net/lo/address"])
    with pytest.raises(BulkheadError, match="leads through a link"):
        node.run("mask", "true", readonly_paths=["/sys/class/net/lo/address"])
    assert node.output("mask", "cat /sys/class/net/lo/address", masked_paths=["/sys/devices/virtual/net/lo/address"]) == ""


def test_databases_of_the_container(node, rootfs, outside, tmp_path):
    """/etc/passwd is a fifo, a device, a link out: the name is not known, and nobody waits."""
    (tmp_path / "passwd").write_text("evil:x:0:0::/:/bin/sh\n", encoding="utf-8")
    for make in (
        os.mkfifo,
        lambda path: os.mknod(path, 0o20666, os.makedev(1, 5)),
        lambda path: path.symlink_to(tmp_path / "passwd"),
        lambda path: path.symlink_to("/proc/self/fd/0"),
        lambda path: path.write_text("evil:x:-1:0::/:\nevil:x:4294967296:0::/:\n", encoding="utf-8"),
    ):
        path = rootfs / "etc" / "passwd"
        if path.is_symlink() or path.exists():
            path.unlink()
        make(path)
        with pytest.raises(BulkheadError):
            node.run("passwd", "id", rootfs=str(rootfs), volumes=USR, user="evil")


def _swap(directory, stop, names):
    """Exchange a directory and a link, as fast as the kernel can."""
    libc = ctypes.CDLL(None)
    one, other = (os.fsencode(str(directory / name)) for name in names)
    while not stop.is_set():
        for _turn in range(1000):
            libc.renameat2(-100, one, -100, other, 2)  # RENAME_EXCHANGE


@contextlib.contextmanager
def swapping(directory, names=("a", "b")):
    """Meanwhile, two things in a directory change places all the time."""
    stop = multiprocessing.Event()
    process = multiprocessing.Process(target=_swap, args=(directory, stop, names))
    process.start()
    try:
        yield
    finally:
        stop.set()
        process.join()


@pytest.fixture
def swapper(rootfs, outside):
    """rootfs/a is a directory and, every other microsecond, a link out of the root."""
    (rootfs / "a").mkdir()
    (rootfs / "b").symlink_to("../" * 20 + str(outside).lstrip("/"))
    with swapping(rootfs):
        yield rootfs


def test_destination_that_changes(swapper, outside):
    """CVE-2021-30465, CVE-2024-45310: thousands of look-ups of a destination that is swapped for a link meanwhile."""
    fd = os.open(swapper, os.O_PATH | os.O_DIRECTORY)
    root = Root(fd)
    made = refused = 0
    base = os.fsencode(os.path.realpath(swapper))
    deadline = time.monotonic() + 10
    while made + refused < 20000 and time.monotonic() < deadline:
        try:
            place = root.place("/a/%d/inner" % (made % 50), made % 2 == 0)
        except (OSError, BulkheadError):
            refused += 1
            continue
        made += 1
        try:
            assert os.readlink(os.fsencode("/proc/self/fd/%d" % place)).startswith(base + b"/")
        finally:
            os.close(place)
        if made % 50 == 0:
            for name in ("a", "b"):
                if not (swapper / name).is_symlink():
                    shutil.rmtree(swapper / name / "0", ignore_errors=True)
    root.close()
    assert made > 500, "only %d of %d look-ups came through" % (made, made + refused)
    assert not list(outside.iterdir())


def test_containers_with_a_destination_that_changes(node, swapper, outside, share):
    """The same with whole containers."""
    started = 0
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        try:
            node.run("race", "true", rootfs=str(swapper), volumes=[*USR, "%s:/a/place" % share], tmpfs={"/a/other": ""}, log={"path": "none"})
            started += 1
        except BulkheadError:
            pass
        assert not list(outside.iterdir())
    assert started


@pytest.mark.parametrize("user", ["-1", "+1", " 1", "1 ", "0x1", "1:", ":1", "4294967295", "4294967296", "99999999999999999999", "1:-1", "1:2:3", "\u0663", ""])
def test_user_that_is_no_user(user):
    """CVE-2024-40635, CVE-2026-30892: what is not a number in range is never 0."""
    with pytest.raises(InvalidInput):
        config.parse({"name": "x", "command": "true", "user": user}, "/tmp")


def test_user_is_the_one_asked_for(node):
    assert node.output("user", "id -u; id -g", user="1").split() == ["1", "1"]
    assert node.output("user2", "id -u; id -g", user="4294967294:7").split() == ["4294967294", "7"]
    node.serve("user3")
    assert node.exec("user3", ["id", "-u"], user="1")["stdout"] == "1\n"
    assert node.exec("user3", ["id", "-u"], user="daemon")["stdout"] == "1\n"


WRITES = """
try() { ( eval "$1" ) >/dev/null 2>&1 && echo "GOT $1"; }
for d in /sys/fs/cgroup/*; do
  for f in cgroup.procs tasks release_agent notify_on_release devices.allow memory.limit_in_bytes cgroup.subtree_control freezer.state; do
    try "echo 1 > $d/$f"
  done
  try "mkdir $d/mine"
  try "mount -o remount,rw $d"
  try "mount -o remount,bind,rw $d"
done
for f in /proc/sysrq-trigger /proc/sys/kernel/core_pattern /proc/sys/kernel/modprobe /proc/sys/vm/drop_caches /proc/sys/kernel/hostname \
         /proc/irq/0/smp_affinity /sys/kernel/uevent_helper /sys/kernel/mm/ksm/run /sys/power/state /proc/1/oom_score_adj/../../sys/kernel/panic; do
  try "echo 0 > $f"
done
try "mount -t cgroup -o memory x /mnt"
try "mount -t proc x /mnt"
try "mount -o remount,rw /proc/sys"
try "umount /proc/sys"
try "umount /sys/fs/cgroup"
try "unshare -m true"
try "unshare -r -m true && unshare -r -m mount -t cgroup -o memory x /mnt"
try "mkdir /sys/fs/cgroup/new"
try "cat /proc/kcore"
try "grep . /proc/keys"
try "grep . /proc/timer_list"
try "ls /sys/firmware/*"
try "dmesg"
try "chroot /proc/1/root/.. ls /lost+found"
try "nsenter -t 1 -m -p ls /lost+found"
try "hostname evil"
try "ls /lost+found"
echo done
"""


def test_files_of_the_kernel(node):
    """CVE-2022-0492, CVE-2022-0811, CVE-2023-25809: nothing of the kernel's files can be written to or mounted anew."""
    lines = node.output("writes", WRITES).splitlines()
    got = [line for line in lines if line.startswith("GOT")]
    assert lines[-1] == "done" and not got, got


@pytest.mark.parametrize(
    "key",
    ["kernel.core_pattern", "kernel.shmmax+kernel.core_pattern", "net/../kernel/core_pattern", "net.ipv4..x", "vm.swappiness", "kernel.sem\n"],
)
def test_parameter_of_the_machine(key):
    """CVE-2022-0811: only parameters of the container's own namespaces."""
    with pytest.raises(InvalidInput):
        config.parse({"name": "x", "command": "true", "sysctls": {key: "1"}}, "/tmp")


def test_own_parameter(node):
    assert node.output("sysctl", "cat /proc/sys/net/ipv4/ip_unprivileged_port_start", sysctls={"net.ipv4.ip_unprivileged_port_start": 80}).strip() == "80"


def test_read_only_root(node):
    output = node.output("readonly", "touch /x /etc/x /usr/x /tmp/x 2>&1; touch /dev/shm/x && echo shm", readonly=True)
    assert output.count("Read-only file system") == 4 and "shm" in output, output


def test_read_only_volume(node, share):
    output = node.output("volume", "touch /x/y; mount -o remount,rw /x; touch /x/z; echo", volumes=["%s:/x:ro" % share])
    assert not list(share.iterdir()), output


TOLD = """
for f in interrupts iomem kpagecgroup kpagecount kpageflags slabinfo vmallocinfo kcore keys timer_list sched_debug; do
  [ -e /proc/$f ] || continue
  [ -z "$(head -c 1 /proc/$f 2>/dev/null | tr '\\0' x)" ] || echo "GOT /proc/$f"
done
for f in /sys/devices/system/cpu/cpu*/thermal_throttle/*; do [ -e "$f" ] && echo "GOT $f"; done
echo done
"""


def test_what_the_machine_does_is_not_told(node):
    """Counters and addresses of the machine are empty, with the capability to read them, too."""
    assert node.output("told", TOLD) == "done\n"
    assert node.output("told2", TOLD, capabilities={"add": ["SYSLOG", "SYS_ADMIN"]}) == "done\n"


def test_processes_without_end(node):
    """Where nothing is said, a container cannot take all the processes that the machine can number."""
    node.serve("bomb")
    limits = {path.read_text(encoding="utf-8").strip() for top in groups() for path in Path(top).glob("bomb/pids.max")}
    assert limits == {"2048"}


@pytest.mark.parametrize("kind", ["absolute", "relative", "dangling"])
def test_volume_on_a_link_is_made_inside(node, rootfs, outside, share, kind):
    """What a link leads to is made for a volume, and made inside the root, wherever the link leads."""
    (rootfs / "link").symlink_to(targets(outside / "missing")[kind])
    report = node.run("dest", "grep -c %s /proc/mounts; true" % outside, rootfs=str(rootfs), volumes=[*USR, "%s:/link" % share], tmpfs={"/link/below": ""})
    assert report["output"] == "2\n"
    assert (rootfs / str(outside).lstrip("/")).is_dir()
