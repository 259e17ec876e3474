# SPDX-FileCopyrightText: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Lays down every example that ansible-doc prints, a file with a task each: lay_down.py DIRECTORY [NAME...]

The play in the README of each role is laid down too, as it is printed there. With names, those modules and filters only.
Prints a list of {of, name, file}, and of {role, file}, as JSON.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path


def ask(*words):
    program = Path(sys.executable).parent / "ansible-doc"
    return json.loads(subprocess.run([str(program if program.exists() else program.name), "--json", *words], check=True, capture_output=True, text=True).stdout)


def tasks(text):
    """The text of each task, word for word."""
    return [part for part in re.split(r"^(?=- )", text, flags=re.MULTILINE) if part.startswith("- ")]


def documented(directory, only):
    for kind in ("module", "filter"):
        names = sorted(ask("--list", "--type", kind, "bulkhead.linux"))
        wanted = [name for name in names if not only or name.rpartition(".")[2] in only]
        for name, found in sorted(ask("--type", kind, *wanted).items() if wanted else ()):
            examples = tasks(found["examples"] or "")
            if not examples:
                sys.exit("%s has no examples" % name)
            for number, text in enumerate(examples, 1):
                path = directory / ("%s-%d.yml" % (name, number))
                path.write_text("---\n" + text, encoding="utf-8")
                yield {"of": name.rpartition(".")[2], "name": text.splitlines()[0], "file": str(path)}


def of_roles(directory):
    names = sorted(ask("--list", "--type", "role", "bulkhead.linux"))
    for name, found in ask("--type", "role", *names).items():
        readme = Path(found["path"]) / "roles" / name.rpartition(".")[2] / "README.md"
        play = re.search(r"^    - hosts: .*\n(?:     .*\n|\n(?=     ))*", readme.read_text(encoding="utf-8") + "\n", re.MULTILINE)
        if not play:
            sys.exit("%s has no play" % readme)
        path = directory / (readme.parent.name + ".yml")
        path.write_text("---\n" + re.sub(r"^    ", "", play.group(0), flags=re.MULTILINE), encoding="utf-8")
        yield {"role": readme.parent.name, "file": str(path)}


def main(directory, *only):
    found = list(documented(Path(directory), only))
    found += [] if only else of_roles(Path(directory))
    print(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
