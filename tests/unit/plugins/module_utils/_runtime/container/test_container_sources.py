# SPDX-FileCopyrightText: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Paths of the machine that are opened for a container: which links are followed, and what is refused."""

from __future__ import annotations

import json
import os
import stat

import pytest
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime import desired
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.container import config, paths, sources, state, territory
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.container.sources import Missing
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.errors import BulkheadError, InvalidInput

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="files of several owners need root")


@pytest.fixture(autouse=True)
def no_desired(monkeypatch, tmp_path):
    monkeypatch.setattr(desired, "DIRECTORY", str(tmp_path / "desired.d"))


@pytest.fixture
def srv(tmp_path):
    """A directory as an administrator has it: releases, and a link to the current one."""
    top = tmp_path / "srv"
    (top / "releases" / "42" / "www").mkdir(parents=True)
    (top / "current").symlink_to("releases/42")
    (top / "absolute").symlink_to(top / "releases")
    (top / "up").symlink_to("releases/../releases/./42/..")
    (top / "loop").symlink_to("loop")
    (top / "nowhere").symlink_to("missing/deep")
    (top / "file").write_text("x", encoding="utf-8")
    return top


@pytest.mark.parametrize(
    ("asked", "real"),
    [
        ("/", "/"),
        ("releases", "releases"),
        ("current", "releases/42"),
        ("current/www", "releases/42/www"),
        ("absolute/42", "releases/42"),
        ("up/42", "releases/42"),
        ("file", "file"),
        ("./releases//42/", "releases/42"),
    ],
)
def test_links_of_root_are_followed(srv, asked, real):
    asked, real = (path if path == "/" else "%s/%s" % (srv, path) for path in (asked, real))
    assert sources.resolve(asked, "x").path == real
    assert os.path.realpath(asked) == real


def test_up_from_the_top_is_the_top(tmp_path):
    (tmp_path / "up").symlink_to("../" * 50 + "usr")
    assert sources.resolve(str(tmp_path / "up"), "x").path == "/usr"


@pytest.mark.parametrize(("asked", "leads"), [("missing", ""), ("current/missing", "releases/42/missing"), ("nowhere", "missing/deep"), ("releases/43/x", "")])
def test_what_is_missing(srv, asked, leads):
    with pytest.raises(Missing, match="is not there") as caught:
        sources.resolve("%s/%s" % (srv, asked), "x")
    assert caught.value.target == "%s/%s" % (srv, asked)
    assert leads in str(caught.value)


def test_what_is_to_be_made_stays_in_the_path(srv):
    assert sources.resolve(str(srv / "current/logs/deep"), "x", may_miss=True).path == str(srv / "releases/42/logs/deep")
    (srv / "odd").symlink_to("none/../../../etc")
    with pytest.raises(Missing):
        sources.resolve(str(srv / "odd/x"), "x", may_miss=True)


@pytest.mark.parametrize("asked", ["loop", "loop/x", "file/x", "file/.."])
def test_what_cannot_be_followed(srv, asked):
    with pytest.raises(InvalidInput) as caught:
        sources.resolve("%s/%s" % (srv, asked), "x")
    assert not isinstance(caught.value, Missing)


@pytest.mark.parametrize("path", ["/proc/self/root", "/proc/self/cwd/x", "/dev/fd/0", "/proc/self/fd/7/etc"])
def test_links_of_proc_are_not_followed(path):
    with pytest.raises(InvalidInput, match="below /proc"):
        sources.resolve(path, "x")


def test_links_of_the_kernel_are_followed():
    path = "/sys/class/net/lo"
    assert sources.resolve(path, "x").path == os.path.realpath(path)


# (owner and mode of the directory, owner of the link, owner of what it leads to, whether it is followed)
OWNERS = [
    ((0, 0o755), 0, 0, True),
    ((0, 0o755), 1000, 0, True),  # nobody else can put one there: root gave it away
    ((0, 0o1777), 0, 0, True),
    ((0, 0o1777), 1000, 0, False),
    ((0, 0o1777), 1000, 1000, False),
    ((0, 0o777), 0, 0, False),
    ((0, 0o775), 0, 0, False),
    ((1000, 0o755), 1000, 1000, True),  # a user's own, to the user's own
    ((1000, 0o775), 1000, 1000, True),
    ((1000, 0o777), 1000, 1000, False),
    ((1000, 0o755), 1000, 0, False),
    ((1000, 0o755), 1000, 1001, False),
    ((1000, 0o755), 0, 0, False),
    ((1000, 0o1777), 0, 0, False),
]


@as_root
@pytest.mark.parametrize(("directory", "link", "target", "followed"), OWNERS)
def test_owners(tmp_path, directory, link, target, followed):
    top, goal = tmp_path / "top", tmp_path / "goal"
    top.mkdir()
    goal.mkdir()
    (top / "link").symlink_to(goal)
    os.chown(top / "link", link, link, follow_symlinks=False)
    os.chown(goal, target, target)
    os.chown(top, directory[0], 1000)
    os.chmod(top, directory[1])
    if followed:
        assert sources.resolve(str(top / "link"), "x").path == str(goal)
    else:
        with pytest.raises(InvalidInput, match="symbolic link"):
            sources.resolve(str(top / "link"), "x")


@as_root
def test_group_of_root(tmp_path):
    """What root's own group may write to is root's."""
    (tmp_path / "link").symlink_to("/usr")
    os.chmod(tmp_path, 0o775)
    assert sources.resolve(str(tmp_path / "link"), "x").path == "/usr"


def test_descriptors_are_given_back(srv):
    before = os.listdir("/proc/self/fd")
    for path in ("current/www", "missing", "loop", "file/x"):
        try:
            sources.resolve("%s/%s" % (srv, path), "x")
        except BulkheadError:
            pass
    assert os.listdir("/proc/self/fd") == before


def test_a_real_path_is_opened_through_no_link(srv):
    for path, kind in ((srv / "releases/42", stat.S_ISDIR), (srv / "file", stat.S_ISREG)):
        fd = sources.open_real(str(path))
        assert kind(os.fstat(fd).st_mode)
        os.close(fd)
    for path in ("current", "current/www"):
        with pytest.raises(BulkheadError, match=r"srv/current is a symbolic link to releases/42 now, and was none.*remove it"):
            sources.open_real("%s/%s" % (srv, path))
    with pytest.raises(BulkheadError, match="is not there"):
        sources.open_real(str(srv / "missing"))
    with pytest.raises(BulkheadError, match="cannot be opened"):
        sources.open_real(str(srv / "file/x"))


# Whose territory a link lies in


def settled(node, **options):
    found = config.parse({"name": "web", "command": ["true"], **options}, "/logs")
    territory.settle(found, territory.Territory(node))
    return found


@pytest.fixture
def node(tmp_path):
    found = paths.Paths(str(tmp_path / "node"))
    found.make()
    return found


def record(node, name, **options):
    os.makedirs(node.state(name))
    state.write(node.state(name), {"status": "stopped", "config": config.parse({"name": name, "command": ["true"], **options}, "/logs")})


def test_paths_become_real(node, srv):
    found = settled(node, rootfs=str(srv / "current"), volumes=["%s/absolute:/a:ro" % srv, "%s/file:/b" % srv], log={"path": str(srv / "current/new/x.log")})
    assert found["rootfs"] == str(srv / "releases/42")
    assert [mount["source"] for mount in found["mounts"]] == [str(srv / "releases"), str(srv / "file")]
    assert found["log"]["path"] == str(srv / "releases/42/new/x.log")
    for log, kept in (("none", ""), ("/x.log", "/x.log")):
        assert settled(node, log={"path": log})["log"]["path"] == kept
    assert settled(node)["log"]["path"] == "/logs/web.log"


def test_what_is_no_root(node, srv):
    (srv / "top").symlink_to("/")
    with pytest.raises(InvalidInput, match="own root"):
        settled(node, rootfs=str(srv / "top"))
    with pytest.raises(InvalidInput, match="not a directory"):
        settled(node, rootfs=str(srv / "file"))
    with pytest.raises(Missing):
        settled(node, rootfs=str(srv / "missing"))


ASKING = [
    lambda link: {"volumes": ["%s:/x:ro" % link]},
    lambda link: {"mounts": [{"source": str(link / "www"), "destination": "/x"}]},
    lambda link: {"rootfs": str(link)},
    lambda link: {"log": {"path": str(link / "deep" / "x.log")}},
]


@pytest.mark.parametrize("asking", ASKING)
@pytest.mark.parametrize(
    ("holding", "refused"),
    [
        ({"volumes": ["{srv}:/v"]}, True),
        ({"volumes": ["{top}:/v:rw"]}, True),
        ({"volumes": ["{srv}:/v:ro"]}, False),
        ({"volumes": ["{srv}:/v:ro"], "capabilities": {"add": ["SYS_ADMIN"]}}, True),  # it can mount it anew
        ({"mounts": [{"source": "{srv}", "destination": "/v", "options": ["ro"]}]}, False),
        ({"mounts": [{"source": "{srv}", "destination": "/v", "options": ["noexec"]}]}, True),
        ({"volumes": ["{srv}/releases:/v"]}, False),  # the link does not lie there, but leads there
        ({"volumes": ["{srv}x:/v"]}, False),
        ({"rootfs": "{top}"}, True),
        ({"volumes": ["/:/v"]}, False),  # who has all of the machine needs no link
    ],
)
def test_link_in_another_containers_territory(node, srv, holding, refused, asking):
    holding = json.loads(json.dumps(holding).replace("{srv}", str(srv)).replace("{top}", str(srv.parent)))
    record(node, "other", **holding)
    if refused:
        with pytest.raises(InvalidInput, match=r"/current is a symbolic link to releases/42, and container other.*may have made it"):
            settled(node, **asking(srv / "current"))
    else:
        settled(node, **asking(srv / "current"))


def test_link_on_the_way_of_a_link(node, srv):
    """The administrator's link is trusted, the one to which it leads is not."""
    (srv / "inner").mkdir()
    (srv / "inner" / "evil").symlink_to("/")
    (srv / "mine").symlink_to("inner/evil")
    assert settled(node, volumes=["%s/mine:/x" % srv])["mounts"][0]["source"] == "/"
    record(node, "other", volumes=["%s/inner:/v" % srv])
    with pytest.raises(InvalidInput, match="inner/evil is a symbolic link to /, and container other"):
        settled(node, volumes=["%s/mine:/x" % srv])


def test_link_in_the_same_containers_territory(node, srv):
    with pytest.raises(InvalidInput, match="container web, which can write to"):
        settled(node, volumes=["%s:/v" % srv, "%s/current:/w" % srv])
    settled(node, volumes=["%s:/v" % srv, "%s/releases/42:/w" % srv])


def test_link_in_the_territory_of_one_of_the_same_call(node, srv):
    shared = territory.Territory(node)
    territory.settle(config.parse({"name": "one", "command": ["true"], "volumes": ["%s:/v" % srv]}, "/logs"), shared)
    with pytest.raises(InvalidInput, match="container one"):
        territory.settle(config.parse({"name": "two", "command": ["true"], "volumes": ["%s/current:/w" % srv]}, "/logs"), shared)


def test_territory_by_another_name(node, srv):
    """The other container was given the directory by way of a link."""
    record(node, "other", volumes=["%s/absolute:/v" % srv])
    (srv / "releases" / "now").symlink_to("42")
    with pytest.raises(InvalidInput, match="container other"):
        settled(node, volumes=["%s/releases/now:/x" % srv])


def test_link_in_private_files(node):
    own = os.path.join(node.own("other"), "upper", "srv")
    os.makedirs(own)
    os.symlink("/etc", own + "/x")
    with pytest.raises(InvalidInput, match="a container, which can write to"):
        settled(node, volumes=["%s/x:/x" % own])


def test_territory_of_what_is_kept_for_the_boot(node, srv, monkeypatch):
    monkeypatch.setattr(desired, "read", lambda kind: {"other": {"name": "other", "volumes": ["%s:/v" % srv, "odd", 7]}} if kind == "container_run" else {})
    with pytest.raises(InvalidInput, match="container other"):
        settled(node, volumes=["%s/current:/x" % srv])


def test_territory_of_units(node, srv):
    os.makedirs(node.lib + "/units")
    with open(node.lib + "/units/other.json", "w", encoding="utf-8") as file:
        json.dump({"config": config.parse({"name": "other", "command": ["true"], "volumes": ["%s:/v" % srv]}, "/logs")}, file)
    with open(node.lib + "/units/damaged.json", "w", encoding="utf-8") as file:
        file.write("[")
    with pytest.raises(InvalidInput, match="container other"):
        settled(node, volumes=["%s/current:/x" % srv])
