# SPDX-FileCopyrightText: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""On a kernel with quotas: CPU time of quotas set by the core and by its peers; prints it as JSON.

inside.py users|trees|subvolumes...; users need a kernel with quotas on ext4, the others do not.

Each of the core's turns runs in a process of its own, which has imported the core before the clock starts, as a module has.
The clock counts user and system time of this process and of the programs that it starts.
"""

from __future__ import annotations

import json
import os
import resource
import statistics
import subprocess
import sys
from pathlib import Path

SOURCES = Path(__file__).resolve().parents[3]
sys.path[:0] = [str(SOURCES / "plugins/module_utils")]

USERS = 5000
LOOP = 100  # of setquota, one process for each user; the time for all is worked out
FILES = 10000
VOLUMES = 100
ROUNDS = 3
BEGIN = Path("/tmp/bulkhead-bench-quota")
# It says of each file that only directories hand a project on, which is no failure.
CHATTR = "chattr -R -p %d %s && { chattr -R +P %s 2>/dev/null || :; }"


def run(command: str) -> None:
    subprocess.run(["sh", "-ec", command], check=True, stdout=subprocess.DEVNULL)


def cpu() -> float:
    return sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))


def timed(work) -> float:
    """The CPU seconds of one turn, in a process of its own."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        before = cpu()
        try:
            work()
            os.write(writing, b"%.6f" % (cpu() - before))
        finally:
            os._exit(0)
    os.close(writing)
    os.waitpid(pid, 0)
    said = os.read(reading, 64)
    os.close(reading)
    return float(said)


def converge(*items: dict) -> None:
    """What a module does with these: observe, plan, apply, and look again."""
    from _runtime.quota.subject import Quotas

    subject = Quotas()
    objects = [subject.parse(item) for item in items]
    plan = subject.plan(objects)
    if plan.steps:
        subject.apply(plan)
        assert not subject.plan(objects).steps
    subject.finish()


def check(place: Path, *identities: int) -> None:
    """Both have done the work: the kernel has the same limits for these."""
    from _runtime.kernel import quotactl

    where = quotactl.Place(os.open(place, os.O_RDONLY), "")
    assert {quotactl.get(where, quotactl.USER, one)[1:3] for one in identities} == {(2 << 20, 1 << 20)}
    where.close()


def mount(name: str, make: str, options: str) -> Path:
    place = BEGIN / name
    place.mkdir(parents=True)
    run("truncate -s 600M %s.img; %s %s.img; mount -o loop,%s %s.img %s" % (place, make, place, options, place, place))
    return place


def users(place: Path) -> dict[str, list[float]]:
    """Limits of thousands of users, each round with others."""
    found: dict[str, list[float]] = {name: [] for name in ("core", "same", "batch", "loop")}
    for number in range(ROUNDS):
        ids = range(10000 * (number + 1), 10000 * (number + 1) + USERS)
        asked = [{"path": str(place), "type": "user", "id": str(one), "block_soft": "1M", "block_hard": "2M"} for one in ids]
        found["core"].append(timed(lambda asked=asked: converge(*asked)))
        found["same"].append(timed(lambda asked=asked: converge(*asked)))
        lines = "".join("%d 1024 2048 0 0\n" % (one + 100000) for one in ids)
        (BEGIN / "batch").write_text(lines)
        found["batch"].append(timed(lambda: run("setquota -u -b %s < %s/batch" % (place, BEGIN))))
        check(place, ids[-1], ids[-1] + 100000)
        some = [one + 200000 for one in list(ids)[:LOOP]]
        forked = timed(lambda some=some: [subprocess.run(["setquota", "-u", str(one), "1024", "2048", "0", "0", str(place)], check=True) for one in some])
        found["loop"].append(forked * USERS / LOOP)
    return found


def trees(place: Path) -> dict[str, list[float]]:
    """A tree of ten thousand files put into a project."""
    from _runtime.quota import tree

    def make() -> Path:
        top = place / "tree"
        for number in range(50):
            (top / str(number)).mkdir(parents=True)
            for inner in range(FILES // 50):
                (top / str(number) / str(inner)).touch()
        return top

    found: dict[str, list[float]] = {name: [] for name in ("core", "same", "chattr")}
    for number in range(ROUNDS):
        top = make()
        found["core"].append(timed(lambda top=top, number=number: tree.tag(str(top), 1000 + number, True)))
        found["same"].append(timed(lambda top=top, number=number: tree.observe(str(top), 1000 + number)))
        assert tree.observe(str(top), 1000 + number).missing == 0
        found["chattr"].append(timed(lambda top=top, number=number: run(CHATTR % (2000 + number, top, top))))
        run("rm -rf %s" % top)
    return found


def subvolumes(place: Path) -> dict[str, list[float]]:
    """Limits of subvolumes of btrfs."""
    run("btrfs quota enable %s; for n in $(seq %d); do btrfs subvolume create %s/$n; done" % (place, VOLUMES, place))
    found: dict[str, list[float]] = {name: [] for name in ("core", "same", "loop")}
    for number in range(ROUNDS):
        asked = [{"path": "%s/%d" % (place, one + 1), "type": "subvolume", "block_hard": "%dM" % (number + 5)} for one in range(VOLUMES)]
        found["core"].append(timed(lambda asked=asked: converge(*asked)))
        found["same"].append(timed(lambda asked=asked: converge(*asked)))
        loop = "for n in $(seq %d); do btrfs qgroup limit %dM %s/$n; done" % (VOLUMES, number + 50, place)
        found["loop"].append(timed(lambda loop=loop: run(loop)))
    return found


def main(what: list[str]) -> None:
    from _runtime.quota import subject, tree  # noqa: F401  (imported before any clock starts)

    found = {}
    BEGIN.mkdir()
    try:
        for name in what:
            work, *how = WORK[name]
            found[name] = work(mount(name, *how))
    finally:
        run("umount %s/*/ || :; rm -rf %s" % (BEGIN, BEGIN))
    print(json.dumps({what: {who: statistics.median(times) for who, times in found[what].items()} for what in found}))


WORK = {
    "users": (users, "mkfs.ext4 -q -O quota -E quotatype=usrquota", "usrquota"),
    "trees": (trees, "mkfs.xfs -q", "rw"),
    "subvolumes": (subvolumes, "mkfs.btrfs -q", "rw"),
}

if __name__ == "__main__":
    main(sys.argv[1:])
