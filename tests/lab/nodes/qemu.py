# SPDX-FileCopyrightText: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The command line of a virtual machine."""

from __future__ import annotations

import subprocess
from pathlib import Path

PROGRAM = "qemu-system-x86_64"

# The vendor decides which side of the kernel's resctrl answers. Leaf 0x1f and 0x80000021 make QEMU present the leaves below.
KINDS = {
    "intel": "max,level=0x1f,vendor=GenuineIntel",
    "amd": "max,level=0x1f,xlevel=0x80000021,vendor=AuthenticAMD",
}
CGROUPS = {
    "v2": "",
    "hybrid": "systemd.unified_cgroup_hierarchy=0",
    "v1": "systemd.unified_cgroup_hierarchy=0 systemd.legacy_systemd_cgroup_controller=1",
}
ACCELERATORS = {"kvm": "kvm", "tcg": "tcg,thread=multi"}
# Two sockets of two: as many L3 caches as sockets on Intel, as many as processors on AMD.
PROCESSORS = "4,sockets=2,cores=2,threads=1"
# A later argument wins, so whoever starts a node may override these. Emulation translates a page of code once for each address
# that it appears at, and at a reboot throws that away piece by piece: with programs at random addresses this took a minute.
# The kernel panics when ten ticks of its timer do not come in the time of ten (timer_irq_works(), io_apic.c): on a busy machine.
ARGUMENTS = (
    "console=ttyS0 loglevel=6 root=/dev/vda rw net.ifnames=0 norandmaps no_timer_check psi=1 lsm=landlock,lockdown,yama,integrity,apparmor,bpf apparmor=1"
    " systemd.show_status=error systemd.hostname=%s %s %s"
)


def version() -> str:
    return subprocess.run([PROGRAM, "--version"], capture_output=True, text=True, check=True).stdout.splitlines()[0]


def machine(kernel: Path, accelerator: str, kind: str, memory: int, arguments: str) -> list[str]:
    """A machine that runs a kernel and says what the kernel says in the file console.log of the working directory."""
    model = KINDS[kind] + (",arch-capabilities=off" if accelerator == "kvm" else "")  # a KVM within a KVM refuses to set that register
    command = [PROGRAM, "-M", "q35", "-accel", ACCELERATORS[accelerator], "-cpu", model, "-smp", PROCESSORS, "-m", str(memory)]
    command += ["-nodefaults", "-no-user-config", "-display", "none"]
    command += ["-chardev", "file,id=console,path=console.log,append=on", "-serial", "chardev:console"]
    return [*command, "-kernel", str(kernel), "-append", arguments]


def node(kernel: Path, accelerator: str, kind: str, memory: int, *, name: str, cgroup: str, port: int, share: Path, append: str) -> list[str]:
    """A node: its disk is disk.qcow2 of the working directory, its ssh answers at a port of this machine's loopback.

    It reaches nothing but that: not this machine, and no network.
    """
    command = machine(kernel, accelerator, kind, memory, ARGUMENTS % (name, CGROUPS[cgroup], append))
    command += ["-name", name, "-device", "virtio-rng-pci"]
    command += ["-drive", "file=disk.qcow2,if=none,id=disk,format=qcow2,discard=unmap", "-device", "virtio-blk-pci,drive=disk"]
    command += ["-netdev", "user,id=net,restrict=on,hostfwd=tcp:127.0.0.1:%d-:22" % port, "-device", "virtio-net-pci,netdev=net,romfile="]
    return [*command, "-virtfs", "local,path=%s,mount_tag=bulkhead,security_model=none,readonly=on,multidevs=remap" % str(share).replace(",", ",,")]
