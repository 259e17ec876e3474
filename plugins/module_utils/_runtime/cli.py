# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The node's command, `bulkhead`: the way into the packed core."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

USAGE = """usage: bulkhead VERB [--json]

What Ansible has put on this machine with bulkhead.linux, seen and brought back without Ansible.

  status   everything that is managed here: what is desired, what there is, and whether it is in effect
  drift    every difference between the two, as the kernel writes that would mend it
  replay   do those writes; what boot runs. Of one kind alone: replay KIND
  exec     a command in a running container: bulkhead exec --help

  --json   of the first three, the same as data, on the standard output

Desired state is kept in %s, a file for each kind; what the last
replay did is in %s. All verbs need root.

Exit status: 0 all is as desired, 1 there is drift (status, drift), 2 something failed and is named on the standard error.
"""


def main(arguments: list[str]) -> int:
    """Run one verb; what a verb needs is imported only for it."""
    if len(arguments) > 1 and arguments[0] == "helper":
        from .container import helper

        return helper.main(int(arguments[1]), "bridges" in arguments[2:], "streams" in arguments[2:])
    if len(arguments) == 2 and arguments[0] == "run-unit":
        from .container import enter

        return enter.main(arguments[1])
    if len(arguments) == 2 and arguments[0] == "unit":
        from .container import unit

        return unit.main(arguments[1])
    if arguments and arguments[0] in ("exec", "exec-on", "exec-here"):
        from .container import session

        begin = {"exec": session.begin, "exec-on": session.main, "exec-here": session.here}
        return begin[arguments[0]](arguments[1:])
    import os
    import sys

    from . import desired, kinds

    words = [word for word in arguments if word != "--json"]
    verb = {"status": _status, "drift": _drift, "replay": _replay}.get(words[0]) if words else None
    if words[1:] and (words[0] != "replay" or words[2:] or words[1] not in kinds.KINDS):
        verb = None
    if verb is None:
        asked = words in (["--help"], ["-h"], ["help"])
        (sys.stdout if asked else sys.stderr).write(USAGE % (desired.DIRECTORY, desired.RUN + "/replay.json"))
        return 0 if asked else 2
    if os.geteuid() != 0:
        sys.stderr.write("bulkhead: %s needs root\n" % words[0])
        return 2
    from .errors import BulkheadError

    try:
        return verb("--json" in arguments, *words[1:])
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 2
    except BulkheadError as error:
        sys.stderr.write("bulkhead: %s\n" % error)
        return 2


def _tell(text: str) -> None:
    import sys

    sys.stdout.write(text + "\n")


def _print(data: dict[str, Any]) -> None:
    import json

    _tell(json.dumps(data, indent=1, sort_keys=False))


def _name_problems(found: dict[str, Any]) -> None:
    """What failed and what is to be known, on the standard error."""
    import sys

    for warning in found.get("warnings") or []:
        sys.stderr.write("bulkhead: %s\n" % warning)
    for failure in found["failures"]:
        sys.stderr.write("bulkhead: %s%s: %s\n" % (failure["kind"], " " + failure["name"] if failure["name"] else "", failure["problem"]))


def _replay(as_json: bool, only: str = "") -> int:
    import os
    import sys

    from . import replay

    # To the journal, a failure is an error and all else a notice (sd-daemon(3)).
    levels = ("<5>", "<3>") if "JOURNAL_STREAM" in os.environ else ("", "")

    def say(text: str, failed: bool) -> None:
        sys.stderr.write("%sbulkhead: %s%s\n" % (levels[failed], "FAILED: " if failed else "", text))

    report = replay.replay(say, only)
    if as_json:
        _print(report)
    return 2 if report["failures"] else 0


def _drift(as_json: bool) -> int:
    from . import views

    found = views.drift()
    if as_json:
        _print(found)
    else:
        for difference in found["drift"]:
            _tell(views.line_of(difference))
        for one in found.get("waiting", []):
            _tell("%s: waiting (%s %s)" % (one["problem"], one["kind"], one["name"]))
        if not found["drift"] and not found["failures"]:
            _tell("no drift")
    _name_problems(found)
    return 2 if found["failures"] else 1 if found["drift"] else 0


def _status(as_json: bool) -> int:
    from . import views

    found = views.status()
    if as_json:
        _print(found)
    else:
        for kind, objects in found["kinds"].items():
            _tell(kind)
            width = max([len(one["name"]) for one in objects], default=0)
            for one in objects:
                _tell("  %-*s  %-10s  %s" % (width, one["name"], _word(one), _detail(one)))
        if not found["kinds"]:
            _tell("nothing is managed here")
        last = found["last_replay"]
        if last:
            _tell("last replay: %s, %s s, %d failed" % (last["time"], last["seconds"], len(last["failures"] or [])))
    _name_problems(found)
    return 2 if found["failures"] else 1 if found["drift"] else 0


def _word(one: dict[str, Any]) -> str:
    if one["problem"]:
        return "FAILED"
    if not one["kept"]:
        return "not kept"
    if one["left_alone"]:
        return str(one.get("left_word", "ended"))
    return "in effect" if one["in_effect"] else "DRIFT"


def _detail(one: dict[str, Any]) -> str:
    """One line about an object: its state, what it is limited to, and what is wrong."""
    from . import views

    if one["problem"]:
        return str(one["problem"])
    actual = one["actual"]
    parts = []
    if "status" in actual:
        parts.append("%s pid %d" % (actual["status"], actual["pid"]) if actual.get("pid") else str(actual["status"]))
    if actual.get("summary") and actual.get("effective"):
        parts.append(str(actual["summary"]))
    elif actual.get("effective"):
        parts.append(views.limits_of(actual["effective"]))
    if one["changes"]:
        parts.append("(%d differences: bulkhead drift)" % len(one["changes"]))
    if one.get("left_alone"):
        parts.append("(%s)" % one["left_alone"])
    return " ".join(parts)


def the_rest() -> None:
    """What no verb needs, but a module may: so that every payload that holds this file holds the same core, all of it."""
    from . import finder  # noqa: F401
    from .cgroup import canonical  # noqa: F401
    from .container import bandwidth as limits  # noqa: F401
    from .container import commands  # noqa: F401
    from .quota import info as quota_info  # noqa: F401
    from .quota import private  # noqa: F401
    from .resctrl import info  # noqa: F401
    from .tc import info as bandwidth  # noqa: F401
