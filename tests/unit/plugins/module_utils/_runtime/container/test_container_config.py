# SPDX-FileCopyrightText: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""From options to a configuration: what is right, what is refused, and that both are told apart before anything is written."""

from __future__ import annotations

import marshal

import pytest
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.container import config, words
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.container.process import CAPABILITIES, mask_of
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.errors import InvalidInput


def parsed(**options):
    return config.parse({"name": "web", "command": ["true"], **options}, "/logs")


def test_defaults():
    found = parsed()
    assert found["rootfs"] == "host"
    assert found["user"] == "0"
    assert found["umask"] == 0o022
    assert found["network"] == {"mode": "none"}
    assert found["no_new_privileges"] is True
    assert found["capabilities"] == [name for name in CAPABILITIES if name in config.DEFAULT_CAPABILITIES]
    assert found["log"] == {"path": "/logs/web.log", "max_size": 16 << 20, "max_files": 2}
    assert found["stop_signal"] == 15
    assert found["stop_timeout"] == 10
    assert found["hostname"] == "web"
    assert found["resources"]["devices"] == config.DEVICE_RULES


def test_is_plain_data():
    """It is compared, written as JSON and sent to another process."""
    assert marshal.loads(marshal.dumps(parsed(env={"A": 1}, resources={"cpu": {"max": 0.5, "weight": None}}))) is not None
    assert parsed(resources={"cpu": {"max": 1, "weight": None}})["resources"]["cpu"] == {"max": 1}


@pytest.mark.parametrize("name", ["", ".", "..", "../x", "a/b", "-a", ".a", "a b", "a\n", "x" * 65, "ä", None, "a:b"])
def test_name_is_refused(name):
    with pytest.raises(InvalidInput):
        config.parse({"name": name, "command": ["true"]}, "/logs")


@pytest.mark.parametrize(
    ("command", "words"), [("sleep 10", ["sleep", "10"]), ("sh -c 'a b'", ["sh", "-c", "a b"]), (["a b", 1], ["a b", "1"]), (("x",), ["x"])]
)
def test_command(command, words):
    assert parsed(command=command)["command"] == words


@pytest.mark.parametrize("command", ["", [], [""], None, "'", {"a": 1}, ["a\0b"]])
def test_command_is_refused(command):
    with pytest.raises(InvalidInput):
        parsed(command=command)


def test_error_names_the_container():
    with pytest.raises(InvalidInput, match=r"^container web: user: "):
        parsed(user="-1")


@pytest.mark.parametrize(
    ("asked", "missing", "more"),
    [({"drop": ["ALL"]}, config.DEFAULT_CAPABILITIES, ()), ({"drop": ["cap_chown"]}, ("CHOWN",), ()), ({"add": ["net_raw"]}, (), ("NET_RAW",))],
)
def test_capabilities(asked, missing, more):
    assert set(config.parse_capabilities(asked)) == set(config.DEFAULT_CAPABILITIES) - set(missing) | set(more)


def test_all_capabilities():
    assert config.parse_capabilities({"add": ["ALL"], "drop": ["SYS_ADMIN"]}) == [name for name in CAPABILITIES if name != "SYS_ADMIN"]
    assert config.parse_capabilities({"add": ["CHOWN"], "drop": ["ALL"]}) == ["CHOWN"]


def test_capability_numbers():
    """include/uapi/linux/capability.h"""
    numbers = {"CHOWN": 0, "SETPCAP": 8, "NET_ADMIN": 12, "SYS_ADMIN": 21, "MKNOD": 27, "SETFCAP": 31, "SYSLOG": 34, "BPF": 39, "CHECKPOINT_RESTORE": 40}
    for name, number in numbers.items():
        assert mask_of([name]) == 1 << number
    assert len(CAPABILITIES) == 41


def test_mounts(tmp_path):
    (tmp_path / "file").touch()
    found = parsed(
        volumes=["%s:/a/b/c:ro,noexec" % tmp_path, "%s/file:/f" % tmp_path],
        tmpfs={"/t": "size=1m,mode=700", "/u": None},
        mounts=[{"source": str(tmp_path), "destination": "/a", "options": ["bind"]}],
    )["mounts"]
    assert [mount["destination"] for mount in found] == ["/f", "/t", "/u", "/a", "/a/b/c"]
    assert found[-1] == {"type": "bind", "source": str(tmp_path), "destination": "/a/b/c", "options": ["ro", "noexec"]}
    assert found[1] == {"type": "tmpfs", "source": "", "destination": "/t", "options": ["size=1m", "mode=700"]}


@pytest.mark.parametrize(
    "options",
    [
        {"volumes": ["/etc"]},
        {"volumes": ["/etc:/a:ro:more"]},
        {"volumes": ["etc:/a"]},
        {"volumes": ["/etc:/a:nonsense"]},
        {"volumes": ["/etc:/a:size=1m"]},
        {"volumes": ["/etc:/a", "/usr:/a/"]},
        {"volumes": ["/etc/../etc:/a"]},
        {"tmpfs": {"/a": "size=1m,lowerdir=/"}},
        {"tmpfs": {"/proc": ""}},
        {"mounts": [{"type": "bind", "destination": "/a"}]},
    ],
)
def test_mounts_are_refused(options):
    with pytest.raises(InvalidInput):
        parsed(**options)


def test_rlimits():
    found = parsed(rlimits={"nofile": 10, "NPROC": {"soft": 1, "hard": 2}, "core": "max", "as": "1G", "stack": {"hard": 5}})["rlimits"]
    assert found == {"nofile": [10, 10], "nproc": [1, 2], "core": [-1, -1], "as": [1 << 30, 1 << 30], "stack": [5, 5]}


@pytest.mark.parametrize("limits", [{"none": 1}, {"nofile": ""}, {"nofile": {"soft": 2, "hard": 1}}, {"nofile": {"soft": "max", "hard": 1}}, {"nofile": -5}])
def test_rlimits_are_refused(limits):
    with pytest.raises(InvalidInput):
        parsed(rlimits=limits)


@pytest.mark.parametrize(("value", "number"), [("TERM", 15), ("SIGKILL", 9), ("9", 9), (2, 2), ("usr1", 10)])
def test_signals(value, number):
    assert words.parse_signal(value) == number


@pytest.mark.parametrize("value", ["0", "65", "-1", "NONE", "SIG_DFL", "TERM "])
def test_signals_are_refused(value):
    with pytest.raises(InvalidInput):
        words.parse_signal(value)


@pytest.mark.parametrize(
    ("value", "policy"),
    [(None, ("no", 0)), (False, ("no", 0)), ("always", ("always", 0)), ("on-failure", ("on-failure", 0)), ("on-failure:3", ("on-failure", 3))],
)
def test_policies(value, policy):
    assert config.parse_policy(value) == {"name": policy[0], "max": policy[1]}


@pytest.mark.parametrize("value", ["sometimes", "always:3", "on-failure:", "on-failure:0", "on-failure:x", True])
def test_policies_are_refused(value):
    with pytest.raises(InvalidInput):
        config.parse_policy(value)


@pytest.mark.parametrize("env", [{"": "x"}, {"A=B": "x"}, {"A": True}, {"A": None}, {"A": "a\0b"}])
def test_environment_is_refused(env):
    with pytest.raises(InvalidInput):
        parsed(env=env)


@pytest.mark.parametrize(("text", "mode"), [("022", 0o22), ("0022", 0o22), ("77", 0o77), ("0o7", 7), ("0", 0)])
def test_umask(text, mode):
    assert parsed(umask=text)["umask"] == mode


@pytest.mark.parametrize("options", [{"umask": "8"}, {"umask": "12345"}, {"cwd": "relative"}, {"cwd": "/a/.."}, {"hostname": "-a"}, {"hostname": "a_b"}])
def test_other_nonsense_is_refused(options):
    with pytest.raises(InvalidInput):
        parsed(**options)


def test_devices():
    made, rules = config.parse_devices([{"path": "/dev/null"}, {"path": "/dev/own/x", "type": "c", "major": 10, "minor": 200, "access": "rw", "mode": "0600"}])
    assert (made[0]["type"], made[0]["major"], made[0]["minor"]) == ("c", 1, 3)
    assert made[1] == {"path": "/dev/own/x", "type": "c", "major": 10, "minor": 200, "mode": 0o600, "uid": 0, "gid": 0}
    assert rules[1] == {"type": "c", "major": 10, "minor": 200, "access": "rw"}


@pytest.mark.parametrize("device", [{"path": "/etc/passwd"}, {"path": "/dev/../etc/x"}, {"path": "/dev/none-such"}, {"path": "/dev/null", "access": "x"}])
def test_devices_are_refused(device):
    with pytest.raises(InvalidInput):
        config.parse_devices([device])


@pytest.mark.parametrize(
    ("labels", "kept"),
    [
        (None, {}),
        ({"team": "shop", "tier": 1}, {"team": "shop", "tier": "1"}),
        ({"n" * 256: "t" * 4096}, {"n" * 256: "t" * 4096}),
        ({"a=b": "{{ x }}\n"}, {"a=b": "{{ x }}\n"}),
    ],
)
def test_labels(labels, kept):
    assert parsed(labels=labels)["labels"] == kept


@pytest.mark.parametrize(
    ("labels", "why"),
    [
        (["team"], "not a dictionary"),
        ({"": "x"}, "has no name"),
        ({"team": True}, "the boolean true"),
        ({"team": 1.1}, "a number with a fraction"),
        ({"team": None}, "nothing"),
        ({"team": ["shop"]}, "a list"),
        ({"a\0b": "x"}, "zero byte"),
        ({"team": "a\udcff"}, "no text in UTF-8"),
        ({"n" * 257: "x"}, "the name of n.* has 257 bytes, and may have 256"),
        ({"team": "\u00e4" * 2049}, "the text of team has 4098 bytes, and may have 4096"),
        ({"l%02d" % number: "t" * 4096 for number in range(16)}, "65584 bytes together, and may have 65536"),
    ],
)
def test_labels_are_refused(labels, why):
    with pytest.raises(InvalidInput, match=why):
        parsed(labels=labels)
