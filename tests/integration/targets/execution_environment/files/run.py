# SPDX-FileCopyrightText: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs a playbook with ansible-runner and prints what became of it as JSON: run.py DIRECTORY IDENT PLAYBOOK"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import ansible_runner


def ran(directory, ident, playbook):
    os.environ["PATH"] = "%s:%s" % (Path(sys.executable).parent, os.environ["PATH"])
    run = ansible_runner.run(private_data_dir=directory, ident=ident, playbook=playbook, quiet=True)
    events = list(run.events)
    results = [(event["event"], event["event_data"]["res"]) for event in events if "res" in event.get("event_data", {})]
    return {
        "rc": run.rc,
        "status": run.status,
        "stats": run.stats,
        "events": sorted({event["event"] for event in events}),
        "writes": [write for _name, result in results for write in result.get("writes", ())],
        "errors": [result["error"] for name, result in results if name == "runner_on_failed" and "error" in result],
        "said": run.stdout.read()[-4000:],
    }


if __name__ == "__main__":
    print(json.dumps(ran(*sys.argv[1:])))
