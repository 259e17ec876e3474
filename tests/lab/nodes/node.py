# SPDX-FileCopyrightText: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A node: started, spoken to, rebooted, cut off, and thrown away.

What a node is lies in a directory of its own: node.json (how it was started), disk.qcow2 (what it wrote), console.log (what
its kernel said), qemu.log, ssh_config. It runs while the process named there runs in that directory.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from . import accel, qemu
from .images import CACHE, ROOT, Images, LabError, build

NODES = ROOT / "build/lab"
BOOT = {"kvm": 60.0, "tcg": 600.0}  # seconds until ssh must answer; a machine with other work to do needs many
SOURCES = "/src"
GIVEN_UP = ("Kernel panic", "emergency mode", "rescue mode")

SSH_CONFIG = """\
Host %(name)s
    HostName 127.0.0.1
    Port %(port)d
    User root
    IdentityFile "%(keys)s/user"
    IdentitiesOnly yes
    HostKeyAlias bulkhead-lab
    UserKnownHostsFile "%(keys)s/known_hosts"
    GlobalKnownHostsFile /dev/null
    StrictHostKeyChecking yes
    PasswordAuthentication no
    ConnectTimeout 20
    ServerAliveInterval 15
    ServerAliveCountMax 8
    LogLevel ERROR
    Compression no
    ControlMaster auto
    ControlPersist 15m
    ControlPath "%(keys)s/%%C"
"""


def say(text: str) -> None:
    print("==> " + text, file=sys.stderr, flush=True)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _be_as_nice(pid: int) -> None:
    """Let a session of its own have no more of the processors than its parent asks for: where sessions are groups for the
    scheduler (sched_autogroup, kernel/sched/autogroup.c), the niceness of their processes says nothing to others.
    """
    try:
        Path("/proc/%d/autogroup" % pid).write_text(str(os.nice(0)), encoding="ascii")
    except OSError:  # a kernel without it
        pass


class Node:
    """One virtual machine, by name. Making the object starts nothing."""

    def __init__(self, name: str, directory: Path = NODES) -> None:
        if not name or not all(char.isascii() and (char.isalnum() or char == "-") for char in name) or name.startswith("-"):
            raise LabError("a node is named with letters, digits and hyphens, not %r" % name)
        self.name = name
        self.path = directory / name
        self.disk = self.path / "disk.qcow2"
        self.config = self.path / "ssh_config"
        self.process: subprocess.Popen[bytes] | None = None
        self.facts: dict[str, object] = {}
        self._load()

    def _load(self) -> None:
        try:
            self.facts = json.loads((self.path / "node.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            self.facts = {}

    # --- Starting and stopping ----------------------------------------------------------------------------------------

    @property
    def pid(self) -> int:
        """The process of the machine, 0 where it does not run. A number that went to somebody else is not taken for it."""
        if self.process is not None:
            self.process.poll()
        pid = int(str(self.facts.get("pid", 0)))
        try:
            return pid if pid and os.readlink("/proc/%d/cwd" % pid) == str(self.path.resolve()) else 0
        except OSError:
            return 0

    def start(
        self, kind: str = "", cgroup: str = "", memory: int = 0, append: str = "", fresh: bool = False, tied: bool = False, accelerator: str = ""
    ) -> Node:
        """Boot, from the disk it had, or a clean one. A node keeps what it is unless told otherwise.

        tied: it ends with this process. accelerator: try this one, whatever is known about this machine.
        """
        if self.pid:
            raise LabError("the node %s runs already" % self.name)
        images = build()
        if fresh:
            self.down()
        self.path.mkdir(parents=True, exist_ok=True)
        chosen, why = accel.choose(images.kernel)
        self.facts = {
            "kind": kind or self.facts.get("kind", "intel"),
            "cgroup": cgroup or self.facts.get("cgroup", "v2"),
            "memory": memory or self.facts.get("memory", 2048),
        }
        self._disk(images)
        accelerator = accelerator or chosen
        try:
            self._boot(images, accelerator, append, tied)
        except LabError as error:
            self._kill()
            if accelerator != "kvm":
                raise
            why = "a node did not boot: %s" % str(error).splitlines()[0]
            say("KVM does not do on this machine (%s); trying emulation" % why)
            self._boot(images, "tcg", append, tied)
            accel.remember("tcg", why)
        return self

    def _disk(self, images: Images) -> None:
        """The disk holds what the node wrote over the image, so it costs nothing to make."""
        if self.disk.exists():
            base = json.loads(self._tool("qemu-img", "info", "--output=json", str(self.disk)))["full-backing-filename"]
            if base != str(images.root):
                raise LabError("the disk of %s was made over another root disk: start it with a fresh one" % self.name)
            return
        self._tool("qemu-img", "create", "-q", "-f", "qcow2", "-b", str(images.root), "-F", "raw", str(self.disk))

    def _tool(self, *command: str) -> str:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise LabError("%s: %s" % (shlex.join(command), done.stderr.strip()))
        return done.stdout

    def _boot(self, images: Images, accelerator: str, append: str, tied: bool) -> None:
        port = free_port()
        keys = CACHE / "ssh"
        known = "bulkhead-lab " + (keys / "host.pub").read_text(encoding="utf-8")
        if not (keys / "known_hosts").exists() or (keys / "known_hosts").read_text(encoding="utf-8") != known:
            (keys / "known_hosts").write_text(known, encoding="utf-8")
        self.config.write_text(SSH_CONFIG % {"name": self.name, "port": port, "keys": keys}, encoding="utf-8")
        (self.path / "console.log").write_bytes(b"")
        memory = int(str(self.facts["memory"]))
        command = qemu.node(
            images.kernel,
            accelerator,
            str(self.facts["kind"]),
            memory,
            name=self.name,
            cgroup=str(self.facts["cgroup"]),
            port=port,
            share=ROOT,
            append=append,
        )
        if tied:
            command = ["setpriv", "--pdeathsig", "KILL", *command]
        with (self.path / "qemu.log").open("wb") as log:
            log.write((shlex.join(command) + "\n").encode())
            log.flush()
            self.process = subprocess.Popen(
                command,
                cwd=self.path,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        _be_as_nice(self.process.pid)
        started = time.monotonic()
        self.facts.update(port=port, accelerator=accelerator, pid=self.process.pid, boot_id="")
        self._save()
        self._await(BOOT[accelerator])
        self.facts.update(boot_seconds=round(time.monotonic() - started, 1))
        self._save()

    def _save(self) -> None:
        new = self.path / "node.json.new"
        new.write_text(json.dumps(self.facts, indent=2) + "\n", encoding="utf-8")
        new.replace(self.path / "node.json")

    def _await(self, patience: float, offset: int = 0) -> None:
        """Wait until ssh answers with another boot than the last. The console is read from `offset`."""
        deadline = time.monotonic() + patience
        while True:
            said = self.console()[offset:]
            if not self.pid:
                raise LabError("the machine of %s ended: %s" % (self.name, (self.path / "qemu.log").read_text(encoding="utf-8").strip()[-1500:]))
            if not said and self.facts["accelerator"] == "kvm" and time.monotonic() > deadline - patience + accel.SILENCE:
                raise LabError("%s has not said a word in %.0f s." % (self.name, accel.SILENCE))
            for sign in GIVEN_UP:
                if sign in said:
                    time.sleep(0.5)
                    raise LabError("%s does not boot (%s). Its console ends with:\n%s" % (self.name, sign.lower(), self.last_words()))
            if self._answers():
                boot_id = self._boot_id()
                if boot_id not in ("", self.facts["boot_id"]):
                    self.facts["boot_id"] = boot_id
                    return
            if time.monotonic() > deadline:
                words = "Its console ends with:\n" + self.last_words() if said else "It has not said a word."
                raise LabError("%s does not answer by ssh after %.0f s. %s" % (self.name, patience, words))
            time.sleep(0.3)

    def _boot_id(self) -> str:
        try:
            return self.run("cat /proc/sys/kernel/random/boot_id", check=False, timeout=120).stdout.strip()
        except LabError:  # it greets and then takes its time
            return ""

    def _answers(self) -> bool:
        """Whether sshd greets. QEMU takes every connection, so that alone says nothing."""
        try:
            with socket.create_connection(("127.0.0.1", int(str(self.facts["port"]))), timeout=2) as connection:
                return connection.recv(4) == b"SSH-"
        except OSError:
            return False

    def _hang_up(self) -> None:
        """End the shared connection: it would outlive the machine at its other end."""
        if self.config.exists():
            subprocess.run(["ssh", "-F", str(self.config), "-O", "exit", self.name], capture_output=True, stdin=subprocess.DEVNULL, check=False)

    def _kill(self) -> None:
        self._hang_up()
        pid = self.pid
        if pid:
            os.kill(pid, signal.SIGKILL)
        while self.pid:
            time.sleep(0.02)
        if self.process is not None:
            self.process.wait()
            self.process = None

    def cut(self) -> Node:
        """Cut the power: nothing is told to the guest, and what it had not yet written is lost. The disk stays."""
        if not self.pid:
            raise LabError("the node %s does not run" % self.name)
        self._kill()
        return self

    def down(self) -> None:
        """Stop it, and throw away its disk."""
        self._kill()
        shutil.rmtree(self.path, ignore_errors=True)
        self.facts = {}

    def reboot(self) -> str:
        """Have its systemd reboot it, and wait until it is up again: the id of the new boot."""
        offset = len(self.console())
        self.run("systemctl reboot", check=False)
        self._hang_up()
        self._await(BOOT[str(self.facts["accelerator"])], offset)
        self._save()
        return str(self.facts["boot_id"])

    # --- Speaking with it ---------------------------------------------------------------------------------------------

    @property
    def ssh(self) -> list[str]:
        """The start of a command line that runs something on it."""
        return ["ssh", "-F", str(self.config), self.name]

    def run(self, command: str, check: bool = True, input: str | None = None, timeout: float = 600) -> subprocess.CompletedProcess[str]:
        """Run a shell command as root."""
        stdin = {"input": input} if input is not None else {"stdin": subprocess.DEVNULL}
        try:
            done = subprocess.run([*self.ssh, command], capture_output=True, text=True, check=False, timeout=timeout, **stdin)
        except subprocess.TimeoutExpired as error:
            raise LabError("on %s: %s\ngave no answer within %.0f s. The console ends with:\n%s" % (self.name, command, timeout, self.last_words())) from error
        if check and done.returncode:
            raise LabError("on %s: %s\nended with exit status %d:\n%s%s" % (self.name, command, done.returncode, done.stdout[-4000:], done.stderr[-4000:]))
        return done

    def put(self, source: Path | str, target: str) -> None:
        """Copy a file there, or what is in a directory."""
        source = Path(source)
        if source.is_dir():
            script, names = "mkdir -p %s && tar -xf - -C %s" % (shlex.quote(target), shlex.quote(target)), ["-C", str(source), "."]
            self._pour(["tar", "-cf", "-", *names], script)
        else:
            self._pour(["cat", str(source)], "cat >%s && chmod %o %s" % (shlex.quote(target), source.stat().st_mode & 0o7777, shlex.quote(target)))

    def _pour(self, command: list[str], script: str, **more: object) -> None:
        with subprocess.Popen(command, stdout=subprocess.PIPE, **more) as source:  # type: ignore[call-overload]
            done = subprocess.run([*self.ssh, script], stdin=source.stdout, capture_output=True, text=True, check=False, timeout=600)
        if done.returncode or source.returncode:
            raise LabError("on %s: %s\nended with exit status %d: %s" % (self.name, script, done.returncode, done.stderr))

    def get(self, source: str) -> str:
        """What is in a file there."""
        return self.run("cat " + shlex.quote(source)).stdout

    def sync(self) -> str:
        """Copy the sources of this checkout there, as they lie here, and return where they are."""
        listed = subprocess.run(
            ["git", "-c", "safe.directory=*", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--deduplicate"],
            cwd=ROOT,
            capture_output=True,
            check=True,
        ).stdout.split(b"\0")
        there = [name for name in listed if name and os.path.lexists(os.path.join(os.fsencode(ROOT), name))]
        names = self.path / "sources"
        names.write_bytes(b"\0".join(there))
        self._pour(
            ["tar", "-cf", "-", "--null", "--no-recursion", "--verbatim-files-from", "--files-from", str(names)],
            "rm -rf %s && mkdir %s && tar -xf - --no-same-owner -C %s" % (SOURCES, SOURCES, SOURCES),
            cwd=ROOT,
        )
        return SOURCES

    def console(self) -> str:
        """Everything that its kernel has said since it was started."""
        try:
            return (self.path / "console.log").read_text(encoding="utf-8", errors="replace")
        except OSError:
            return ""

    def last_words(self, lines: int = 25) -> str:
        return "\n".join("    | " + line.rstrip() for line in self.console().strip().splitlines()[-lines:]) or "    (nothing)"

    def variables(self) -> dict[str, object]:
        """What Ansible has to know to reach it."""
        return {
            "ansible_host": self.name,
            "ansible_ssh_args": "-F %s" % self.config,
            "ansible_pipelining": True,
            "ansible_python_interpreter": "/usr/bin/python3",
            "lab_kind": self.facts["kind"],
            "lab_cgroup": self.facts["cgroup"],
        }


def nodes(directory: Path = NODES) -> list[Node]:
    """Every node that is there, running or not."""
    return [Node(path.parent.name, directory) for path in sorted(directory.glob("*/node.json"))]


def inventory(members: list[Node]) -> dict[str, object]:
    """What Ansible asks an inventory script for: nodes by kind and by mode of control groups, and how to reach each."""
    groups: dict[str, object] = {"_meta": {"hostvars": {node.name: node.variables() for node in members}}}
    names: dict[str, list[str]] = {"lab": [node.name for node in members]}
    for node in members:
        names.setdefault(str(node.facts["kind"]), []).append(node.name)
        names.setdefault("cgroup_%s" % node.facts["cgroup"], []).append(node.name)
    groups.update({group: {"hosts": hosts} for group, hosts in names.items()})
    return groups
