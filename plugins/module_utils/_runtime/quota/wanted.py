# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""One quota as it is asked for, from its options."""

from __future__ import annotations

import grp
import os
import pwd

from .. import units
from ..errors import InvalidInput
from ..foreseen import Missing
from ..kernel import quotactl
from . import projects

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

USER, GROUP, PROJECT, SUBVOLUME = "user", "group", "project", "subvolume"
TYPES = (USER, GROUP, PROJECT, SUBVOLUME)
KINDS = {USER: quotactl.USER, GROUP: quotactl.GROUP, PROJECT: quotactl.PROJECT}
SIZES = ("block_soft", "block_hard")
COUNTS = ("inode_soft", "inode_hard")
LIMITS = (*SIZES, *COUNTS)
GRACES = ("block_grace", "inode_grace")
FULL, SIMPLE = "full", "simple"

# (uid_t)-1 and its like mean "none" to the kernel (include/linux/uidgid.h).
_LARGEST_ID = 0xFFFFFFFE
_LARGEST = (1 << 63) - 1
_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
# Both quota formats and XFS keep a grace time in 32 bits (struct v2_disk_dqinfo,
# fs/quota/quotaio_v2.h).
_LONGEST_GRACE = 0xFFFFFFFF


class Quota:
    """One desired quota.

    id: None where it is found out by the directory, and for what concerns a whole type. name: of a
    project that is to be made, where the id was given as a name that /etc/projid does not have.
    limits: {option: bytes or inodes}, 0 for no limit, of the options that were given; graces:
    {option: seconds}.
    """

    def __init__(self, path: str, kind: str) -> None:
        self.path = path
        self.type = kind
        self.id: int | None = None
        self.name = ""
        self.directory = ""
        self.present = True
        self.limits: dict[str, int] = {}
        self.graces: dict[str, int] = {}
        self.asked: dict[str, Any] = {}
        self.enable = False
        self.accounting: str | None = None
        # Whether the directory is made by a step that comes before those of this quota.
        self.made_later = False
        # Whether only its directory is looked at: what is in it was made in it, and stays as made.
        self.top_only = False
        # Whether nobody who writes into the subvolume can make another one in it.
        self.sealed = False
        # Whether this is check mode, in which what is missing may be made before it is needed.
        self.checking = False
        # What is wrong with a name that nobody has.
        self.nobody: Missing | None = None
        self._called = ""

    @property
    def of_all(self) -> bool:
        """Whether it concerns the whole type, as grace times do, and no single id."""
        return self.type != SUBVOLUME and self.id is None and not self.directory and not self.name

    @property
    def called(self) -> str:
        """What it is called in messages."""
        return self._called or called(
            self.path,
            self.type,
            self.directory,
            self.name or ("" if self.id is None else str(self.id)),
        )

    def complete(self) -> None:
        """All that names it is known: its name is put together once, as it is asked for often."""
        self._called = self.called


def called(path: str, kind: str, directory: str, identity: str) -> str:
    """The one name of a quota. The directory stands in brackets, so that no name begins with
    another one and a slash.
    """
    return "%s: %s%s" % (
        path,
        kind,
        " (%s)" % directory if directory else " " + identity if identity else "",
    )


def parse(options: dict[str, Any], checking: bool = False) -> Quota:
    """One quota from its options. Raises InvalidInput."""
    quota = Quota(path_of(options.get("path"), "path"), _type(options))
    quota.checking = checking
    quota.present = (options.get("state") or "present") == "present"
    quota.enable = bool(options.get("enable"))
    quota.accounting = options.get("accounting")
    if options.get("directory") is not None:
        if quota.type != PROJECT:
            raise InvalidInput("%s: directory goes with type: project only" % quota.called)
        quota.directory = path_of(options["directory"], "directory")
        if "\n" in quota.directory:
            problem = "%s: directory: a line of %s cannot hold %r"
            raise InvalidInput(problem % (quota.path, projects.PROJECTS, quota.directory))
    if options.get("id") is not None:
        _read_id(quota, options)
    quota.complete()
    for option in LIMITS:
        if options.get(option) is not None:
            quota.asked[option] = options[option]
            quota.limits[option] = limit_of(options[option], option, quota.called, quota.type)
    for option in GRACES:
        if options.get(option) is not None:
            quota.asked[option] = options[option]
            quota.graces[option] = _grace(options[option], "%s: %s" % (quota.called, option))
    _check(quota)
    return quota


def path_of(value: Any, what: str) -> str:
    """An absolute path in its one spelling."""
    path = str(value or "")
    if not path.startswith("/"):
        raise InvalidInput("%s: %r is not an absolute path" % (what, path))
    return os.path.normpath("/" + path.lstrip("/"))


def _type(options: dict[str, Any]) -> str:
    kind = options.get("type")
    if kind not in TYPES:
        raise InvalidInput(
            "%s: type is missing" % options.get("path"),
            hint="give type: user, group or project; on btrfs, which limits subvolumes, type: subvolume",
        )
    return str(kind)


def _read_id(quota: Quota, options: dict[str, Any]) -> None:
    if quota.type == SUBVOLUME:
        raise InvalidInput("%s: a subvolume is named by path, and has no other id" % quota.called)
    text = str(options["id"]).strip()
    quota.id = id_of(quota.type, text)
    if quota.id is None and quota.directory:
        quota.name = projects.check_name(text, "%s: id" % quota.called)
    elif quota.id is None:
        quota.nobody = Missing(
            "%s: id: there is no %s %r on this machine" % (quota.called, quota.type, text),
            hint=_HINTS[quota.type],
        )
        quota.name = text
        if not quota.checking:
            raise quota.nobody
    if quota.id == 0 and quota.directory:
        raise InvalidInput(
            "%s: project 0 is what belongs to no project: a directory cannot have it" % quota.called
        )
    if quota.id == 0 and not options.get("allow_id_zero"):
        raise InvalidInput(
            "%s: id 0 is root, and on XFS its limits are the defaults of everybody without limits of their own"
            % quota.called,
            hint="where that is meant, add allow_id_zero: true",
        )


_HINTS = {
    USER: "give a user of this machine, or the number of one",
    GROUP: "give a group of this machine, or the number of one",
    PROJECT: "give a name from /etc/projid or a number, or a directory, for which a free number is found",
}


def id_of(kind: str, text: str) -> int | None:
    """The number of a user, group or project, from its number or name; None where there is no such
    name.
    """
    if not text:
        raise InvalidInput("id is empty")
    if text.lstrip("-").isdigit():
        return units.parse_count(text, "id", 0, _LARGEST_ID)
    try:
        if kind == USER:
            return pwd.getpwnam(text).pw_uid
        if kind == GROUP:
            return grp.getgrnam(text).gr_gid
    except KeyError:
        return None
    return projects.Projects.read().id_of(text)


def name_of(kind: str, identity: int) -> str:
    """The name of a number; empty where it has none."""
    try:
        if kind == USER:
            return pwd.getpwuid(identity).pw_name
        if kind == GROUP:
            return grp.getgrgid(identity).gr_name
    except KeyError:
        return ""
    return projects.Projects.read().name_of(identity)


def limit_of(value: Any, option: str, called: str, kind: str) -> int:
    """Bytes or inodes; 0 for no limit."""
    what = "%s: %s" % (called, option)
    if units.is_max(value):
        return 0
    number = (
        units.parse_size(value, what)
        if option in SIZES
        else units.parse_count(value, what, 0, _LARGEST)
    )
    if kind == SUBVOLUME and option == "block_hard" and number == 0:
        raise InvalidInput(
            "%s: 0 lets nothing be written at all on btrfs" % what, hint="max lifts the limit"
        )
    return number


def _grace(value: Any, what: str) -> int:
    """Seconds from "7d", "36h", "90m" or a number of seconds."""
    text = str(value).strip().lower()
    digits, unit = text.rstrip("smhdw"), text[len(text.rstrip("smhdw")) :]
    if (
        isinstance(value, bool)
        or not (digits.isascii() and digits.isdigit())
        or unit not in _SECONDS
    ):
        raise InvalidInput(
            "%s: %r is not a time" % (what, str(value)),
            hint="give seconds, or for example 90m, 36h, 7d or 2w",
        )
    seconds = int(digits) * _SECONDS[unit]
    if not 0 < seconds <= _LONGEST_GRACE:
        raise InvalidInput("%s: %s is not within 1 s and %d s" % (what, text, _LONGEST_GRACE))
    return seconds


def _check(quota: Quota) -> None:
    """Refuse what cannot be right on any machine."""
    if quota.type == SUBVOLUME:
        for option in (*COUNTS, *GRACES, "block_soft"):
            if option in quota.asked:
                raise InvalidInput(
                    "%s: %s: btrfs limits bytes, by a hard limit only" % (quota.called, option),
                    hint="give block_hard",
                )
    elif quota.accounting is not None:
        raise InvalidInput("%s: accounting is for type: subvolume only" % quota.called)
    if quota.of_all and (quota.limits or not quota.present):
        hint = "give id, or for a project directory; without them block_grace and inode_grace can be given, which a type has but once"
        raise InvalidInput("%s: whose limits these are is missing" % quota.called, hint=hint)
    if quota.of_all and not quota.graces and not quota.enable:
        raise InvalidInput("%s: nothing is asked for" % quota.called, hint="give id and limits")
    for soft, hard in (SIZES, COUNTS):
        check_pair(quota.called, soft, quota.limits.get(soft, 0), hard, quota.limits.get(hard, 0))


def check_pair(
    what: str, soft: str, soft_value: int, hard: str, hard_value: int, hint: str = ""
) -> None:
    """Refuse a hard limit below the soft one: XFS ignores such a request with success, and ext4
    takes it.
    """
    if soft_value and hard_value and hard_value < soft_value:
        raise InvalidInput(
            "%s: %s %d is less than %s %d" % (what, hard, hard_value, soft, soft_value), hint=hint
        )
