# SPDX-FileCopyrightText: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Does the acts of a table on the machine that it runs on, and says where the kernel answers otherwise."""

from __future__ import annotations

import contextlib
import errno as errnos
import os
import re
import signal
import socket
import threading
import time
from typing import Any

from table import Act, Row

PATIENCE = 10.0
# Where a number has two names, the kernel's is EOPNOTSUPP.
ERRNOS = {**errnos.errorcode, errnos.EOPNOTSUPP: "EOPNOTSUPP"}


class Mismatch(Exception):
    """The kernel's answer is another than the table's."""


class Tasks:
    """The processes of a row: each sleeps, starts threads or takes memory when told to, and ends with the row."""

    def __init__(self) -> None:
        self._pipes: dict[str, socket.socket] = {}
        self._pids: dict[str, int] = {}

    def start(self, name: str) -> int:
        ours, theirs = socket.socketpair()
        pid = os.fork()
        if not pid:
            ours.close()
            with contextlib.suppress(BaseException):
                _obey(theirs)
            os._exit(0)
        theirs.close()
        self._pipes[name], self._pids[name] = ours, pid
        return pid

    def tell(self, name: str, what: str) -> int:
        pipe = self._pipes[name]
        pipe.sendall(what.encode() + b"\n")
        answer = pipe.recv(64)
        if not answer:
            raise Mismatch("process %s is gone" % name)
        return int(answer)

    def ended(self, name: str) -> int | None:
        """The signal that the process was ended by; None while it is there."""
        pid, status = os.waitpid(self._pids[name], os.WNOHANG)
        if not pid:
            return None
        del self._pids[name]
        return os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0

    def pid(self, name: str) -> int:
        return self._pids[name]

    def end(self) -> None:
        for name, pid in self._pids.items():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            self._pipes[name].close()
        for pid in self._pids.values():
            os.waitpid(pid, 0)
        self._pipes, self._pids = {}, {}


def _obey(pipe: socket.socket) -> None:
    """The life of a task's threads: one order on a line, answered with a number."""
    orders: dict[int, Any] = {}
    kept = []

    def serve(mine: socket.socket) -> None:
        with mine.makefile("r") as lines:
            for line in lines:
                verb, number = line.split()
                mine.sendall(b"%d" % do(verb, int(number)))

    def do(verb: str, number: int) -> int:
        if verb == "take":
            block = bytearray(number << 20)
            block[::4096] = b"x" * len(range(0, len(block), 4096))
            kept.append(block)
            return 1
        if number in orders:  # one of the threads is to start the next
            orders[number].sendall(b"start 0\n")
            return int(orders[number].recv(64))
        ours, theirs = socket.socketpair()
        thread = threading.Thread(target=serve, args=(theirs,), daemon=True)
        thread.start()
        assert thread.native_id is not None
        orders[thread.native_id] = ours
        return thread.native_id

    serve(pipe)


class Machine:
    """What acts are done to. A subsystem says what a path means, what the node's facts are and how all is put back."""

    def __init__(self) -> None:
        self.facts: dict[str, Any] = {}
        self.tasks = Tasks()

    # To be told by the subsystem

    def path(self, path: str) -> str:
        return path

    def prepare(self, row: Row) -> None:
        raise NotImplementedError

    def clean(self) -> None:
        raise NotImplementedError

    def stain(self) -> str:
        """Make the kernel's words something known, which is returned."""
        raise NotImplementedError

    def words(self) -> str:
        """The kernel's words about what was done last."""
        raise NotImplementedError

    # Rows

    def run(self, row: Row) -> str:
        """Empty when the kernel answers as the row says, else where it does not."""
        try:
            self.prepare(row)
            for act in row.acts:
                self.act(act)
            return ""
        except Mismatch as mismatch:
            return str(mismatch)
        except OSError as error:
            return "unexpected: %r" % error
        finally:
            self.tasks.end()
            self.clean()

    def act(self, act: Act) -> None:
        stain = self.stain() if act.words is not None else ""
        args = [self.fill_in(arg) for arg in act.args]
        called = "%s %s" % (act.verb, ", ".join(repr(arg if len(repr(arg)) < 200 else "...") for arg in args))
        try:
            answer = self.answer(act, args)
            if (act.verb, act.errno, answer) == ("mkdir", "", "EBUSY"):
                # A monitoring id that was given back rests until the kernel, once a second, finds its lines gone from the cache.
                for _look in range(5):
                    time.sleep(1)
                    answer = self.answer(act, args)
                    if answer != "EBUSY":
                        break
        except Mismatch as mismatch:
            raise Mismatch("%s: %s" % (called, mismatch)) from None
        if answer != act.errno:
            raise Mismatch("%s: answered %s, not %s" % (called, answer or "0", act.errno or "0"))
        if act.words is not None:
            want = act.words if isinstance(act.words, str) else stain + ("\n" + act.words.added if act.words.added else "")
            want, words = self.fill_in(want), self.words()
            if words != want:
                raise Mismatch("%s: the words are %r, not %r" % (called, words, want))

    def answer(self, act: Act, args: list[Any]) -> str:
        """Do it; the name of the errno, empty for none."""
        try:
            getattr(self, "do_" + act.verb)(*args)
        except OSError as error:
            return ERRNOS.get(error.errno or 0, str(error))
        return ""

    def fill_in(self, arg: Any) -> Any:
        if isinstance(arg, tuple):
            return tuple(self.fill_in(inner) for inner in arg)
        return _fill_in(arg, self.facts) if isinstance(arg, str) else arg

    def text(self, path: str) -> str:
        with open(self.path(path), "rb", buffering=0) as file:
            return file.read().decode()

    def put(self, path: str, text: str) -> None:
        fd = os.open(self.path(path), os.O_WRONLY)
        try:
            os.write(fd, self.written(text))
        finally:
            os.close(fd)

    def written(self, text: str) -> bytes:
        return text.encode()

    # Acts

    def do_write(self, path: str, text: str) -> None:
        self.put(path, text)

    def do_write_as_nobody(self, path: str, text: str) -> None:
        fd = os.open(self.path(path), os.O_WRONLY)
        os.seteuid(65534)
        try:
            os.write(fd, text.encode())
        finally:
            os.seteuid(0)
            os.close(fd)

    def do_write_back(self, path: str) -> None:
        text = self.text(path)
        self.put(path, text)
        if self.text(path) != text:
            raise Mismatch("%r became %r" % (text, self.text(path)))

    def do_opened(self, path: str) -> None:
        os.close(os.open(self.path(path), os.O_WRONLY))

    def do_mkdir(self, path: str) -> None:
        os.mkdir(self.path(path))

    def do_rmdir(self, path: str) -> None:
        os.rmdir(self.path(path))

    def do_rename(self, path: str, to: str) -> None:
        os.rename(self.path(path), self.path(to))

    def do_task(self, name: str, group: str) -> None:
        self.facts[name] = self.tasks.start(name)
        if group:
            self.enter(group, self.facts[name])

    def enter(self, group: str, pid: int) -> None:
        raise NotImplementedError

    def do_gone(self, name: str) -> None:
        pid = os.fork()
        if not pid:
            os._exit(0)
        os.waitpid(pid, 0)
        self.facts[name] = pid

    def do_thread(self, name: str, of: str, by: str) -> None:
        self.facts[name] = self.tasks.tell(of, "start %d" % self.facts[by])

    def do_takes(self, name: str, mebibytes: int) -> None:
        self.tasks.tell(name, "take %d" % mebibytes)

    def do_kill(self, name: str) -> None:
        os.kill(self.tasks.pid(name), signal.SIGKILL)

    def do_lives(self, name: str) -> None:
        time.sleep(0.3)
        if self.tasks.ended(name) is not None:
            raise Mismatch("it ended")

    def do_dies(self, name: str, by: str) -> None:
        deadline = time.monotonic() + PATIENCE
        while (ended := self.tasks.ended(name)) is None:
            if time.monotonic() > deadline:
                raise Mismatch("it lives")
            time.sleep(0.02)
        if ended != getattr(signal, by):
            raise Mismatch("it ended by signal %d" % ended)

    def do_cpu(self, numbers: str, online: bool) -> None:
        for number in sorted(cpu_list(numbers)):
            with open("/sys/devices/system/cpu/cpu%d/online" % number, "w") as file:
                file.write("1" if online else "0")

    # Looks

    def do_reads(self, path: str, want: str) -> None:
        text = self.text(path)
        if text.rstrip("\n") != want:
            raise Mismatch("it says %r" % text)

    def do_matches(self, path: str, pattern: str) -> None:
        text = self.text(path)
        if not re.fullmatch(pattern, text):
            raise Mismatch("it says %r" % text)

    def do_comes_to(self, path: str, pattern: str) -> None:
        deadline = time.monotonic() + PATIENCE
        while not re.fullmatch(pattern, text := self.text(path)):
            if time.monotonic() > deadline:
                raise Mismatch("it still says %r" % text)
            time.sleep(0.02)

    def do_has(self, path: str, names: tuple[str, ...]) -> None:
        missing = set(names) - set(self.text(path).split("\n"))
        if missing:
            raise Mismatch("it has not %s, but %r" % (", ".join(sorted(missing)), self.text(path)[-500:]))

    def do_has_not(self, path: str, names: tuple[str, ...]) -> None:
        found = set(names) & set(self.text(path).split("\n"))
        if found:
            raise Mismatch("it has %s" % ", ".join(sorted(found)))

    def do_lacks(self, path: str, words: tuple[str, ...]) -> None:
        text = self.text(path)
        found = [word for word in words if word in text]
        if found:
            raise Mismatch("%s in %r" % (", ".join(found), text))

    def do_covers(self, path: str, numbers: str) -> None:
        if not cpu_list(self.text(path)) >= cpu_list(numbers):
            raise Mismatch("it says %r" % self.text(path))

    def do_spares(self, path: str, numbers: str) -> None:
        if cpu_list(self.text(path)) & cpu_list(numbers):
            raise Mismatch("it says %r" % self.text(path))

    def do_there(self, *paths: str) -> None:
        missing = [path for path in paths if not os.path.exists(self.path(path))]
        if missing:
            raise Mismatch("missing: %s" % ", ".join(missing))

    def do_not_there(self, *paths: str) -> None:
        found = [path for path in paths if os.path.exists(self.path(path))]
        if found:
            raise Mismatch("there: %s" % ", ".join(found))

    def do_rounds(self, path: str, form: str, values: str, kept: str) -> None:
        """form, values and kept are filled in, so that {{v}} in a table is {v} here."""
        for value in range(*calculated(values, {})):
            self.put(path, form.format(v=value))
            want, now = calculated(kept, {"v": value}), self.number(path)
            if want != now:
                raise Mismatch("%d became %d, not %d" % (value, now, want))

    def number(self, path: str) -> int:
        return int(self.text(path))


def _fill_in(text: str, facts: dict[str, Any]) -> str:
    return text.format_map(facts) if "{" in text else text


def calculated(expression: str, names: dict[str, int]) -> Any:
    """The value of arithmetic that stands in a table."""
    return eval(expression, {"__builtins__": {}, "min": min, "max": max}, names)


def cpu_list(text: str) -> set[int]:
    """The numbers of a list such as 0-3,7."""
    numbers: set[int] = set()
    for part in filter(None, text.strip().split(",")):
        first, _dash, last = part.partition("-")
        numbers.update(range(int(first), int(last or first) + 1))
    return numbers
