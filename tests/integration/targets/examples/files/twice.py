# SPDX-FileCopyrightText: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs playbooks of one play each, each twice: twice.py PYTHON INVENTORY PLAYBOOK...

PYTHON is the interpreter of the modules. Fails where a playbook fails, does nothing, or has something left to do the second
time, and prints what ansible-playbook said. One run of ansible-playbook takes all of them: starting it takes longest.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

# These are a change each time, as their documentation says.
EACH_TIME = ("state: restarted", "wait: true")


def main(python, inventory, *playbooks):
    program = str(Path(sys.executable).parent / "ansible-playbook")
    options = ["--inventory", inventory, "--connection", "local", "--forks", "1", "--extra-vars", "ansible_python_interpreter=" + python]
    environment = {**os.environ, "ANSIBLE_GATHERING": "smart", "ANSIBLE_NOCOLOR": "1"}
    command = [program, *options, *(path for path in playbooks for _time in range(2))]
    ran = subprocess.run(command, check=False, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    print(ran.stdout)
    if ran.returncode:
        return ran.returncode
    plays = re.split(r"^PLAY \[", ran.stdout, flags=re.MULTILINE)[1:]
    if len(plays) != 2 * len(playbooks):
        return "%d playbooks, run twice, had %d plays" % (len(playbooks), len(plays))
    for path, first, second in zip(playbooks, plays[::2], plays[1::2]):
        if not re.search("^(ok|changed): ", first, re.MULTILINE):
            return "%s did nothing" % path
        if re.search("^changed: ", second, re.MULTILINE) and not any(word in Path(path).read_text(encoding="utf-8") for word in EACH_TIME):
            return "%s had something left to do the second time" % path
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
