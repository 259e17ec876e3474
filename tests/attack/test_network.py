# SPDX-FileCopyrightText: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Containers on a bridge: they reach each other and keep their addresses, and what is hostile in one
neither changes the machine's side nor hears what is not for it. Nothing stays behind, whatever is killed.

Each process uses a bridge and networks of its own; no packet leaves the machine.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import time
from pathlib import Path

import pytest
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.container import (
    state,
    wiring,
)
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.errors import BulkheadError
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.kernel import (
    bridgeport,
    netdevice,
    netlink,
)
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.tc import observation

from .conftest import interfaces, is_gone, runtimes

_PID = os.getpid()
BRIDGE = "bha%d" % _PID
FOREIGN = "bhf%d" % _PID
NET_4 = "10.%d.%d" % (100 + (_PID >> 8) % 100, _PID % 256)
NET_6 = "fd5c:9a3e:71b4:%x" % (_PID % 65536)
SUBNETS = [NET_4 + ".0/24", NET_6 + "::/64"]
PYTHON = "/usr/bin/python3"


def on_bridge(last=None, **more):
    """The option of a container with these addresses; given by the node for no number."""
    given = {} if last is None else {"address": ["%s.%d/24" % (NET_4, last), "%s::%x/64" % (NET_6, last)]}
    return {"mode": "bridge", "bridge": BRIDGE, "subnet": SUBNETS, **given, **more}


def link(name):
    with netlink.Socket() as door:
        return netdevice.link(door, name)


def own_end(node, name):
    """The host's ends of a container."""
    found = []
    for path in Path("/sys/class/net").glob("bh*"):
        alias = (path / "ifalias").read_text(encoding="utf-8").strip()
        if alias == wiring.marks(name, node.prefix, "")["alias"]:
            found.append(path.name)
    return found


SERVER = """
import socket, sys, threading
def serve(family, address):
    server = socket.create_server((address, 7000), family=family)
    while True:
        connection, peer = server.accept()
        connection.sendall(peer[0].encode())
        connection.close()
threading.Thread(target=serve, args=(socket.AF_INET, "0.0.0.0")).start()
serve(socket.AF_INET6, "::")
"""
SERVER = SERVER.replace("family=family)", "family=family, dualstack_ipv6=False)")
CLIENT = """
import socket, sys, time
for address in sys.argv[1:]:
    for attempt in range(50):
        try:
            with socket.create_connection((address, 7000), 5) as connection:
                print(connection.recv(99).decode())
            break
        except ConnectionRefusedError:
            time.sleep(0.2)
"""


def serve(node, name, last, **options):
    return node.converge({"name": name, "command": [PYTHON, "-c", SERVER], "network": on_bridge(last), **options})[1][0]


def asked_from(node, name, *addresses):
    """Under which address the server sees a container of this node, by each of its own addresses."""
    return node.exec(name, [PYTHON, "-c", CLIENT, *addresses])["stdout"].split()


def test_two_reach_each_other_and_leave_nothing(node):
    serve(node, "one", 11)
    report = node.serve("two", network=on_bridge())
    given = [address.partition("/")[0] for address in report["network"]["addresses"]]
    assert given[0].startswith(NET_4) and given[1].startswith(NET_6)
    assert asked_from(node, "two", NET_4 + ".11", NET_6 + "::b") == given
    assert link(BRIDGE).alias == wiring.marks("", node.prefix, "")["bridge_alias"]
    assert node.converge({"name": "two", "command": ["sleep", "1000"], "network": on_bridge()})[0] == 0
    node.converge({"name": "one", "state": "absent"})
    assert link(BRIDGE) and not own_end(node, "one"), "the other one is still on it"
    node.converge({"name": "two", "state": "absent"})
    assert not link(BRIDGE) and not own_end(node, "two")


def test_a_restart_keeps_address_and_place(node):
    """By the monitor, by a stop and a start, and by being asked for."""
    given = serve(node, "server", None, restart_policy="always")["network"]["addresses"]
    node.serve("client", network=on_bridge())
    there = [address.partition("/")[0] for address in given]
    first = own_end(node, "server")
    old = state.read(node.paths.state("server"))
    os.kill(old["pid"], signal.SIGKILL)
    assert is_gone(lambda: state.read(node.paths.state("server"))["pid"] not in (0, old["pid"]), 20)
    assert len(asked_from(node, "client", *there)) == 2
    assert is_gone(lambda: len(own_end(node, "server")) == 1) and own_end(node, "server") != first
    serve(node, "server", None, restart_policy="always", state="restarted")
    assert len(asked_from(node, "client", *there)) == 2
    node.converge({"name": "server", "state": "stopped"})
    assert is_gone(lambda: not own_end(node, "server"))
    again = serve(node, "server", None, restart_policy="always")
    assert again["network"]["addresses"] == given
    assert len(asked_from(node, "client", *there)) == 2


def test_a_bridge_that_was_removed_comes_back_with_the_next_start(node):
    """The monitor makes it again: no planner runs then."""
    serve(node, "server", 11, restart_policy="always")
    subprocess.run(["ip", "link", "del", BRIDGE], check=True)
    old = state.read(node.paths.state("server"))
    os.kill(old["pid"], signal.SIGKILL)
    assert is_gone(lambda: state.read(node.paths.state("server"))["pid"] not in (0, old["pid"]), 20)
    assert link(BRIDGE).up
    node.serve("client", network=on_bridge())
    assert len(asked_from(node, "client", NET_4 + ".11", NET_6 + "::b")) == 2


@pytest.fixture
def foreign():
    subprocess.run(["ip", "link", "add", FOREIGN, "type", "bridge"], check=True)
    subprocess.run(["ip", "link", "set", FOREIGN, "address", "02:00:00:00:00:17", "mtu", "1450", "up"], check=True)
    subprocess.run(["ip", "addr", "add", NET_4 + ".1/24", "dev", FOREIGN], check=True)
    yield FOREIGN
    subprocess.run(["ip", "link", "del", FOREIGN], check=True)


def shown(name):
    """What an administrator sees of a bridge, but for its state and timers."""
    found = json.loads(subprocess.check_output(["ip", "-d", "-j", "addr", "show", name]))[0]
    return {key: found.get(key) for key in ("ifname", "mtu", "address", "group", "ifalias", "linkinfo")} | {
        "addr_info": [one["local"] for one in found["addr_info"] if one["scope"] == "global"]
    }


def without_timers(found):
    data = found["linkinfo"]["info_data"]
    return {**found, "linkinfo": {key: value for key, value in data.items() if "timer" not in key and "topology" not in key}}


def test_a_foreign_bridge_is_used_and_not_changed(node, foreign):
    before = without_timers(shown(foreign))
    report = node.serve("guest", network={"mode": "bridge", "bridge": foreign, "mtu": 1400})
    assert report["network"]["gateways"] == [NET_4 + ".1"] and len(report["network"]["addresses"]) == 1
    inside = json.loads(node.exec("guest", ["ip", "-j", "link", "show", "eth0"])["stdout"])[0]
    assert inside["mtu"] == 1400
    assert without_timers(shown(foreign)) == before
    node.converge({"name": "guest", "state": "absent"})
    assert without_timers(shown(foreign)) == before


# What is refused, before anything is written


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"address": "10.3.2.1/24"}, "outside of"),
        ({"address": NET_4 + ".9/25"}, "outside of"),
        ({"address": NET_4 + ".1/24"}, "the bridge .* itself has"),
        ({"address": NET_4 + ".11/24"}, "container one has"),
        ({"subnet": "10.3.2.0/24"}, "is there and has"),
        ({"bridge": "bhn%d" % _PID, "subnet": []}, "there is no bridge"),
        ({"bridge": "bhn%d" % _PID}, "overlaps with"),
        ({"bridge": "bhv%d" % _PID, "subnet": []}, "is no bridge"),
        ({"gateway": "10.3.2.1"}, "in no network"),
        ({"mtu": 9000}, "is more than"),
    ],
)
def test_what_cannot_be_had_is_refused_first(node, asked, words):
    serve(node, "one", 11)
    veth = "bhv%d" % _PID
    subprocess.run(["ip", "link", "add", veth, "type", "veth", "peer", "name", veth + "p"], check=True)
    try:
        before = interfaces(node.prefix)
        with pytest.raises(BulkheadError, match=words):
            node.serve("two", network=on_bridge(**asked))
        assert not os.path.exists(node.paths.state("two"))
        assert interfaces(node.prefix) == before
    finally:
        subprocess.run(["ip", "link", "del", veth], check=True)


def test_two_of_one_call_cannot_have_one_address(node):
    items = [{"name": name, "command": ["sleep", "1000"], "network": on_bridge(12)} for name in ("one", "two")]
    with pytest.raises(BulkheadError, match=r"has .*12 already"):
        node.converge(*items)
    items[1]["network"] = on_bridge()
    items.reverse()
    found = node.converge(*items)[1]
    assert found[0]["network"]["addresses"] != found[1]["network"]["addresses"]


def test_a_kernel_without_bridges(node, monkeypatch):
    monkeypatch.setattr(bridgeport, "why_not", lambda: netlink.NetlinkError(netlink.Answer(95, "Unknown device type"), "x"))
    with pytest.raises(BulkheadError, match="CONFIG_BRIDGE") as caught:
        node.serve("one", network=on_bridge())
    assert caught.value.kernel == "Unknown device type"
    assert not os.path.exists(node.paths.state("one"))


def test_a_start_that_fails_leaves_no_bridge(node):
    with pytest.raises(BulkheadError, match="no-such-parameter"):
        node.serve("one", network=on_bridge(), sysctls={"net.ipv4.no-such-parameter": 1})
    assert not link(BRIDGE) and not interfaces(node.prefix)


# Killed runs


def in_another_process(node, *items):
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            node.converge(*items)
            code = 0
        finally:
            os._exit(code)
    return pid


def items(number=2):
    return [{"name": "kill-%d" % one, "command": ["sleep", "1000"], "network": on_bridge()} for one in range(number)]


@pytest.mark.parametrize("seed", range(12))
def test_a_killed_run_heals(node, seed):
    """SIGKILL for the module or the helper at a random moment; then the next run has them, or nothing stays."""
    chance = random.Random(seed)
    if seed % 3 == 0:
        node.converge(*({**item, "hostname": "old"} for item in items()))
    node.names |= {item["name"] for item in items()}
    pid = in_another_process(node, *items())
    time.sleep(chance.uniform(0, 1.5))
    for victim in [pid] if seed % 2 else runtimes(node.prefix):
        try:
            os.kill(victim, signal.SIGKILL)
        except ProcessLookupError:
            pass
    os.waitpid(pid, 0)
    if seed % 4 > 1:
        node.converge(*items())
        assert all(len(own_end(node, item["name"])) == 1 for item in items())
        assert node.converge(*items())[0] == 0
    node.converge(*({"name": item["name"], "state": "absent"} for item in items()))
    assert is_gone(lambda: not interfaces(node.prefix))


@pytest.mark.parametrize("seed", range(6))
def test_a_killed_removal_heals(node, seed):
    node.converge(*items())
    pid = in_another_process(node, *({"name": item["name"], "state": "absent"} for item in items()))
    time.sleep(random.Random(seed).uniform(0, 0.5))
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    node.converge(*({"name": item["name"], "state": "absent"} for item in items()))
    assert not link(BRIDGE) and is_gone(lambda: not interfaces(node.prefix))
    node.converge(*items())  # what else a killed run left goes with the next one


def test_a_killed_monitor_takes_the_interface_along(node):
    node.serve("watched", network=on_bridge())
    os.kill(state.read(node.paths.state("watched"))["monitor"]["pid"], signal.SIGKILL)
    assert is_gone(lambda: not own_end(node, "watched"))
    assert node.serve("watched", network=on_bridge())["status"] == "running"
    assert len(own_end(node, "watched")) == 1


def test_a_bridge_that_was_left_without_its_mark_is_completed(node):
    """What is left by a run that was killed between the two requests that make a bridge."""
    with netlink.Socket() as door:
        door.do(bridgeport.add_bridge(BRIDGE, b"\2\0\0\0\0\7", 1500, wiring.GROUP), BRIDGE)
    node.serve("one", network=on_bridge())
    found = link(BRIDGE)
    assert found.up and found.alias == wiring.marks("", node.prefix, "")["bridge_alias"]
    assert shown(BRIDGE)["addr_info"] == [NET_4 + ".1", NET_6 + "::1"]


def test_what_an_earlier_life_left_goes_with_the_next(node):
    """An interface with the mark of a container that no namespace took along."""
    name = "bhl%d" % _PID
    with netlink.Socket() as door:
        door.do(netdevice.add_veth(name, name + "p"), name)
        door.do(netdevice.set_alias(name, wiring.marks("one", node.prefix, "")["alias"]), name)
    node.serve("one", network=on_bridge())
    assert not link(name) and len(own_end(node, "one")) == 1


def test_runs_side_by_side_give_no_address_twice_and_leave_no_bridge(node):
    wanted = [{"name": "side-%d" % one, "command": ["sleep", "1000"], "network": on_bridge(subnet=[NET_4 + ".0/29"])} for one in range(4)]
    node.names |= {item["name"] for item in wanted}
    for state_asked in ("started", "absent"):
        running = [in_another_process(node, {**item, "state": state_asked}) for item in wanted]
        assert [os.waitpid(pid, 0)[1] for pid in running] == [0] * len(running)
        if state_asked == "started":
            given = [state.read(node.paths.state(item["name"]))["config"]["network"]["resolved"]["addresses"][0] for item in wanted]
            assert len(set(given)) == len(given)
    assert not link(BRIDGE)
    node.converge(wanted[0])


# Hostile containers

CHANGE = """
import os, socket, struct, sys
def attribute(kind, value): return struct.pack("=HH", 4 + len(value), kind) + value + b"\\0" * (-len(value) & 3)
door = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)
def ask(kind, flags, body):
    door.send(struct.pack("=IHHII", 16 + len(body), kind, 5 | flags, 1, 0) + body)
    data = door.recv(65536)
    return -struct.unpack_from("=i", data, 16)[0] if struct.unpack_from("=H", data, 4)[0] == 2 else 0
head = lambda index, flags=0: struct.pack("=BxHiII", 0, 0, index, flags, flags)
# IFLA_TARGET_NETNSID (46): the namespace of the other end of the own interface has a number here.
foreign = attribute(46, struct.pack("=i", 0))
eth0 = socket.if_nametoindex("eth0")
print(ask(16, 0x600, head(0) + foreign + attribute(3, sys.argv[1].encode() + b"\\0") + attribute(18, attribute(1, b"bridge"))))
print(ask(19, 0, head(eth0) + foreign))
print(ask(17, 0, head(eth0)))
print(ask(19, 0, head(eth0) + attribute(1, bytes(6))))
"""


def test_root_inside_cannot_change_the_machine(node):
    """By the number that the other end's namespace has inside, the kernel lets who has NET_ADMIN change
    the machine's interfaces: so it is not to be had on a bridge."""
    made = "bhc%d" % _PID
    with pytest.raises(BulkheadError, match="NET_ADMIN"):
        node.serve("hostile", network=on_bridge(), capabilities={"add": ["NET_ADMIN"]})
    report = node.serve("hostile", network=on_bridge(), capabilities={"add": ["NET_RAW"]})
    before = shown(BRIDGE)["addr_info"], own_end(node, "hostile")
    answers = node.exec("hostile", [PYTHON, "-c", CHANGE, made])["stdout"].split()
    assert answers == ["1", "1", "1", "1"], "EPERM for each"
    assert not link(made)
    assert (shown(BRIDGE)["addr_info"], own_end(node, "hostile")) == before
    # With the capability, the first of them works.
    outside = subprocess.run(
        ["nsenter", "--net=/proc/%d/ns/net" % report["pid"], PYTHON, "-c", CHANGE, made],
        capture_output=True,
        text=True,
        check=True,
    )
    try:
        assert outside.stdout.split()[0] == "0", outside
        assert link(made)
    finally:
        subprocess.run(["ip", "link", "del", made], check=False)


ADVERTISE = """
import socket, struct
prefix = socket.inet_pton(socket.AF_INET6, "fd5c:9a3e:71b4:bad::")
option = struct.pack("!BBBBIII", 3, 4, 64, 0xC0, 600, 600, 0) + prefix
advertisement = struct.pack("!BBHBBHII", 134, 0, 0, 64, 0, 0, 0, 0) + option
door = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
door.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
door.sendto(advertisement, ("ff02::1", 0, 0, socket.if_nametoindex("eth0")))
"""


def advertised():
    return [address for address in shown(BRIDGE)["addr_info"] if ":bad:" in address]


def test_no_router_inside_is_believed(node):
    """CVE-2020-13401: the machine takes an address from whoever advertises a network on its bridge."""
    node.serve("router", network=on_bridge(), capabilities={"add": ["NET_RAW"]})
    node.serve("other", network=on_bridge())
    time.sleep(3)  # until link-local addresses are known to be free
    node.exec("router", [PYTHON, "-c", ADVERTISE])
    time.sleep(1)
    assert not advertised()
    assert ":bad:" not in node.exec("other", ["ip", "addr"])["stdout"]
    Path("/proc/sys/net/ipv6/conf/%s/accept_ra" % BRIDGE).write_text("2", encoding="ascii")
    assert is_gone(lambda: node.exec("router", [PYTHON, "-c", ADVERTISE]) and advertised(), 10), "the attack works where it is allowed"


SPY = """
import socket, sys, time
spoofed, seconds = bytes.fromhex(sys.argv[1]), float(sys.argv[2])
door = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
door.bind(("eth0", 0))
door.settimeout(0.01)
end, seen = time.monotonic() + seconds, 0
while time.monotonic() < end:
    door.send(b"\\xff" * 6 + spoofed + b"\\x88\\xb5" + bytes(46))
    try:
        seen += b"the secret" in door.recv(65536)
    except OSError:
        pass
print(seen)
"""
TALK = """
import socket, sys, time
door = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
end = time.monotonic() + float(sys.argv[2])
while time.monotonic() < end:
    door.sendto(b"the secret", (sys.argv[1], 7001))
    time.sleep(0.02)
"""


def overheard(node, victim):
    """How many packets to a container another one sees that claims the address of its link layer."""
    talk = os.fork()
    if talk == 0:
        try:
            node.exec("talker", [PYTHON, "-c", TALK, NET_4 + ".12", "5"])
        finally:
            os._exit(0)
    spied = node.exec("spy", [PYTHON, "-c", SPY, victim, "3"], timeout=60)
    os.waitpid(talk, 0)
    assert spied["rc"] == 0, spied
    return int(spied["stdout"])


def test_none_hears_what_is_for_another(node):
    node.serve("talker", network=on_bridge(11))
    node.serve("victim", network=on_bridge(12))
    node.serve("spy", network=on_bridge(13), capabilities={"add": ["NET_RAW"]})
    victim = node.exec("victim", ["cat", "/sys/class/net/eth0/address"])["stdout"].strip().replace(":", "")
    assert overheard(node, victim) == 0
    # A port as bridges have them by default follows the address to whoever claims it last.
    for name in own_end(node, "spy") + own_end(node, "victim"):
        subprocess.run(["bridge", "link", "set", "dev", name, "learning", "on", "flood", "on"], check=True)
    address = ":".join(victim[at : at + 2] for at in range(0, 12, 2))
    subprocess.run(["bridge", "fdb", "del", address, "dev", own_end(node, "victim")[0], "master"], check=True)
    assert overheard(node, victim) > 0, "the attack works where it is allowed"


# Bandwidth


def queues(name):
    return json.loads(subprocess.check_output(["tc", "-j", "qdisc", "show", "dev", name]))


def helpers():
    with netlink.Socket() as door:
        return {one.name: one.index for one in netdevice.links(door, "ifb") if one.group == observation.GROUP}


def helper_of(name):
    with netlink.Socket() as door:
        return observation.helper_name(netdevice.link(door, name).index)


def rates(node, name):
    """(what the container sends, what it receives) in bytes a second, as tc reads it."""
    end = own_end(node, name)[-1]
    devices = [device for device in (helper_of(end), end) if os.path.exists("/sys/class/net/" + device)]
    return [queue["options"]["rate"] for device in devices for queue in queues(device) if queue["kind"] == "tbf"]


def shaped(node, bandwidth, **more):
    return node.converge({"name": "shaped", "command": ["sleep", "1000"], "network": on_bridge(11, **({"bandwidth": bandwidth} if bandwidth else {})), **more})


def test_bandwidth_is_limited_from_the_first_instruction_and_at_every_start(node):
    before = helpers()
    shaped(node, {"egress": {"rate": "8mbit"}, "ingress": {"rate": "16mbit"}}, restart_policy="always")
    assert rates(node, "shaped") == [1000000, 2000000]
    old = state.read(node.paths.state("shaped"))
    # Changed live: the process goes on, and the next start has the new limits.
    shaped(node, {"egress": {"rate": "4mbit"}, "ingress": {"rate": "16mbit"}}, restart_policy="always")
    assert state.read(node.paths.state("shaped"))["pid"] == old["pid"]
    assert rates(node, "shaped") == [500000, 2000000]
    os.kill(old["pid"], signal.SIGKILL)
    assert is_gone(lambda: state.read(node.paths.state("shaped"))["pid"] not in (0, old["pid"]), 20)
    assert is_gone(lambda: len(own_end(node, "shaped")) == 1)
    assert rates(node, "shaped") == [500000, 2000000]
    assert len(helpers()) == len(before) + 1, "that of the earlier interface is gone"
    # What somebody else changed is put right, and nothing is left when it is not asked for any more.
    subprocess.run(["tc", "qdisc", "del", "dev", own_end(node, "shaped")[0], "root"], check=True)
    shaped(node, {"egress": {"rate": "4mbit"}, "ingress": {"rate": "16mbit"}}, restart_policy="always")
    assert rates(node, "shaped") == [500000, 2000000]
    shaped(node, None, restart_policy="always")
    assert rates(node, "shaped") == [] and helpers() == before
    shaped(node, {"egress": {"rate": "4mbit"}}, restart_policy="always")
    node.converge({"name": "shaped", "state": "absent"})
    assert helpers() == before


SEND = """
import socket, sys, time
door = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
end = time.monotonic() + float(sys.argv[2])
while time.monotonic() < end:
    door.sendto(bytes(1400), (sys.argv[1], 7001))
"""


def test_what_a_container_sends_stays_within_its_rate(node):
    node.serve("sink", network=on_bridge(12))
    rate = 1000000
    shaped(node, {"egress": {"rate": "8mbit"}}, command=[PYTHON, "-c", SEND, NET_4 + ".12", "1000"])
    time.sleep(1)
    end = own_end(node, "sink")[0]
    path = Path("/sys/class/net/%s/statistics/tx_bytes" % end)
    began, first = time.monotonic(), int(path.read_text(encoding="ascii"))
    time.sleep(4)
    measured = (int(path.read_text(encoding="ascii")) - first) / (time.monotonic() - began)
    assert 0.9 * rate < measured < 1.05 * rate


def test_the_main_process_of_a_unit_makes_the_same(node):
    """Where systemd supervises, no helper is there: what a unit runs has imported all that it takes."""
    shaped(node, {"egress": {"rate": "8mbit"}, "ingress": {"rate": "16mbit"}}, log={"path": "none"})
    config = state.read(node.paths.state("shaped"))["config"]
    node.converge({"name": "shaped", "state": "stopped"})
    assert is_gone(lambda: not own_end(node, "shaped"))
    spec = Path(node.prefix, "spec.json")
    spec.write_text(json.dumps({"config": config, "resources": {}}), encoding="utf-8")
    command = [PYTHON, "-I", "-S", node.paths.core, "run-unit", str(spec)]
    with subprocess.Popen(command, env={"BULKHEAD_PREFIX": node.prefix}) as unit:
        try:
            assert is_gone(lambda: state.read(node.paths.state("shaped"))["status"] == "running", 20)
            assert rates(node, "shaped") == [1000000, 2000000]
        finally:
            unit.terminate()
    assert is_gone(lambda: not own_end(node, "shaped"))


def test_bandwidth_that_cannot_be_had_is_refused_first(node):
    for bandwidth, words in (
        ({"egress": {"rate": "8mbit", "burst": 1000}}, "lets no full frame"),
        ({"ingress": {"rate": "8mbit", "method": "police"}}, "police"),
    ):
        with pytest.raises(BulkheadError, match=words):
            shaped(node, bandwidth)
        assert not os.path.exists(node.paths.state("shaped")) and not link(BRIDGE)


def test_the_interface_is_told(node):
    from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.cgroup.host import Host
    from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.container import info

    serve(node, "server", 11)
    node.serve("client", network=on_bridge(12))
    assert len(asked_from(node, "client", NET_4 + ".11", NET_6 + "::b")) == 2
    told = info.look(node.paths, Host.observe(), {"name": "server", "subset": ["network", "config"]})[0]
    assert told["network"]["addresses"] == [NET_4 + ".11/24", NET_6 + "::b/64"]
    assert [told["network"]["host_interface"]] == own_end(node, "server")
    assert told["network"]["counters"]["received_packets"] > 0 < told["network"]["counters"]["sent_bytes"]
    assert told["config"]["network"] == {**on_bridge(11), "subnet": [NET_4 + ".1/24", NET_6 + "::1/64"], "interface": "eth0"}
    inside = json.loads(node.exec("server", ["ip", "-s", "-j", "link", "show", "eth0"])["stdout"])[0]
    assert inside["stats64"]["rx"]["packets"] >= told["network"]["counters"]["received_packets"]
    assert inside["address"] == told["network"]["hardware_address"]
