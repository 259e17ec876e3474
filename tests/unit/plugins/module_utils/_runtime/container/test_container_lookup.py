# SPDX-FileCopyrightText: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a container would find is looked up before it is made; what is not certain is not refused.
"""

from __future__ import annotations

import os

import pytest
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.container import (
    config,
    lookup,
)
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.errors import BulkheadError


@pytest.fixture
def tree(tmp_path):
    """A root with links, and a directory beside it that can be a volume."""
    root, share = tmp_path / "root", tmp_path / "share"
    for directory in (root / "usr/bin", root / "etc", root / "srv", root / "proc", share / "bin"):
        directory.mkdir(parents=True)
    (root / "bin").symlink_to("usr/bin")
    (root / "usr/bin/there").touch(0o755)
    (root / "usr/bin/plain").touch(0o644)
    (root / "usr/bin/link").symlink_to("/bin/there")
    (root / "usr/bin/dangling").symlink_to("/none")
    (root / "usr/bin/circle").symlink_to("circle")
    (root / "usr/bin/out").symlink_to(share / "bin/tool")
    (root / "magic").symlink_to("/proc/self/exe")
    (root / "tool").symlink_to("/opt/x/bin/tool")
    (share / "bin/tool").touch(0o755)
    (root / "etc/passwd").write_text("web:x:33:33::/srv:/bin/sh\n", encoding="utf-8")
    (root / "etc/group").write_text("web:x:33:\nlog:x:4:\n", encoding="utf-8")
    return tmp_path


def looked_up(tree, **options):
    given = {"name": "web", "command": ["there"], "rootfs": str(tree / "root"), **options}
    view = lookup.View(config.parse(given, "/logs"))
    before = len(os.listdir("/proc/self/fd"))
    try:
        lookup.check(config.parse(given, "/logs"), view)
    finally:
        view.close()
        assert len(os.listdir("/proc/self/fd")) <= before, "descriptors are left"


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"command": ["/bin/link"]},
        {"command": ["link"], "user": "web:log", "groups": ["web", "4"], "cwd": "/srv"},
        {"command": ["bin/there"]},
        {"command": ["./there"], "cwd": "/bin"},
        {"command": ["there"], "env": {"PATH": "/none:/usr/bin"}},
        {"command": ["/magic"]},
        {"command": ["/proc/self/exe"]},
        {"command": ["anything"], "env": {"PATH": "/usr/bin:/dev/x"}},
        {"command": ["/tool"], "volumes": ["{share}:/opt/x"]},
        {"command": ["/opt/x/bin/tool"], "volumes": ["{share}:/opt/x"], "cwd": "/opt"},
        {"command": ["tool"], "volumes": ["{share}/bin:/bin"]},
        {"cwd": "/t", "tmpfs": {"/t": ""}},
        {"cwd": "/made/on/the", "tmpfs": {"/made/on/the/way": ""}},
        {"cwd": "/proc/1"},
        {"user": "4000:4000"},
    ],
)
def test_what_is_there(tree, options):
    volumes = [text.format(share=tree / "share") for text in options.get("volumes", [])]
    looked_up(tree, **{**options, "volumes": volumes})


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"command": ["none"]}, r"container web: executing the command 'none' failed; .*ENOENT"),
        ({"command": ["/usr/bin/none"]}, "ENOENT"),
        ({"command": ["dangling"]}, "ENOENT"),
        ({"command": ["/usr/bin/out"]}, "ENOENT"),
        ({"command": ["plain"]}, "EACCES"),
        ({"command": ["/usr/bin"]}, "EACCES"),
        ({"command": ["there"], "env": {"PATH": "/none"}}, "ENOENT"),
        ({"command": ["there"], "tmpfs": {"/usr": ""}}, "ENOENT"),
        ({"cwd": "/none"}, "changing to the working directory"),
        ({"cwd": "/bin/there"}, "ENOTDIR"),
        ({"cwd": "/t/x", "tmpfs": {"/t": ""}}, "ENOENT"),
        ({"user": "nobody"}, "knows no user 'nobody'"),
        ({"user": "web:none"}, "knows no group 'none'"),
        ({"groups": ["none"]}, "knows no group 'none'"),
    ],
)
def test_what_is_not_there(tree, options, told):
    with pytest.raises(BulkheadError, match=told):
        looked_up(tree, **options)


def test_a_circle_of_links_is_left_for_the_start(tree):
    looked_up(tree, command=["circle"])


def test_the_machine_as_a_root(tree):
    """Of it there are the views and copies of the accounts, and no other directory."""
    looked_up(tree, rootfs="host", command=["sh"], user="nobody", cwd="/srv")
    with pytest.raises(BulkheadError, match="ENOENT"):
        looked_up(tree, rootfs="host", command=[str(tree / "share/bin/tool")])
    looked_up(
        tree, rootfs="host", command=["/mnt/bin/tool"], volumes=["%s:/mnt" % (tree / "share")]
    )
