# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The standard streams of an added command: pipes or a terminal of its own, and what is copied.

A command never gets a descriptor that its caller has. Through an inherited file it could open the
file again for writing (/proc/self/fd/0), through an inherited terminal type commands into the
caller's shell (TIOCSTI), and the flags of an inherited pipe are those of every process that has it.
So the caller's streams stay with the caller, and their content is copied, in pieces.
"""

from __future__ import annotations

import errno
import fcntl
import os
import select
import termios

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    Sink = Callable[[bytes], bool]

# What is read and written at once: as much as a pipe holds unless it is told otherwise (pipe(7)).
PIECE = 64 << 10
# How long, in milliseconds, the kernel may take to bring what a terminal was told to its other end.
_SETTLING = 200
# F_GETPIPE_SZ of fcntl(2), which the fcntl module has from Python 3.10 on.
_F_GETPIPE_SZ = 1032


class Tail:
    """The end of a stream: no more is kept than is asked for, however much comes."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.truncated = False
        self._pieces: list[bytes] = []
        self._size = 0

    def add(self, data: bytes) -> bool:
        """Take in what came next; there is always more wanted."""
        self._pieces.append(data)
        self._size += len(data)
        if self._size > 2 * self.most + PIECE:
            self._pieces = [self.bytes()]
            self._size = len(self._pieces[0])
        return True

    def bytes(self) -> bytes:
        """Return what is kept."""
        whole = b"".join(self._pieces)
        self.truncated = self.truncated or len(whole) > self.most
        return whole[-self.most :] if self.most else b""


class Streams:
    """Our ends of the streams of one command, watched by the caller's loop.

    theirs: the command's ends, for whoever starts it, who closes them. source: the descriptor that
    the input is read from; -1 for `data` and no more.
    """

    def __init__(
        self,
        poll: select.poll,
        sinks: tuple[Sink, Sink],
        source: int = -1,
        data: bytes = b"",
        terminal: tuple[int, int] | None = None,
    ) -> None:
        self.poll = poll
        self.source = source
        self.is_terminal = terminal is not None
        self.theirs: list[int] = []
        self._events: dict[int, int] = {}
        self._sinks: dict[int, Sink] = {}
        self._left = data
        if terminal is None:
            self._make_pipes(sinks)
        else:
            master, slave = terminal
            self._input = master
            self._sinks = {fcntl.fcntl(master, fcntl.F_DUPFD_CLOEXEC, 3): sinks[0]}
            self.theirs = [slave, slave, slave]
        for fd in (self._input, *self._sinks):
            os.set_blocking(fd, False)
        for fd in self._sinks:
            self._watch(fd, select.POLLIN)
        self._wait_for_input()

    def _make_pipes(self, sinks: tuple[Sink, Sink]) -> None:
        stdin, self._input = os.pipe2(os.O_CLOEXEC)
        self.theirs.append(stdin)
        for sink in sinks:
            ours, theirs = os.pipe2(os.O_CLOEXEC)
            self._sinks[ours] = sink
            self.theirs.append(theirs)

    def _watch(self, fd: int, events: int) -> None:
        """Have the loop tell these events of a descriptor; 0 for none."""
        if self._events.get(fd, 0) == events:
            return
        if events:
            self.poll.register(fd, events)
            self._events[fd] = events
        else:
            self.poll.unregister(fd)
            del self._events[fd]

    def _wait_for_input(self) -> None:
        """Wait for room where something is left to write, else for more of it."""
        if self._input >= 0:
            self._watch(self._input, select.POLLOUT if self._left or self.source < 0 else 0)
        if self.source >= 0:
            self._watch(self.source, 0 if self._left or self._input < 0 else select.POLLIN)

    def handle(self, fd: int) -> bool:
        """See to a descriptor of which the loop has told something. Return False for one of others."""
        if fd == self.source:
            self._take_in()
        elif fd == self._input:
            self._feed()
        elif fd in self._sinks:
            self._pass_on(fd)
        else:
            return False
        return True

    def _take_in(self) -> None:
        try:
            self._left = os.read(self.source, PIECE)
        except BlockingIOError:
            return
        except OSError as error:
            if error.errno != errno.EIO:  # a terminal that hung up, or that is another job's
                raise
            self._left = b""
        if not self._left:
            self._watch(self.source, 0)
            self.source = -1
        self._feed()

    def _feed(self) -> None:
        """Write what is left of the input; after its end, close it."""
        if self._input < 0:
            return
        try:
            while self._left:
                self._left = self._left[os.write(self._input, self._left) :]
        except BlockingIOError:
            pass
        except OSError as error:
            if error.errno not in (errno.EPIPE, errno.EIO):
                raise
            self._close_input()  # nobody reads any more
            return
        if not self._left and self.source < 0:
            self._end_input()
        self._wait_for_input()

    def _end_input(self) -> None:
        """Tell the command that there is no more: a pipe is closed, a terminal has a character for it."""
        if not self.is_terminal:
            self._close_input()
            return
        # The first ends a line that was begun, and the second is an end by itself (termios(3), VEOF).
        end = termios.tcgetattr(self._input)[6][termios.VEOF]
        try:
            os.write(self._input, end * 2)
        except OSError:
            pass  # it is full of what nobody reads, or hung up
        self._close_input()

    def _close_input(self) -> None:
        if self._input >= 0:
            self._watch(self._input, 0)
            os.close(self._input)
            self._input = -1
            self._left = b""
            if self.source >= 0:
                self._watch(self.source, 0)
                self.source = -1

    def _pass_on(self, fd: int) -> int:
        """Copy one piece of the output; the number of bytes, 0 for the end and -1 for none yet."""
        try:
            data = os.read(fd, PIECE)
        except BlockingIOError:
            return -1
        except OSError as error:
            if error.errno != errno.EIO:  # nobody has the other end of the terminal any more
                raise
            data = b""
        if not data or not self._sinks[fd](data):
            self._close(fd)  # a command that goes on writing gets SIGPIPE, as without us
        return len(data)

    def _close(self, fd: int) -> None:
        self._watch(fd, 0)
        del self._sinks[fd]
        os.close(fd)

    def finish(self) -> None:
        """The command has ended: pass on what it wrote, and close everything.

        A process that it left behind may hold the streams and write for ever: no more is read than
        can have been in them.
        """
        for fd in list(self._sinks):
            left = 2 * PIECE if self.is_terminal else fcntl.fcntl(fd, _F_GETPIPE_SZ)
            poll = select.poll()
            poll.register(fd, select.POLLIN)
            while fd in self._sinks and left > 0 and poll.poll(_SETTLING if self.is_terminal else 0):
                left -= max(self._pass_on(fd), 0)
            if fd in self._sinks:
                self._close(fd)
        self._close_input()

    def close(self) -> None:
        """Close everything that is open on our side."""
        for fd in list(self._sinks):
            self._close(fd)
        self._close_input()
