# SPDX-FileCopyrightText: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Writes what the documentation of roles takes over from elsewhere: role_docs.py

A workload of the role `workload` has every option of the modules `container_run` and `cgroup_group`; they are copied from the
modules' documentation into the role's meta/argument_specs.yml. The tables of variables in the READMEs of roles are made from
meta/argument_specs.yml. `make role-docs` runs this; a unit test fails where the files are not what this would write.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import yaml
from ansible_collections.bulkhead.linux.plugins.doc_fragments.container import ModuleDocFragment as Container
from ansible_collections.bulkhead.linux.plugins.modules import cgroup_group

ROOT = Path(__file__).resolve().parent.parent
SPEC = "roles/%s/meta/argument_specs.yml"
README = "roles/%s/README.md"
ROLES = ("node", "workload", "rdt", "cgroups")
# Of a group, beside its limits: the role has one overcommit for all workloads, and its own words for name and state.
NOT_OF_GROUPS = ("name", "state", "overcommit")
STATE = (
    "Of one that is V(absent), the container and the group of that name are removed. A workload without a command is V(started), which"
    " means that the group is there, or V(absent)."
)
COMMAND = "With it, the workload is a container. Without it, the workload is a control group."
BEGIN, END = "          # From here: written by .ci/role_docs.py.\n", "          # To here.\n"
TABLE = "<!-- variables: written by .ci/role_docs.py -->\n", "<!-- end of variables -->\n"


class _Dumper(yaml.SafeDumper):
    """Indents the items of lists, and repeats what is the same instead of referring to it."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)

    def ignore_aliases(self, data: object) -> bool:
        return True


def plain(text: str) -> str:
    """A description where the options of the module are not those of the document: they become plain code."""
    text = re.sub(r"\bO\(ignore:([^)]*)\)", r"C(\1)", text)
    return re.sub(r"\bR?[OV]+\(([\w.\[\]]+(?:=[^)]*)?)\)", lambda match: match.group(0) if match.group(0)[0] == "V" else "C(%s)" % match.group(1), text)


def option(documented: dict[str, Any]) -> dict[str, Any]:
    """An option of a module as an option of a role."""
    found = {key: value for key, value in documented.items() if key not in ("aliases", "suboptions", "version_added")}
    description = documented["description"]
    found["description"] = [plain(line) for line in description] if isinstance(description, list) else plain(description)
    if "suboptions" in documented:
        found["options"] = {name: option(inner) for name, inner in sorted(documented["suboptions"].items())}
    return found


def suboptions(documentation: str, plural: str) -> dict[str, dict[str, Any]]:
    """The options of one object in the list of a module."""
    documented: dict[str, Any] = yaml.safe_load(documentation)["options"][plural]["suboptions"]
    return {name: option(entry) for name, entry in documented.items()}


def with_lines(documented: dict[str, Any], *lines: str) -> dict[str, Any]:
    """An option with more in its description."""
    description = documented["description"]
    return {**documented, "description": [*(description if isinstance(description, list) else [description]), *lines]}


def workload() -> dict[str, dict[str, Any]]:
    """The options of a workload: those of a container, and those that only a group has."""
    found = suboptions(Container.DOCUMENTATION, "containers")
    group = suboptions(cgroup_group.DOCUMENTATION, "groups")
    for name in found["resources"]["options"]:
        group.pop(name, None)
    for name, documented in group.items():
        if name not in (*NOT_OF_GROUPS, *found):
            found[name] = with_lines(documented, "For a workload without a command.")
    found["name"] = with_lines(found["name"], "A workload without a command may be a path, such as V(batch/night).")
    found["state"] = with_lines(found["state"], STATE)
    found["command"] = with_lines(found["command"], COMMAND)
    return found


def spec_text(text: str) -> str:
    """The argument spec of the role `workload` with the options as they are now."""
    dumped = yaml.dump(workload(), Dumper=_Dumper, sort_keys=False, width=120, allow_unicode=True)
    lines = "".join("          %s\n" % line if line else "\n" for line in dumped.splitlines())
    before, _begin, rest = text.partition(BEGIN)
    _old, _end, after = rest.partition(END)
    if not after:
        raise SystemExit("%s lacks the lines that say where the options of a workload begin and end" % (SPEC % "workload"))
    return before + BEGIN + lines + END + after


def words(text: str) -> str:
    """Ansible's markup as Markdown."""
    text = re.sub(r"\b[CVOPE]\((?:ignore:)?([^)]*)\)", r"`\1`", text)
    text = re.sub(r"\bR?V\(([^)]*)\)", r"`\1`", text)
    text = re.sub(r"\bM\(bulkhead\.linux\.([^)]*)\)", r"`\1`", text)
    return re.sub(r"`bulkhead\.linux\.\w+#\w+:([^`]*)`", r"`\1`", text).replace("|", "\\|")


def table(options: dict[str, Any]) -> str:
    """The variables of a role as a table."""
    lines = ["| variable | type | default | |", "|---|---|---|---|"]
    for name, entry in options.items():
        first = entry["description"] if isinstance(entry["description"], str) else entry["description"][0]
        kind = "list of %s" % entry["elements"] if entry.get("elements") else entry["type"]
        default = "`%s`" % yaml.safe_dump(entry["default"], default_flow_style=True).replace("\n...", "").strip() if "default" in entry else ""
        choices = " One of %s." % ", ".join("`%s`" % choice for choice in entry["choices"]) if len(entry.get("choices", ())) in range(1, 6) else ""
        lines.append("| `%s` | %s | %s | %s%s |" % (name, kind, default, words(first), choices))
    return "\n".join(lines) + "\n"


def readme_text(text: str, options: dict[str, Any]) -> str:
    """A README with its table as it is now."""
    begin, end = TABLE
    before, found, rest = text.partition(begin)
    _old, _end, after = rest.partition(end)
    if not found or not _end:
        raise SystemExit("a README lacks %r or %r" % (begin, end))
    listed = options.get("workload_list", {}).get("options")
    more = "\nA workload takes: %s.\n" % ", ".join("`%s`" % name for name in listed) if listed else ""
    return before + begin + table(options) + more + end + after


def files() -> dict[Path, str]:
    """{file: what must be in it}"""
    wanted: dict[Path, str] = {}
    for role in ROLES:
        path = ROOT / (SPEC % role)
        text = path.read_text(encoding="utf-8")
        if role == "workload":
            wanted[path] = text = spec_text(text)
        options = yaml.safe_load(text)["argument_specs"]["main"]["options"]
        readme = ROOT / (README % role)
        wanted[readme] = readme_text(readme.read_text(encoding="utf-8"), options)
    return wanted


def main() -> int:
    for path, text in files().items():
        if path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
            print("written: %s" % path.relative_to(ROOT))
    return 0


if __name__ == "__main__":
    sys.exit(main())
