# SPDX-FileCopyrightText: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What there is on the node of a container, to be compared with what is there later: left.py PREFIX CONTAINER"""

from __future__ import annotations

import json
import os
import sys

prefix, name = sys.argv[1:]
state = "%s/run/bulkhead/containers/%s" % (prefix, name)
core = prefix + "/usr/local/libexec"
with open(state + "/state.json", encoding="utf-8") as file:
    record = json.load(file)


def is_command(pid):
    """Whether it is a command of somebody who has entered a container of this node."""
    try:
        with open("/proc/%s/comm" % pid, "rb") as title, open("/proc/%s/cmdline" % pid, "rb") as words:
            return title.read() == b"bulkhead-exec\n" and core.encode() in words.read()
    except OSError:
        return False


entered = [pid for pid in os.listdir("/proc") if pid.isdigit() and is_command(pid)]
found = {
    "processes on the node": entered,
    "descriptors of the supervisor": len(os.listdir("/proc/%d/fd" % record["monitor"]["pid"])),
    "files of its state": sorted(os.listdir(state)),
    "files of the core": sorted(os.listdir(core)),
    "processes inside": sum(1 for pid in os.listdir("/proc/%d/root/proc" % record["pid"]) if pid.isdigit()),
    "files inside": sorted(
        os.path.join(top, file)
        for place in ("tmp", "root")
        for top, _directories, files in os.walk("/proc/%d/root/%s" % (record["pid"], place))
        for file in files
        if ".ansible_async" not in top
    ),
}
print(json.dumps(found, sort_keys=True))
