# SPDX-FileCopyrightText: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the workloads of the quickstart are told to do, from inside their containers; each command prints JSON.

lateness SECONDS       how often the service woke up in that time, and the latest it was
burn SECONDS WORKERS   use all the CPU time there is
hoard BYTES            use memory until there is that much of it, or until the kernel ends it
fork MOST              make processes until there are that many, or until the kernel refuses
write BYTES            write that much to the disk, past the page cache
receive PORT           take what one connection sends, and tell it how much that was
send ADDRESS PORT SECONDS
                       send there as fast as it goes
fill FILE BYTES        make a file of that size, or until the kernel refuses
look                   see what can be seen, and try what must not work
"""

from __future__ import annotations

import ctypes
import errno
import json
import mmap
import os
import re
import signal
import socket
import stat
import sys
import time

NOTES = "/dev/shm/lateness"  # of quickstart_service.py


def lateness(seconds):
    now = int(time.monotonic())
    notes = []
    for name in os.listdir(NOTES):
        if name.isdigit() and int(name) >= now - int(seconds):
            with open("%s/%s" % (NOTES, name), encoding="ascii") as file:
                notes.append(json.load(file))
    return {"ticks": sum(ticks for ticks, _worst in notes), "worst": max([worst for _ticks, worst in notes] or [0.0])}


def burn(seconds, workers):
    started = time.monotonic()
    end = started + float(seconds)
    for _worker in range(int(workers)):
        if os.fork() == 0:
            while time.monotonic() < end:
                pass
            os._exit(0)
    for _worker in range(int(workers)):
        os.wait()
    elapsed = time.monotonic() - started
    used = os.times()
    return {"seconds": elapsed, "share": (used.children_user + used.children_system) / elapsed}


def hoard(most):
    step = 1 << 20
    have = 0
    kept = []
    while have < int(most):
        memory = mmap.mmap(-1, step)
        memory.write(b"x" * step)
        kept.append(memory)
        have += step
        if have % (8 * step) == 0:
            print(have, flush=True)
    return {"bytes": have}


def fork(most):
    children = []
    refused = ""
    while len(children) < int(most):
        try:
            child = os.fork()
        except OSError as error:
            refused = errno.errorcode[error.errno]
            break
        if child == 0:
            while True:
                signal.pause()
        children.append(child)
    for child in children:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    return {"processes": len(children), "refused": refused}


def write(size):
    path = "/var/tmp/quickstart"
    block = mmap.mmap(-1, 256 << 10)
    left = int(size)
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_DIRECT, 0o600)
    started = time.monotonic()
    try:
        while left > 0:
            left -= os.write(file, block)
        elapsed = time.monotonic() - started
    finally:
        os.close(file)
        os.unlink(path)
    return {"seconds": elapsed, "rate": int(size) / elapsed}


def receive(port):
    count = 0
    with socket.create_server(("", int(port))) as listener:
        listener.settimeout(60)
        connection, _address = listener.accept()
        with connection:
            while True:
                data = connection.recv(1 << 16)
                if not data:
                    break
                count += len(data)
            connection.sendall(b"%d" % count)
    return {"bytes": count}


def send(address, port, seconds):
    for _turn in range(100):
        try:
            connection = socket.create_connection((address, int(port)), 30)
            break
        except ConnectionRefusedError:
            time.sleep(0.1)
    started = time.monotonic()
    with connection:
        while time.monotonic() < started + float(seconds):
            connection.sendall(b"x" * (16 << 10))
        connection.shutdown(socket.SHUT_WR)
        arrived = int(connection.recv(64))
    return {"rate": arrived * 8 / (time.monotonic() - started)}


def fill(path, size):
    block = b"x" * (1 << 20)
    have = 0
    refused = ""
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        while have < int(size):
            have += os.write(file, block)
        os.fsync(file)
    except OSError as error:
        refused = errno.errorcode[error.errno]
    finally:
        os.close(file)
    return {"bytes": have, "refused": refused}


def attempt(action):
    """How an attempt ends: "done", or the kernel's refusal."""
    try:
        action()
    except OSError as error:
        return errno.errorcode[error.errno]
    return "done"


def mount():
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(b"none", b"/mnt", b"tmpfs", 0, None):
        raise OSError(ctypes.get_errno(), "mount")


def look():
    def inside(path):
        try:
            return sorted(os.listdir(path))
        except OSError:
            return []

    with open("/proc/net/dev", encoding="ascii") as file:
        interfaces = re.findall(r"^ *([^ :|]+):", file.read(), re.MULTILINE)
    with open("/proc/1/cmdline", encoding="utf-8", errors="replace") as file:
        first = file.read().split("\0")
    return {
        "pid": os.getpid(),
        "first": [word for word in first if "\n" not in word and word],
        "processes": sum(name.isdigit() for name in os.listdir("/proc")),
        "hostname": socket.gethostname(),
        "interfaces": interfaces,
        "password_files": [path for path in ("/etc/shadow", "/etc/gshadow", "/etc/sudoers", "/etc/ssl/private") if os.path.exists(path)],
        "host_keys": [name for name in inside("/etc/ssh") if name.startswith("ssh_host_") and not name.endswith(".pub")],
        "homes": inside("/home") + inside("/root"),
        "other_containers": inside("/var/lib/bulkhead") + inside("/run/bulkhead"),
        "make_device": attempt(lambda: os.mknod("/tmp/quickstart", stat.S_IFBLK | 0o600, os.makedev(8, 0))),
        "mount": attempt(mount),
        "write_kernel": attempt(lambda: os.close(os.open("/proc/sys/kernel/hostname", os.O_WRONLY))),
        "write_usr": attempt(lambda: os.close(os.open("/usr/quickstart-%s" % socket.gethostname(), os.O_WRONLY | os.O_CREAT))),
    }


if __name__ == "__main__":
    commands = {function.__name__: function for function in (lateness, burn, hoard, fork, write, receive, send, fill, look)}
    print(json.dumps(commands[sys.argv[1]](*sys.argv[2:])))
