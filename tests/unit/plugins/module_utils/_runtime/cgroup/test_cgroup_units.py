# SPDX-FileCopyrightText: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Groups as units of systemd: names, and limits as lines of a drop-in and what they come to. What systemd does with them, the lab shows."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime import slices
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.cgroup import properties
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.cgroup.group import Group, parse_group
from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.errors import InvalidInput
from fake_kernel import FakeHost


@pytest.mark.parametrize(
    ("name", "unit", "path"),
    [
        ("web", "web.slice", "web.slice"),
        ("web/frontend", "web-frontend.slice", "web.slice/web-frontend.slice"),
        ("my-app/a", "my\\x2dapp-a.slice", "my\\x2dapp.slice/my\\x2dapp-a.slice"),
        ("a b/ü", "a\\x20b-\\xc3\\xbc.slice", "a\\x20b.slice/a\\x20b-\\xc3\\xbc.slice"),
        (".hidden", "\\x2ehidden.slice", "\\x2ehidden.slice"),
        ("memory/x", "memory-x.slice", "_memory.slice/memory-x.slice"),
        ("_x", "_x.slice", "__x.slice"),
    ],
)
def test_a_name_is_a_slice(name: str, unit: str, path: str) -> None:
    assert slices.place_of(name).unit == unit
    assert slices.path_of(unit) == path


@pytest.mark.parametrize(
    ("name", "unit", "below", "above"),
    [
        ("nginx.service", "nginx.service", "", ""),
        ("system.slice/nginx.service", "nginx.service", "", "system.slice"),
        ("web.slice/web-a.slice", "web-a.slice", "", "web.slice"),
        ("build.service/worker/1", "build.service", "worker/1", ""),
        ("system.slice/build.service/worker", "build.service", "worker", "system.slice"),
        ("build.service/own.slice/x.service", "build.service", "own.slice/x.service", ""),
        ("session-1.scope", "session-1.scope", "", ""),
    ],
)
def test_a_name_may_be_of_a_unit(name: str, unit: str, below: str, above: str) -> None:
    place = slices.place_of(name)
    assert (place.unit, place.below, place.above) == (unit, below, above)


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("web", "web"),
        ("web.slice", "web"),
        ("web-front.slice", "web/front"),
        ("web.slice/web-front.slice", "web/front"),
        ("my\\x2dapp-a.slice", "my-app/a"),
        ("nginx.service", "nginx.service"),
        ("system.slice/nginx.service", "nginx.service"),
        ("system.slice/build.service/worker", "build.service/worker"),
        ("nginx.service.slice", "nginx.service.slice"),
        ("x--y.slice", "x--y.slice"),
        ("bad\\xzz.slice", "bad\\xzz.slice"),
        ("web.slice/plain", "web.slice/plain"),
    ],
)
def test_all_names_of_one_unit_are_kept_as_one(name: str, plain: str) -> None:
    assert slices.plain_name(name) == plain
    assert slices.plain_name(plain) == plain


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("web.slice/plain", "systemd delegates no slice"),
        ("plain/web.service", "web.service is a unit of systemd and plain is none"),
        ("-.slice", "the root slice is not managed"),
        ("a" * 250, "longer than 255"),
    ],
)
def test_names_that_mean_nothing(name: str, why: str) -> None:
    with pytest.raises(InvalidInput, match=why):
        slices.place_of(name)


def asked(host: FakeHost, **options: Any) -> tuple[Group, properties.Lines]:
    group = parse_group({"name": "web", **options}, host)
    return group, properties.lines_of(group, {setting.option: setting for setting in group.settings})


def test_limits_are_lines(v2: FakeHost) -> None:
    _group, lines = asked(
        v2, memory={"max": "64M", "high": "max", "swap_max": 0}, cpu={"weight": 50}, pids={"max": 9}, cpuset={"cpus": "0"}, controllers=["io"]
    )
    assert properties.text_of("Slice", lines) == (
        "# Written by bulkhead.linux, which keeps what it was asked for; make changes of your own in another file.\n[Slice]\n"
        "AllowedCPUs=0\nCPUWeight=50\nIOAccounting=yes\nMemoryHigh=infinity\nMemoryMax=67108864\nMemorySwapMax=0\nTasksMax=9\n"
    )
    assert properties.read(properties.text_of("Slice", lines)) == lines


@pytest.mark.parametrize(
    ("cpu_max", "said", "kept"),
    [
        (1.5, ("CPUQuota=150%", "CPUQuotaPeriodSec=100000us"), "150000 100000"),
        ("12345us 100ms", ("CPUQuota=12.34%", "CPUQuotaPeriodSec=100000us"), "12340 100000"),
        ("12345us 50ms", ("CPUQuota=24.69%", "CPUQuotaPeriodSec=50000us"), "12345 50000"),
        ("max", ("CPUQuota=", "CPUQuotaPeriodSec="), "max 100000"),
    ],
)
def test_a_quota_is_hundredths_of_a_percent(v2: FakeHost, cpu_max: Any, said: tuple[str, ...], kept: str) -> None:
    group, lines = asked(v2, cpu={"max": cpu_max})
    assert lines == {"cpu.max": said}
    assert [setting.kept for setting in group.settings] == [kept]


def test_systemd_rounds_shares_down(v1: FakeHost) -> None:
    group, lines = asked(v1, cpu={"weight": 77})
    assert lines == {"CPUWeight": ("CPUWeight=77",)}
    assert [setting.kept for setting in group.settings] == ["788"]  # 788.48; the kernel's own way would be to the nearest


def test_idle_is_a_weight(v2: FakeHost) -> None:
    assert asked(v2, cpu={"idle": True})[1] == {"CPUWeight": ("CPUWeight=idle",)}
    assert properties.merge({"CPUWeight": ("CPUWeight=idle",)}, asked(v2, cpu={"idle": False})[1]) == {}
    assert properties.merge({}, asked(v2, cpu={"idle": False, "weight": 5})[1]) == {"CPUWeight": ("CPUWeight=5",)}


def test_devices_are_a_policy(v2: FakeHost) -> None:
    rules = [{"type": "c", "major": 1, "minor": 3, "access": "rw"}, {"type": "c", "major": 136}, {"type": "b", "access": "m"}]
    _group, lines = asked(v2, devices=rules)
    assert lines["DeviceAllow"] == ("DevicePolicy=strict", "DeviceAllow=", "DeviceAllow=block-* m", "DeviceAllow=/dev/char/1:3 rw", "DeviceAllow=char-136 rwm")
    shown = {"DevicePolicy": "strict", "DeviceAllow": "char-136 rwm\n/dev/char/1:3 rw\nblock-* m"}
    assert properties.policy_lines(shown) == sorted(line for line in lines["DeviceAllow"] if line != "DeviceAllow=")


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"cpu": {"burst": "1ms", "max": 1}}, "no property for cpu.burst"),
        ({"memory": {"oom_group": True}}, "OOMPolicy=kill"),
        ({"cpuset": {"partition": "root"}}, "no property for cpuset.partition"),
        ({"hugetlb": {"2MB": "4M"}}, "no property for hugetlb.2MB"),
        ({"misc": {"sev": 1}}, "no property for misc.sev"),
        ({"files": {"cgroup.max.depth": 3}}, "no property for files cgroup.max.depth"),
        ({"pids": {"max": 0}}, "cannot express a pids.max of 0"),
        ({"controllers": ["cpu"]}, "systemd enables cpu when a limit of it is set"),
        ({"devices": [{"type": "a"}, {"type": "c", "major": 1, "minor": 3, "allow": False}]}, "allow some devices and deny the rest"),
        ({"devices": [{"type": "c", "minor": 3}]}, "one minor number of every major"),
    ],
)
def test_what_systemd_has_no_property_for(v2: FakeHost, options: dict[str, Any], why: str) -> None:
    with pytest.raises(InvalidInput, match=why):
        asked(v2, **options)


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"memory": {"low": "1M"}}, "memory.low cannot be had of systemd on this machine"),
        ({"cpuset": {"cpus": "0"}}, "cpuset.cpus cannot be had"),
        ({"io": {"weight": 50}}, "io.weight cannot be had"),
    ],
)
def test_what_systemd_does_not_do_on_v1(v1: FakeHost, options: dict[str, Any], why: str) -> None:
    with pytest.raises(InvalidInput, match=why) as caught:
        asked(v1, **options)
    assert "boot with cgroup v2" in caught.value.hint


def test_what_is_held_stays_until_it_is_asked_for_otherwise() -> None:
    held = properties.read("# ...\n[Slice]\nMemoryMax=1\nIOReadBandwidthMax=/dev/x 5\nIOReadBandwidthMax=/dev/y 6\nCPUQuota=10%\nCPUQuotaPeriodSec=5ms\n")
    assert list(held) == ["MemoryMax", "IOReadBandwidthMax /dev/x", "IOReadBandwidthMax /dev/y", "cpu.max"]
    merged = properties.merge(held, {"MemoryMax": ("MemoryMax=2",), "IOReadBandwidthMax /dev/y": ("IOReadBandwidthMax=/dev/y 7",)})
    text = properties.text_of("Slice", merged) or ""
    assert text.splitlines()[2:] == ["IOReadBandwidthMax=/dev/x 5", "IOReadBandwidthMax=/dev/y 7", "MemoryMax=2", "CPUQuota=10%", "CPUQuotaPeriodSec=5ms"]


def test_a_device_keeps_its_first_name() -> None:
    """The same device by another name would be another limit to systemd."""
    held = properties.read("[Slice]\nIOReadBandwidthMax=/no/such/../device 5\n")
    other = {"IOReadBandwidthMax /no/such/device": ("IOReadBandwidthMax=/no/such/device 5",)}
    assert properties.named_as(held, other) == other  # neither is there, so nothing says that they are one
    same = {"IOReadBandwidthMax /no/such/../device": ("IOReadBandwidthMax=/no/such/../device 9",)}
    assert properties.named_as(held, same) == same


def test_limits_of_devices_are_lifted_before_they_are_forgotten() -> None:
    """systemd leaves the kernel's io.max as it is when such a line is simply gone."""
    before = properties.text_of("Service", {"MemoryMax": ("MemoryMax=1",), "IOWriteIOPSMax /dev/x": ("IOWriteIOPSMax=/dev/x 5",)})
    after = properties.text_of("Service", {"MemoryMax": ("MemoryMax=1",)})
    assert (properties.lifted(before, after, "Service") or "").splitlines()[1:] == ["[Service]", "IOWriteIOPSMax=/dev/x infinity", "MemoryMax=1"]
    assert (properties.lifted(before, None, "Service") or "").splitlines()[1:] == ["[Service]", "IOWriteIOPSMax=/dev/x infinity"]
    assert properties.lifted(after, before, "Service") is None


@pytest.mark.parametrize(
    ("name", "there", "found"),
    [
        ("web", {"web", "web.slice"}, "web"),
        ("web", {"web.slice"}, "web.slice"),
        ("web/frontend", {"web.slice", "web.slice/web-frontend.slice"}, "web.slice/web-frontend.slice"),
        ("web.slice", {"web.slice"}, "web.slice"),
        ("web", set(), "web"),
        ("web.slice/below", set(), "web.slice/below"),
    ],
)
def test_which_group_a_name_means(name: str, there: set[str], found: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slices.systemd, "booted", lambda: True)
    assert slices.find(name, there.__contains__) == found
    monkeypatch.setattr(slices.systemd, "booted", lambda: False)
    assert slices.find(name, there.__contains__) == name
