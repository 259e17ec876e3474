# SPDX-FileCopyrightText: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A configuration is compared by what it means, and can be told in the words in which it can be
asked for.
"""

from __future__ import annotations

import copy
import json
import math

import pytest
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.container import (
    config,
    live,
    options,
)
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.container.process import (
    CAPABILITIES,
)
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.errors import InvalidInput
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

RELAXED = settings(deadline=None, max_examples=200, suppress_health_check=[HealthCheck.too_slow])


def parsed(**given_options):
    return config.parse({"name": "web", "command": ["true"], **given_options}, "/logs")


# Each strategy draws (a value, the same said in another way).


def both(values, respell):
    return st.tuples(values, st.randoms(use_true_random=False)).map(
        lambda drawn: (drawn[0], respell(copy.deepcopy(drawn[0]), drawn[1]))
    )


def one_of(chance, *spellings):
    return chance.choice(spellings)


def shuffled(values, chance):
    chance.shuffle(values)
    return values


def size(number, chance):
    spellings = [number, str(number)]
    for unit, factor in (("K", 1 << 10), ("M", 1 << 20)):
        if number % factor == 0:
            spellings += [
                "%d%s" % (number // factor, unit),
                "%d%siB" % (number // factor, unit.lower()),
            ]
    return chance.choice(spellings)


def volume(text, chance):
    source, destination, words = (text + ":").split(":")[:3]
    words = [word for word in words.split(",") if word]
    if "ro" not in words and chance.random() < 0.5:
        words.append(one_of(chance, "rw", "rbind", "nosuid", "nodev"))
    shuffled(words, chance)
    slash = one_of(chance, "", "/")
    return "%s%s:%s%s%s" % (
        source,
        slash,
        destination,
        slash,
        ":" + ",".join(words) if words else "",
    )


def mode(number, chance):
    return one_of(chance, "%o" % number, "0%o" % number, "0o%o" % number)


PLACES = st.sampled_from(["/a", "/b", "/c/d", "/c/e", "/usr/share/x"])
VOLUMES = st.lists(
    st.builds(
        "{}:{}{}".format,
        st.sampled_from(["/etc", "/usr", "/etc/ssl"]),
        PLACES,
        st.sampled_from(["", ":ro", ":noexec", ":ro,dev"]),
    ),
    max_size=4,
    unique_by=lambda text: text.split(":")[1],
)
DEVICE = st.fixed_dictionaries(
    {
        "path": st.sampled_from(["/dev/x", "/dev/y", "/dev/deep/z"]),
        "type": st.sampled_from("bc"),
        "major": st.integers(0, 4095),
        "minor": st.integers(0, 1 << 19),
        "access": st.sampled_from(["r", "rw", "rwm"]),
        "mode": st.integers(0, 0o7777),
    }
)


def devices(values, chance):
    for value in values:
        value["mode"] = mode(value["mode"], chance)
        value["access"] = "".join(shuffled(list(value["access"]), chance))
        value["major"] = one_of(chance, value["major"], str(value["major"]))
    return shuffled(values, chance)


def first_devices(pair):
    return [{**value, "mode": "%04o" % value["mode"]} for value in pair[0]], pair[1]


def signal_spelling(number, chance):
    if 34 <= number <= 64:
        return one_of(
            chance, number, str(number), "RTMIN+%d" % (number - 34), "sigrtmax-%d" % (64 - number)
        )
    return {
        15: one_of(chance, "TERM", "SIGTERM", 15, "15", "sigterm"),
        9: one_of(chance, "kill", "9", "SIGKILL"),
    }[number]


BRIDGED = st.fixed_dictionaries(
    {"mode": st.just("bridge")},
    optional={
        "bridge": st.sampled_from(["bulkhead0", "br-x"]),
        "subnet": st.just(["10.1.2.1/24", "fd00::1/64"]),
        "address": st.sampled_from([["10.1.2.3/24"], ["10.1.2.3/24", "fd00::3/64"]]),
        "gateway": st.sampled_from(["none", ["10.1.2.1"], ["10.1.2.9", "fd00::1"]]),
        "interface": st.sampled_from(["eth0", "lan"]),
        "mtu": st.sampled_from([1400, 9000]),
        "bandwidth": st.sampled_from(
            [
                {"egress": {"rate": "10mbit"}},
                {"egress": {"rate": "1gbit", "burst": "64K"}, "ingress": {"rate": "2mbit"}},
            ]
        ),
    },
)


def network(value, chance):
    if value["mode"] != "bridge":
        return one_of(chance, value["mode"], {"mode": value["mode"], "address": None})
    value = dict(shuffled(list(value.items()), chance))
    if value.get("bridge") == "bulkhead0" and chance.random() < 0.5:
        del value["bridge"]
    value.setdefault("interface", one_of(chance, None, "eth0"))
    if "subnet" in value:
        subnets = ["10.1.2.%d/24" % one_of(chance, 0, 1), one_of(chance, "fd00:0::/64", "FD00::1/64")]
        value["subnet"] = shuffled(subnets, chance)
    if "address" in value:
        texts = [one_of(chance, text, text.upper().replace("::", ":0::")) for text in value["address"]]
        value["address"] = texts[0] if len(texts) == 1 else shuffled(texts, chance)
    if isinstance(value.get("gateway"), list):
        gateways = value["gateway"]
        value["gateway"] = gateways[0] if len(gateways) == 1 else shuffled(gateways, chance)
    if "bandwidth" in value:
        value["bandwidth"] = {
            way: {
                name: one_of(chance, text, {"10mbit": "10000kbit", "1gbit": "1000Mbit/s"}.get(text, text))
                for name, text in given.items()
            }
            for way, given in shuffled(list(value["bandwidth"].items()), chance)
        }
        value["bandwidth"].setdefault("ingress", one_of(chance, None, {"rate": "max"}))
    if "mtu" in value:
        value["mtu"] = one_of(chance, value["mtu"], str(value["mtu"]))
    return value


OPTIONS = {
    "network": both(
        st.sampled_from([{"mode": "none"}, {"mode": "host"}]) | BRIDGED, network
    ),
    "volumes": both(
        VOLUMES,
        lambda values, chance: shuffled([volume(value, chance) for value in values], chance),
    ),
    "groups": both(
        st.lists(st.sampled_from(["video", "audio", "0", "44"]), unique=True),
        lambda values, chance: shuffled(
            [one_of(chance, "root", "00", 0) if value == "0" else value for value in values], chance
        ),
    ),
    "user": both(
        st.sampled_from(["0", "0:0", "33:7", "www-data"]),
        lambda value, chance: value.replace("0", one_of(chance, "root", "0", "00")),
    ),
    "devices": both(
        st.lists(DEVICE, max_size=3, unique_by=lambda value: value["path"]), devices
    ).map(first_devices),
    "umask": both(st.integers(0, 0o777), mode).map(lambda pair: ("%04o" % pair[0], pair[1])),
    "env": both(
        st.dictionaries(st.sampled_from("ABCD"), st.integers(-5, 5)),
        lambda values, chance: dict(
            shuffled(
                [(name, one_of(chance, value, str(value))) for name, value in values.items()],
                chance,
            )
        ),
    ),
    "capabilities": both(
        st.lists(st.sampled_from(CAPABILITIES), max_size=4, unique=True).map(
            lambda names: {"add": names}
        ),
        lambda value, chance: {
            "add": shuffled(
                [one_of(chance, name, name.lower(), "CAP_" + name) for name in value["add"]], chance
            ),
            "drop": one_of(chance, None, []),
        },
    ),
    "stop_signal": both(st.sampled_from([9, 15, 34, 37, 62, 64]), signal_spelling),
    "stop_timeout": both(
        st.integers(0, 100), lambda value, chance: one_of(chance, value, str(value))
    ),
    "log": both(
        st.integers(4, 1 << 12).map(lambda pages: {"max_size": pages << 10}),
        lambda value, chance: {"max_size": size(value["max_size"], chance)},
    ),
    "masked_paths": both(
        st.lists(st.sampled_from(["/a", "/b/c", "/proc/keys"]), unique=True),
        lambda values, chance: shuffled(
            [value + one_of(chance, "", "/") for value in values], chance
        ),
    ),
    "rlimits": both(
        st.dictionaries(st.sampled_from(["nofile", "nproc", "core"]), st.integers(1, 1 << 10)),
        lambda values, chance: {
            one_of(chance, name, name.upper()): one_of(
                chance, size(value, chance), {"soft": value, "hard": value}, {"hard": value}
            )
            for name, value in shuffled(list(values.items()), chance)
        },
    ),
    "tmpfs": both(
        st.dictionaries(
            st.sampled_from(["/t", "/u"]), st.sampled_from(["", "size=1m", "mode=700,size=1024k"])
        ),
        lambda values, chance: {
            place + one_of(chance, "", "/"): {
                "": one_of(chance, None, "mode=1777", "rw"),
                "size=1m": one_of(chance, "size=1024k", "size=2m,size=1048576"),
                "mode=700,size=1024k": "size=1m,mode=0700",
            }[text]
            for place, text in values.items()
        },
    ),
    "sysctls": both(
        st.dictionaries(st.sampled_from(["kernel.sem", "kernel.shmmni"]), st.just("1 2")),
        lambda values, _chance: dict.fromkeys(values, " 1\t2 "),
    ),
    "restart_policy": both(
        st.sampled_from(["no", "always", "on-failure:3"]),
        lambda value, chance: {"no": one_of(chance, False, "no", None)}.get(value, value),
    ),
    "cwd": both(st.sampled_from(["/", "/srv/x"]), lambda value, _chance: value + "/"),
    "oom_score_adj": both(
        st.integers(-1000, 1000), lambda value, chance: one_of(chance, value, str(value))
    ),
    "readonly": both(
        st.booleans(), lambda value, chance: value if value else one_of(chance, False, None, "no")
    ),
    "command": both(
        st.just(["sleep", "10"]),
        lambda value, chance: one_of(chance, "sleep 10", ["sleep", 10], ("sleep", "10")),
    ),
}


@given(st.fixed_dictionaries({}, optional=OPTIONS))
@RELAXED
def test_a_respelling_is_the_same_container(drawn):
    try:
        one = parsed(**{name: pair[0] for name, pair in drawn.items()})
    except (
        InvalidInput
    ) as error:  # two destinations of which one is the other's in another spelling
        assert "twice" in str(error) or "NET_ADMIN" in str(error)
        return
    other = parsed(**{name: pair[1] for name, pair in drawn.items()})
    assert options.canonical(one) == options.canonical(other)
    assert options.differences(one, other) == options.differences(other, one) == []
    assert options.as_held(other, {**one, "resources": None}) == {**one, "resources": None}


@given(st.fixed_dictionaries({}, optional=OPTIONS))
@RELAXED
def test_a_container_can_be_asked_for_in_the_words_in_which_it_is_told(drawn):
    try:
        one = parsed(
            resources={"memory": {"max": "1G"}}, **{name: pair[1] for name, pair in drawn.items()}
        )
    except InvalidInput as error:
        assert "twice" in str(error) or "NET_ADMIN" in str(error)
        return
    told = json.loads(json.dumps(options.as_options(one, one["resources"], "/logs")))
    again = config.parse(told, "/logs")
    assert options.differences(one, again) == []
    assert again["resources"] == one["resources"]


def test_every_value_of_a_configuration_has_a_row():
    """What has none would be changed without a word, and never made so."""
    names = {option.name.partition(".")[0] for option in options.TABLE}
    assert set(parsed(rdt={"class": "gold"})) - {"resources"} <= names
    assert set(parsed()["log"]) <= {option.name.partition(".")[2] for option in options.TABLE}


@pytest.mark.parametrize(
    ("change", "names"),
    [
        ({"command": ["false"]}, ["command"]),
        ({"volumes": ["/etc:/a:ro"]}, ["mounts"]),
        ({"volumes": ["/etc:/a:exec"]}, ["mounts"]),
        ({"tmpfs": {"/t": "size=2m"}}, ["mounts"]),
        ({"groups": ["video"]}, ["groups"]),
        ({"user": "0:0"}, ["user"]),
        ({"stop_timeout": 3, "restart_policy": "always"}, ["restart_policy", "stop_timeout"]),
        ({"log": {"max_size": "1M"}}, ["log.max_size"]),
        ({"log": {"path": "/x"}}, ["log.path"]),
        ({"masked_paths": ["/x"]}, ["masked_paths"]),
        ({"env": {"A": 1}}, ["env"]),
        ({"network": "host"}, ["network"]),
        ({"network": {"mode": "bridge"}}, ["network"]),
    ],
)
def test_a_change_is_a_change(change, names):
    assert (
        options.differences(
            parsed(volumes=["/etc:/a"], tmpfs={"/t": "size=1m"}),
            parsed(**{"volumes": ["/etc:/a"], "tmpfs": {"/t": "size=1m"}, **change}),
        )
        == names
    )


def released(**more):
    """A record's configuration as version 0.1.0 wrote it."""
    return {
        "name": "web",
        "rootfs": "host",
        "readonly": False,
        "command": ["true"],
        "env": {},
        "cwd": "/",
        "user": "root",
        "groups": ["video", "audio"],
        "umask": 18,
        "hostname": "web",
        "network": {"mode": "none"},
        "mounts": [
            {"type": "bind", "source": "/usr", "destination": "/b", "options": ["rw"]},
            {"type": "bind", "source": "/etc", "destination": "/a", "options": []},
        ],
        "masked_paths": ["/proc/acpi", "/proc/kcore", "/proc/keys", "/sys/firmware", "/own"],
        "readonly_paths": ["/proc/asound", "/proc/bus"],
        "devices": [],
        "sysctls": {},
        "capabilities": parsed()["capabilities"],
        "no_new_privileges": True,
        "rlimits": {},
        "oom_score_adj": None,
        "cgroup_parent": "bulkhead",
        "rdt": None,
        "restart_policy": {"name": "no", "max": 0},
        "log": {"path": "/logs/web.log", "max_size": 16 << 20, "max_files": 2},
        "stop_signal": 15,
        "stop_timeout": 10,
        **more,
    }


ASKED = {
    "user": "0",
    "groups": ["audio", "video"],
    "volumes": ["/etc:/a", "/usr:/b"],
    "masked_paths": ["/own"],
}


def test_a_record_of_an_earlier_release_is_the_same_container():
    wanted = parsed(**ASKED)
    assert options.differences(released(), wanted) == []
    assert options.as_held(wanted, released()) == released(), "nothing of it is written anew"
    assert options.differences(released(command=["other"]), wanted) == ["command"]
    without = released()
    for name in (
        "sysctls",
        "rlimits",
        "readonly",
        "oom_score_adj",
        "stop_timeout",
        "groups",
        "no_new_privileges",
    ):
        del without[name]
    assert options.differences(without, parsed(**{**ASKED, "groups": []})) == []


def test_an_earlier_release_did_not_look_where_a_link_leads(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    held = released(
        mounts=[
            {"type": "bind", "source": str(tmp_path / "link"), "destination": "/a", "options": []}
        ]
    )
    wanted = parsed(**{**ASKED, "volumes": ["%s:/a" % (tmp_path / "real")]})
    assert options.differences(held, wanted) == []
    assert options.as_held(wanted, held)["mounts"][0]["source"] == str(tmp_path / "real"), (
        "the next start opens no link"
    )
    assert options.differences(held, parsed(**{**ASKED, "volumes": ["/etc:/a"]})) == ["mounts"]


def test_supervisor_is_a_difference_in_both_directions():
    assert options.differences(released(), {**parsed(**ASKED), "supervisor": "systemd"}) == [
        "supervisor"
    ]
    assert options.differences(released(supervisor="systemd"), parsed(**ASKED)) == ["supervisor"]


def test_a_diff_shows_no_value_of_the_environment():
    shown = options.shown(parsed(env={"TOKEN": "s3cret"}), {}, ["env", "command"])
    assert "s3cret" not in shown and "TOKEN" in shown and "true" in shown


# What changes live


def test_what_changes_live_is_read_as_it_was_written():
    before = parsed(network="bridge")
    after = parsed(
        network={"mode": "bridge", "bandwidth": {"egress": {"rate": "10mbit"}}},
        restart_policy="on-failure:3",
        log={"max_size": "1M", "max_files": 5},
        stop_signal="INT",
        stop_timeout=3,
        healthcheck={"command": ["true"], "retries": 5},
        labels={"tier": "one"},
        disk_quota={"block_hard": "1G"},
    )
    assert live.over(before, live.text_of(after)) == after
    assert sorted(options.differences(before, after)) == sorted(options.live_keys()), (
        "each of them is written down"
    )


def test_a_disk_quota_is_compared_by_what_it_limits():
    one = parsed(disk_quota={"block_hard": "1g", "inode_hard": 1000})
    assert options.differences(one, parsed(disk_quota={"block_hard": "1024MiB", "inode_hard": "1000", "block_soft": "max"})) == []
    assert options.differences(one, parsed(disk_quota={"block_hard": "2g", "inode_hard": 1000})) == ["disk_quota"]
    assert options.differences(one, parsed()) == ["disk_quota"]
    for nothing in ({}, {"block_hard": "max"}, {"block_hard": 0}, {"inode_soft": None}):
        assert parsed(disk_quota=nothing)["disk_quota"] is None
    before_there_were_any = {key: value for key, value in parsed().items() if key != "disk_quota"}
    assert options.differences(before_there_were_any, parsed()) == []
    assert options.as_options(one, {}, "/logs")["disk_quota"] == {"block_hard": "1g", "inode_hard": 1000}


@pytest.mark.parametrize(
    ("value", "rootfs", "words"),
    [
        ({"block_hard": "10 bananas"}, "host", "disk_quota: block_hard"),
        ({"inode_hard": 1.5}, "host", "disk_quota: inode_hard"),
        ({"block_soft": "2G", "block_hard": "1G"}, "host", "disk_quota: block_hard 1073741824 is less than block_soft"),
        ({"size": "1G"}, "host", "disk_quota: size is none of block_soft, block_hard, inode_soft, inode_hard"),
        ("1G", "host", "disk_quota"),
        ({"block_hard": "1G"}, "/srv/root", "with a directory as rootfs there are none.*directory: /srv/root"),
    ],
)
def test_a_disk_quota_that_cannot_be_is_refused(value, rootfs, words):
    with pytest.raises(InvalidInput, match=words):
        parsed(disk_quota=value, rootfs=rootfs)


def test_a_supervisor_sees_what_changes(tmp_path):
    before, after = parsed(), parsed(stop_timeout=3)
    values = live.Values(str(tmp_path), before)
    assert values.config() == before
    (tmp_path / live.FILE).write_text(live.text_of(after), encoding="utf-8")
    assert values.config() == after == live.read(str(tmp_path), before)
    assert values.config() is values.config(), "read once"


# Whatever is given, what comes out is a configuration or an error that a user can read

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["\0", "a\0b", "-1", "9" * 40, "\udc80", "/\0", "max"])
)
ODD = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(SCALARS.filter(lambda key: not (isinstance(key, float) and math.isnan(key))), inner, max_size=3)
    ),
    max_leaves=6,
)
KEYS = [
    "name",
    *sorted({option.name.partition(".")[0] for option in options.TABLE}),
    "volumes",
    "tmpfs",
    "resources",
]
SHAPED = {
    "mounts": st.lists(
        st.fixed_dictionaries(
            {}, optional=dict.fromkeys(("type", "source", "destination", "options"), ODD)
        ),
        max_size=2,
    ),
    "devices": st.lists(
        st.fixed_dictionaries(
            {"path": ODD | st.just("/dev/x")},
            optional=dict.fromkeys(("type", "major", "minor", "access", "mode", "uid", "gid"), ODD),
        ),
        max_size=2,
    ),
    "capabilities": st.fixed_dictionaries({}, optional={"add": ODD, "drop": ODD}),
    "rlimits": st.dictionaries(st.sampled_from(["nofile", "core"]), ODD, max_size=2),
    "log": st.fixed_dictionaries(
        {}, optional=dict.fromkeys(("path", "max_size", "max_files"), ODD)
    ),
    "env": st.dictionaries(st.text(max_size=3), ODD, max_size=2),
    "network": st.fixed_dictionaries(
        {"mode": st.just("bridge") | ODD},
        optional=dict.fromkeys(("bridge", "subnet", "address", "gateway", "interface", "mtu"), ODD),
    ),
}


@given(
    st.dictionaries(st.sampled_from(KEYS), ODD, max_size=3),
    st.fixed_dictionaries({}, optional=SHAPED),
)
@RELAXED
def test_whatever_is_given_is_parsed_or_refused(odd, shaped):
    try:
        config.parse({"name": "web", "command": ["true"], **shaped, **odd}, "/logs")
    except InvalidInput as error:
        assert str(error)
