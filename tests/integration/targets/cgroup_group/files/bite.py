# SPDX-FileCopyrightText: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Run into a limit of a group, in a process of its own: bite.py GROUP memory|pids|devices|cpu"""

import os
import resource
import signal
import sys
import time


def memory() -> None:
    bytearray(64 << 20)


def pids() -> None:
    made = 0
    try:
        while made < 100:
            if os.fork() == 0:
                signal.pause()
            made += 1
    except BlockingIOError:
        pass
    print(made, flush=True)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    os.killpg(0, signal.SIGTERM)


def devices() -> None:
    os.open("/dev/null", os.O_RDWR)
    try:
        os.open("/dev/zero", os.O_RDONLY)
    except PermissionError:
        print("null opened, zero refused", flush=True)


def cpu() -> None:
    def used() -> float:
        usage = resource.getrusage(resource.RUSAGE_SELF)
        return usage.ru_utime + usage.ru_stime

    began, before = time.monotonic(), used()
    while time.monotonic() < began + 2:
        pass
    print("%.3f" % ((used() - before) / (time.monotonic() - began)), flush=True)


child = os.fork()
if child == 0:
    os.setsid()
    one = "/sys/fs/cgroup/%s" % sys.argv[1]  # v2
    for group in [one] if os.path.isdir(one) else ["/sys/fs/cgroup/%s/%s" % (name, sys.argv[1]) for name in ("memory", "cpu", "pids", "devices")]:
        with open(group + "/cgroup.procs", "w") as procs:
            procs.write("0")
    {"memory": memory, "pids": pids, "devices": devices, "cpu": cpu}[sys.argv[2]]()
    os._exit(0)
status = os.waitpid(child, 0)[1]
if os.WIFSIGNALED(status):
    print("killed by signal %d" % os.WTERMSIG(status))
