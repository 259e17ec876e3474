# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The door to systemd where it is process 1: its units are looked at and changed by its own command, systemctl(1).

One call serves any number of units. What systemd answers to a refused call is handed on in its own words. Nothing here decides.
"""

from __future__ import annotations

import os

from ..errors import BulkheadError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

# How long a call may take, in seconds: stopping a unit waits for its processes, for each as long as the unit says.
_PATIENCE = 600.0
# How long the journal may take to write down what it was told, for who only looks, and to be searched.
_SYNC_PATIENCE, _READ_PATIENCE = 3.0, 20.0
_ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8", "SYSTEMD_COLORS": "0", "SYSTEMD_PAGER": ""}


def booted() -> bool:
    """Whether systemd is process 1 (sd_booted(3))."""
    return os.path.isdir("/run/systemd/system")


def _run(command: list[str], problem: str, hint: str = "", patience: float = _PATIENCE) -> str:
    """Return the output of a command, which may take `patience` seconds. Raises BulkheadError with its words where it fails."""
    import subprocess

    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=patience, check=False, env=_ENVIRONMENT)
    except OSError as error:
        raise BulkheadError.from_os(problem, error, target=command[0]) from None
    except subprocess.TimeoutExpired:
        raise BulkheadError("%s: systemd did not answer within %d seconds" % (problem, patience), target=" ".join(command)) from None
    if done.returncode:
        words = " ".join(done.stderr.decode("utf-8", "replace").split())
        raise BulkheadError("%s: systemd answered: %s" % (problem, words or "status %d" % done.returncode), target=" ".join(command[:40]), hint=hint)
    return done.stdout.decode("utf-8", "replace")


def show(units: Iterable[str], properties: Iterable[str]) -> dict[str, dict[str, str]]:
    """{unit: {property: text}} of units by name or pattern; those of a list are joined by newlines. A pattern finds loaded units only.

    A name that systemd does not know has LoadState "not-found".
    """
    asked = sorted(set(units))
    if not asked:
        return {}
    text = _run(
        ["systemctl", "show", "--all", "--property", ",".join(["Id", *properties]), "--", *asked], "the units %s could not be read" % ", ".join(asked[:5])
    )
    found: dict[str, dict[str, str]] = {}
    for block in text.split("\n\n"):
        unit: dict[str, str] = {}
        for line in block.splitlines():
            name, _equals, value = line.partition("=")
            unit[name] = unit[name] + "\n" + value if name in unit else value
        if unit.get("Id"):
            found[unit["Id"]] = unit
    return found


def reload() -> None:
    """Have systemd read its unit files again, which also gives every unit's control group what they say."""
    _run(["systemctl", "daemon-reload"], "systemd could not read its units again")


def start(units: list[str]) -> None:
    """Start units, and wait until each is up or has failed."""
    _run(["systemctl", "start", "--", *units], "%s could not be started" % ", ".join(units))


def stop(units: list[str], wait: bool = True, patience: float = _PATIENCE) -> None:
    """Stop units with all that needs them; wait until they are gone, at most `patience` seconds, or only begin to stop them."""
    options = [] if wait else ["--no-block"]
    _run(["systemctl", "stop", *options, "--", *units], "%s could not be stopped" % ", ".join(units), patience=patience)


def forget_failures(units: list[str]) -> None:
    """Forget that units failed, and how often they were restarted; a unit that is not loaded has nothing to forget."""
    try:
        _run(["systemctl", "reset-failed", "--", *units], "reset-failed")
    except BulkheadError:
        pass


def freeze(unit: str, frozen: bool) -> None:
    """Freeze or thaw a unit, and wait until it is so."""
    _run(["systemctl", "freeze" if frozen else "thaw", "--", unit], "%s could not be %s" % (unit, "frozen" if frozen else "thawed"))


def journal(command: list[str], patience: float = _SYNC_PATIENCE) -> str:
    """Return what a journalctl(1) command prints; empty where there is no journal.

    What was said so far gets there first, if it does so within `patience` seconds: behind a service that floods the journal
    that takes minutes.
    """
    try:
        _run(["journalctl", "--sync"], "the journal could not be brought up to date", patience=patience)
    except BulkheadError:
        pass
    try:
        return _run(command, "the journal could not be read", patience=_READ_PATIENCE)
    except BulkheadError:
        return ""


def complaints(unit: str, since: float) -> str:
    """What systemd itself said about a unit in the journal since a moment (time.time()): warnings and worse, the last few."""
    command = ["journalctl", "-q", "-o", "cat", "-b", "-p", "warning", "-n", "3", "--since", "@%d" % since, "_PID=1", "UNIT=" + unit]
    try:
        return " / ".join(_run(command, "the journal could not be read").splitlines())
    except BulkheadError:
        return ""
