# SPDX-FileCopyrightText: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Lays down every example that ansible-doc prints, a file with a task each: lay_down.py DIRECTORY [NAME...]

The plays in the READMEs and in the guides of docs/docsite are laid down too, as they are printed there. With names, those
modules, filters and guides only. Prints a list as JSON: {of, name, file} for a task; {plays, inventory, files, commands} for
a guide, and for the READMEs together, with its plays in their order and the commands of the node.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import textwrap
from pathlib import Path

# A code block of a guide: its language, its options, and the lines of it.
BLOCK = re.compile(r"^\.\. code-block:: (\S+)\n((?:   :.*\n)*)((?:\n|   .*\n)+)", re.MULTILINE)


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


def collection():
    """Where the collection is, and the names of its roles."""
    names = sorted(ask("--list", "--type", "role", "bulkhead.linux"))
    found = ask("--type", "role", *names)
    return Path(found[names[0]]["path"]), [name.rpartition(".")[2] for name in names]


def dedented(block):
    """An indented block as a file."""
    return "---\n" + textwrap.dedent(block).strip("\n") + "\n"


def lay(directory, name, text):
    path = directory / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return str(path)


def of_roles(directory, top, roles):
    for name in roles:
        readme = top / "roles" / name / "README.md"
        found = re.search(r"^    - hosts: .*\n(?:     .*\n|\n(?=     ))*", readme.read_text(encoding="utf-8") + "\n", re.MULTILINE)
        if not found:
            sys.exit("%s has no play" % readme)
        yield lay(directory, name + ".yml", dedented(found.group(0)))


def of_readme(directory, top):
    """The plays in the README of the collection; what else is in YAML there is an inventory, or a task."""
    blocks = re.findall(r"^```yaml\n(.*?)^```", (top / "README.md").read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    plays = [block for block in blocks if re.search(r"^- .*\n  hosts:", block, re.MULTILINE)]
    if not plays:
        sys.exit("README.md has no play")
    return [lay(directory, "readme-%d.yml" % number, dedented(text)) for number, text in enumerate(plays, 1)]


def of_guide(directory, guide):
    """The files of a guide, by their captions, and the commands of the node."""
    found = {"plays": guide.stem, "inventory": "localhost,", "files": [], "commands": []}
    for kind, options, block in BLOCK.findall(guide.read_text(encoding="utf-8") + "\n"):
        if kind == "console":
            found["commands"] += re.findall(r"^ *\$ (bulkhead .*)", block, re.MULTILINE)
        elif kind == "yaml+jinja":
            path = lay(directory, "%s/%s" % (guide.stem, re.search(r":caption: (\S+)", options).group(1)), dedented(block))
            if path.endswith("/inventory.yml"):
                found["inventory"] = path
            else:
                found["files"].append(path)
    if not found["files"]:
        sys.exit("%s has no play" % guide)
    return found


def of_guides(directory, top, only):
    guides = sorted((top / "docs/docsite/rst").glob("guide_*.rst"))
    if not guides:
        sys.exit("there are no guides in %s" % top)
    for guide in guides:
        if not only or guide.stem in only:
            yield of_guide(directory, guide)


def main(directory, *only):
    directory = Path(directory)
    found = list(documented(directory, only))
    top, roles = collection()
    if not only:
        files = [*of_roles(directory, top, roles), *of_readme(directory, top)]
        found.append({"plays": "READMEs", "inventory": "localhost,", "files": files, "commands": []})
    found += of_guides(directory, top, only)
    print(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
