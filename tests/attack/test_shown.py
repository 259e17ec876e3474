# SPDX-FileCopyrightText: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Programs inside can look up the limits that hold for them, and what they write there lifts nothing."""

from __future__ import annotations

# The share of the CPUs that a runtime computes, as the JVM does it: quota by period.
SHARE = """
for file in /sys/fs/cgroup/cpu.max /sys/fs/cgroup/cpu*/cpu.cfs_quota_us; do
    [ -e $file ] || continue
    case $file in *quota_us) echo $(cat $file $(dirname $file)/cpu.cfs_period_us) ;; *) cat $file ;; esac
    break
done
"""
MEMORY = """
for file in /sys/fs/cgroup/memory.max /sys/fs/cgroup/memory/memory.stat; do
    [ -e $file ] || continue
    case $file in *stat) sed -n 's/^hierarchical_memory_limit //p' $file ;; *) cat $file ;; esac
    break
done
"""


def share(text):
    quota, period = text.split()
    return None if quota in ("max", "-1") else int(quota) / int(period)


def limits(node):
    return share(node.exec("web", ["sh", "-c", SHARE])["stdout"]), int(node.exec("web", ["sh", "-c", MEMORY])["stdout"])


def test_limits_are_seen_and_followed(node):
    """At the start, when they change while it runs, and when they are lifted."""
    for cpu, memory in ((0.5, "64M"), (1.5, "128M"), (0.25, "96M"), ({"quota": "30ms", "period": "50ms"}, "96M")):
        web = {"name": "web", "command": ["sleep", "1000"], "resources": {"cpu": {"max": cpu}, "memory": {"max": memory}}}
        node.converge(web)
        assert limits(node) == (cpu if isinstance(cpu, float) else 0.6, int(memory[:-1]) << 20)
        assert node.converge(web)[0] == 0
    node.converge({**web, "resources": {"cpu": {"max": "max"}, "memory": {"max": "96M"}}})
    assert limits(node) == (None, 96 << 20)


def test_limit_that_comes_later_is_seen(node):
    node.serve("web")
    assert share(node.exec("web", ["sh", "-c", SHARE])["stdout"] or "max 0") is None
    node.converge({"name": "web", "resources": {"cpu": {"max": 0.5}, "memory": {"max": "64M"}}})
    assert limits(node) == (0.5, 64 << 20)


def test_throttling_is_counted_by_the_limit(node):
    """The copy, whose period is longer, does not throttle before the limit does."""
    report = node.run("busy", "timeout 2 sh -c 'while :; do :; done'; cat /sys/fs/cgroup/cpu*/cpu.stat", resources={"cpu": {"max": 0.2}})
    copied = dict(line.split() for line in report["output"].splitlines() if line.startswith("nr_throttled"))
    assert int(copied["nr_throttled"]) <= 2, report["output"]
