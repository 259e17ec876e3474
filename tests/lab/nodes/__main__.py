# SPDX-FileCopyrightText: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The lab's command."""

from __future__ import annotations

import argparse
import json
import os
import shlex
import subprocess
import sys
import time

from . import accel, qemu
from .images import LabError, build
from .node import Node, inventory, nodes, say


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(prog="tests/lab/lab", description="Virtual nodes with a kernel that has everything this collection manages.")
    commands = top.add_subparsers(dest="do", metavar="command", required=True)

    def command(name: str, text: str, *, node: bool = True) -> argparse.ArgumentParser:
        new = commands.add_parser(name, help=text, description=text)
        if node:
            new.add_argument("name", help="the node")
        return new

    command("build", "build what the cache lacks: the kernel and the root disk", node=False)
    up = command("up", "boot a node, from the disk it had where it had one, and wait until it answers")
    up.add_argument("--kind", choices=sorted(qemu.KINDS), help="whose resctrl it has (intel)")
    up.add_argument("--cgroup", choices=sorted(qemu.CGROUPS), help="how control groups are mounted (v2)")
    up.add_argument("--memory", type=int, default=0, metavar="MIB", help="its memory in MiB (2048)")
    up.add_argument("--append", default="", metavar="ARGUMENTS", help="more arguments for its kernel, for this boot")
    up.add_argument("--fresh", action="store_true", help="throw away the disk it had, and stop it where it runs")
    up.add_argument("--accel", choices=sorted(qemu.ACCELERATORS), default="", help="try this one first, whatever is known about this machine")
    ssh = command("ssh", "run a command on a node, or log in")
    ssh.add_argument("command", nargs=argparse.REMAINDER)
    command("sync", "copy the sources of this checkout to /src on a node")
    test = command("pytest", "copy the sources to /src on a node and run pytest there, with the arguments given")
    test.add_argument("arguments", nargs=argparse.REMAINDER)
    put = command("put", "copy a file, or what is in a directory, to a node")
    put.add_argument("source")
    put.add_argument("target")
    command("reboot", "have a node reboot itself, and wait until it is up again")
    command("cut", "cut the power of a node; its disk stays, and `up` boots it again")
    down = command("down", "stop a node and throw away its disk", node=False)
    down.add_argument("name", nargs="?", help="the node")
    down.add_argument("--all", action="store_true", help="every node of this checkout")
    command("list", "the nodes of this checkout", node=False)
    console = command("console", "what the kernel of a node has said")
    console.add_argument("--follow", action="store_true", help="and what it goes on to say")
    hosts = command("inventory", "the running nodes, as Ansible wants them from an inventory script", node=False)
    hosts.add_argument("--list", action="store_true", help="the same")
    acceleration = command("accel", "whether guests run under KVM here or are emulated, and how that is known", node=False)
    acceleration.add_argument("--probe", action="store_true", help="forget what is known and try")
    return top


def running() -> list[Node]:
    return [node for node in nodes() if node.pid]


def existing(name: str) -> Node:
    node = Node(name)
    if not node.pid:
        names = " ".join(other.name for other in running())
        raise LabError("no node %s is running; %s" % (name, "these are: " + names if names else "`tests/lab/lab up %s` starts it" % name))
    return node


def up(options: argparse.Namespace) -> int:
    node = Node(options.name)
    if node.pid and not options.fresh:
        for what in ("kind", "cgroup", "memory"):
            asked = getattr(options, what)
            if asked and asked != node.facts[what]:
                raise LabError("%s runs with %s %s; `lab cut %s` first" % (node.name, what, node.facts[what], node.name))
    else:
        if node.pid:
            node.down()
        node.start(options.kind, options.cgroup, options.memory, options.append, options.fresh, accelerator=options.accel)
        say("%s is up after %.1f s" % (node.name, float(str(node.facts["boot_seconds"]))))
    facts = tuple(node.facts[what] for what in ("kind", "cgroup", "memory", "accelerator"))
    print("%s: %s, cgroup %s, %s MiB, %s" % (node.name, *facts))
    print("log in:    tests/lab/lab ssh %s" % node.name)
    print("playbooks: ansible-playbook -i tests/lab/lab -l %s PLAYBOOK" % node.name)
    return 0


def follow(node: Node) -> None:
    told = 0
    while True:
        text = node.console()
        print(text[told:], end="", flush=True)
        told = len(text)
        if not node.pid:
            return
        time.sleep(0.2)


def main(arguments: list[str]) -> int:
    if arguments[:1] == ["--list"]:
        arguments = ["inventory"]
    elif arguments[:1] == ["--host"]:
        print("{}")  # --list has said it all
        return 0
    options = parser().parse_args(arguments)
    if options.do == "build":
        images = build()
        print("kernel: %s\nroot:   %s\naccelerator: %s (%s)" % (*images[:2], *accel.choose(images.kernel)))
    elif options.do == "up":
        return up(options)
    elif options.do == "ssh":
        ssh = existing(options.name).ssh
        command = options.command[1:] if options.command[:1] == ["--"] else options.command
        os.execvp(ssh[0], [*ssh, *command])
    elif options.do == "sync":
        print(existing(options.name).sync())
    elif options.do == "pytest":
        node = existing(options.name)
        command = "cd %s && exec python3 -m pytest %s" % (node.sync(), shlex.join(options.arguments))
        return subprocess.run([*node.ssh, command], check=False).returncode
    elif options.do == "put":
        existing(options.name).put(options.source, options.target)
    elif options.do == "reboot":
        node = existing(options.name)
        old = node.facts["boot_id"]
        print("boot %s\n  -> %s" % (old, node.reboot()))
    elif options.do == "cut":
        existing(options.name).cut()
    elif options.do == "down":
        if bool(options.name) == options.all:
            raise LabError("say which node, or --all")
        for node in nodes() if options.all else [Node(options.name)]:
            node.down()
    elif options.do == "list":
        for node in nodes():
            facts = [node.facts.get(what, "?") for what in ("kind", "cgroup", "memory", "accelerator", "port")]
            print("%-16s %-8s %-6s %-7s %5s MiB  %-4s port %s" % (node.name, "running" if node.pid else "stopped", *facts))
    elif options.do == "console":
        node = Node(options.name)
        if options.follow:
            follow(node)
        else:
            print(node.console(), end="")
    elif options.do == "inventory":
        print(json.dumps(inventory(running()), indent=2))
    elif options.do == "accel":
        if options.probe:
            accel.ANSWER.unlink(missing_ok=True)
        print("%s: %s" % accel.choose(build().kernel))
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except LabError as error:
        print("error: %s" % error, file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
