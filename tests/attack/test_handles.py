# SPDX-FileCopyrightText: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Getting hold of what is the machine's: its interpreter, its descriptors, its devices, its secrets."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import sys
from pathlib import Path

import pytest

# Tries to get a writable handle on the program that it runs as, in every way that was published for CVE-2019-5736.
EXE = """#!/proc/self/exe
import os, sys
def attempt(what, path, flags):
    try:
        os.open(path, flags)
        print("GOT", what)
    except OSError as error:
        print("refused", what, error.errno)
for flags in (os.O_WRONLY, os.O_RDWR, os.O_WRONLY | os.O_TRUNC, os.O_WRONLY | os.O_APPEND):
    attempt("self", "/proc/self/exe", flags)
    attempt("first", "/proc/1/exe", flags)
handle = os.open("/proc/self/exe", os.O_PATH)
os.set_inheritable(handle, True)
print("runs as", os.readlink("/proc/self/exe"))
sys.stdout.flush()
# The handle outlives the program: what is busy while it runs may be written to afterwards.
os.execv("/bin/sh", ["sh", "-c", "for i in 1 2 3; do (echo x >> /proc/self/fd/%d) 2>/dev/null && echo GOT later; done; true" % handle])
"""


def interpreter_hash():
    return hashlib.sha256(Path(os.path.realpath(sys.executable)).read_bytes()).hexdigest()


@pytest.fixture
def evil(share):
    script = share / "evil"
    script.write_text(EXE, encoding="utf-8")
    script.chmod(0o755)
    return share


def assert_sealed(output):
    """Refused because the file system is read-only or the copy sealed, and not merely because the program runs just now (ETXTBSY)."""
    lines = output.splitlines()
    program = lines[-1]
    assert "GOT" not in output, output
    assert program in ("runs as /" + os.path.basename(os.path.realpath(sys.executable)), "runs as /memfd:bulkhead (deleted)"), output
    if "memfd" not in program:
        assert {line for line in lines if " self " in line} == {"refused self %d" % errno.EROFS}, output


def test_entrypoint_that_runs_our_interpreter(node, evil):
    """CVE-2019-5736: the command is #!/proc/self/exe."""
    before = interpreter_hash()
    volumes = ["%s:/x" % evil, "%s:%s:ro" % (sys.base_prefix, sys.base_prefix)] if sys.base_prefix != "/usr" else ["%s:/x" % evil]
    output = node.output("exe", ["/x/evil"], volumes=volumes)
    assert_sealed(output)
    assert interpreter_hash() == before


def test_exec_that_runs_our_interpreter(node, evil):
    """The same, by way of a command that is added."""
    before = interpreter_hash()
    volumes = ["%s:/x" % evil, "%s:%s:ro" % (sys.base_prefix, sys.base_prefix)] if sys.base_prefix != "/usr" else ["%s:/x" % evil]
    node.serve("exe", volumes=volumes)
    answer = node.exec("exe", ["/x/evil"])
    assert_sealed(answer["stdout"])
    assert interpreter_hash() == before


WATCH = """
import os, time
seen = set()
end = time.monotonic() + 4
while time.monotonic() < end:
    for pid in os.listdir("/proc"):
        if pid.isdigit() and int(pid) not in (1, os.getpid()):
            for name in ("exe", "root", "cwd", "fd/0", "fd/3", "fd/4", "fd/5", "fd/6", "fd/7", "mem", "environ", "maps"):
                try:
                    handle = os.open("/proc/%s/%s" % (pid, name), os.O_RDONLY)
                    target = os.readlink("/proc/self/fd/%d" % handle)
                    os.close(handle)
                    seen.add((name, target.replace(pid, "PID") if name in ("mem", "environ", "maps") else target))
                except OSError:
                    pass
for entry in sorted(seen):
    print(*entry)
"""


def test_watching_processes_that_are_added(node, share):
    """While commands are added, a process inside looks into every process that it sees, as fast as it can."""
    (share / "watch.py").write_text(WATCH, encoding="utf-8")
    node.converge({"name": "watched", "command": ["/usr/bin/python3", "/x/watch.py"], "volumes": ["%s:/x" % share]})
    deadline = os.times().elapsed + 3
    count = 0
    while os.times().elapsed < deadline:
        assert node.exec("watched", ["/usr/bin/true"])["rc"] == 0
        count += 1
    while node.converge({"name": "watched", "state": "stopped"}, check=True)[0]:
        pass
    output = Path(node.paths.log + "/watched.log").read_text(encoding="utf-8")
    for line in output.splitlines():
        name, target = line.split(" ", 1)
        if name == "exe":
            assert target == "/usr/bin/true", output
        elif name in ("root", "cwd"):
            assert target == "/", output
        elif name.startswith("fd/"):
            assert target.startswith(("pipe:", "/dev/null", "/usr/lib", "/etc/ld", "/usr/bin/true")), output
    assert count  # as many as a busy machine allows


def test_descriptors_of_the_caller(node):
    """CVE-2024-21626: descriptors of the machine's directories that were open, and inheritable, before."""
    held = []
    root = os.open("/", os.O_RDONLY | os.O_DIRECTORY)
    for number in range(7, 21):
        try:
            os.fstat(number)
        except OSError:
            os.dup2(root, number, inheritable=True)
            held.append(number)
    try:
        script = "for f in /proc/self/fd/*; do echo $(basename $f) $(readlink $f); done"
        output = node.output("leak", script)
        node.serve("leak2")
        answer = node.exec("leak2", ["/bin/sh", "-c", script])
        for text in (output, answer["stdout"]):
            numbers = {int(line.split()[0]) for line in text.splitlines()}
            assert numbers <= {0, 1, 2, 3}, text
            assert " /\n" not in text
    finally:
        for number in [*held, root]:
            os.close(number)


@pytest.mark.parametrize(
    "where", ["/proc/self/fd/%d" % number for number in (3, 4, 5, 6, 7, 8, 9, 10, 12, 14, 16)] + ["/proc/self/cwd", "/proc/self/root/proc/self/fd/7/../.."]
)
def test_working_directory_that_leads_out(node, where):
    """CVE-2024-21626: the working directory is a descriptor."""
    from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.errors import BulkheadError

    marker = "ls -d /work /lost+found /etc/shadow ./etc/shadow ../etc/shadow ../../etc/shadow 2>/dev/null; echo in $(pwd)"
    try:
        output = node.output("cwd", marker, cwd=where)
    except BulkheadError:
        return
    assert "shadow" not in output and "lost+found" not in output, output


def test_working_directory_of_an_added_command(node):
    from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.errors import BulkheadError

    node.serve("cwd")
    for number in range(3, 16):
        try:
            answer = node.exec("cwd", ["/bin/sh", "-c", "cat ../../../../etc/shadow ../etc/shadow etc/shadow"], cwd="/proc/self/fd/%d" % number)
        except BulkheadError:
            continue
        assert "root:" not in answer["stdout"]


def test_null_device_of_the_machine(node):
    """What a container does to its standard input does not happen to the machine's null device (CVE-2026-88265)."""
    before = os.stat("/dev/null")
    node.output("null", ["/usr/bin/python3", "-c", "import os\nfor fd in (0,):\n  os.fchmod(fd, 0o600); os.fchown(fd, 1, 1)"])
    node.serve("null2")
    node.exec("null2", ["/usr/bin/python3", "-c", "import os\ntry:\n  os.fchmod(0, 0)\nexcept OSError:\n  pass"], detach=True)
    after = os.stat("/dev/null")
    assert (before.st_mode, before.st_uid, before.st_gid) == (after.st_mode, after.st_uid, after.st_gid)


def test_devices(node):
    """No disk of the machine can be made or opened, whatever capability is given for it."""
    disk = next(path for path in ("/dev/vda", "/dev/sda", "/dev/nvme0n1", "/dev/loop0") if os.path.exists(path))
    number = os.stat(disk).st_rdev
    script = (
        "mknod /tmp/disk b %d %d; head -c 1 /tmp/disk | od; mknod /dev/disk b %d %d; head -c 1 /dev/disk | od; mknod /tmp/mem c 1 1; head -c 1 /tmp/mem | od"
        % ((os.major(number), os.minor(number)) * 2)
    )
    without = node.output("disk", script)
    assert without.count("Operation not permitted") == 3 and "0000001" not in without, without
    with_it = node.output("disk2", script, capabilities={"add": ["MKNOD"]})
    assert "0000001" not in with_it, with_it
    status = node.output("nodes", "for i in null zero full random urandom tty; do stat -c '%n %t:%T %a' /dev/$i; done")
    expected = {"null": "1:3", "zero": "1:5", "full": "1:7", "random": "1:8", "urandom": "1:9", "tty": "5:0"}
    assert status.splitlines() == ["/dev/%s %s 666" % pair for pair in expected.items()]


def test_secrets_of_the_machine(node):
    """rootfs: host shows nothing that an unprivileged user of the machine could not read, today or tomorrow."""
    hidden = []
    for top, directories, names in os.walk("/etc"):
        for name in names + directories:
            path = os.path.join(top, name)
            status = os.lstat(path)
            if not stat.S_ISLNK(status.st_mode) and not status.st_mode & 0o004:
                hidden.append(path)
    assert "/etc/shadow" in hidden
    node.serve("secrets")
    answer = node.exec("secrets", ["/bin/sh", "-c", "for f; do [ -e $f ] && echo seen $f; done; true", "sh", *hidden])
    assert "seen" not in answer["stdout"], answer["stdout"]
    new = Path("/etc/bulkhead-attack-test-key")
    try:
        new.write_text("secret", encoding="utf-8")
        new.chmod(0o600)
        answer = node.exec("secrets", ["/bin/sh", "-c", "cat /etc/bulkhead-attack-test-key 2>&1; ls /root /home /var/lib /work /run /srv 2>&1"])
        assert "secret" not in answer["stdout"] and "ssh" not in answer["stdout"], answer["stdout"]
    finally:
        new.unlink()


def test_code_of_the_container_is_not_ours(node, share):
    """Python files that a container plants where our interpreter would look are never run by us."""
    version = "python%d.%d" % sys.version_info[:2]
    plant = (
        "for m in traceback linecache errno codecs encodings/__init__ encodings/utf_8 encodings/idna encodings/ascii os io site sitecustomize json/__init__ "
        "select signal resource ctypes/__init__; do for d in /usr/lib/%s /usr/lib/python3 %s/lib/%s /usr/local/lib/%s; do mkdir -p $(dirname $d/$m.py);"
        " echo \"open('/x/ran','a').write('$m')\" > $d/$m.py; done; done; rm -rf /usr/lib/%s/__pycache__; mkdir -p /nowhere; sleep 1000"
    ) % (version, sys.base_prefix, version, version, version)
    node.converge({"name": "plant", "command": ["/bin/sh", "-c", plant], "volumes": ["%s:/x" % share]})
    while node.exec("plant", ["/bin/sh", "-c", "ls -d /nowhere || true"])["stdout"] == "":
        pass
    from ansible_collections.bulkhead.linux.plugins.module_utils._runtime.errors import BulkheadError

    for options in (
        {"command": ["/nope"]},
        {"command": ["true"], "cwd": "/\u00e4\u00f6"},
        {"command": ["true"], "user": "nobody-there"},
        {"command": ["/etc/passwd"]},
    ):
        with pytest.raises(BulkheadError):
            node.exec("plant", **options)
    assert node.exec("plant", ["true"])["rc"] == 0
    assert not (share / "ran").exists()


def test_groups_of_the_caller(node):
    """CVE-2023-25173, CVE-2022-29162: neither supplementary groups nor inheritable capabilities come along."""
    script = "grep -E 'Groups|CapInh|CapAmb|NoNewPrivs' /proc/self/status; awk '{print \"session\", $6}' /proc/self/stat"
    held = os.getgroups()
    os.setgroups([4, 27, 100])
    try:
        node.serve("groups", user="33:33")
        texts = [node.output("groups2", script, user="33:33"), node.exec("groups", ["/bin/sh", "-c", script])["stdout"]]
    finally:
        os.setgroups(held)
    for text in texts:
        words = dict(line.replace(":", "").split(None, 1) for line in text.splitlines())
        assert words["Groups"].split() == ["33"], text
        assert int(words["CapInh"], 16) == int(words["CapAmb"], 16) == 0
        assert words["NoNewPrivs"] == "1"
        assert words["session"] != "0", "it is in the session of the machine"


def test_network_and_processes_are_private(node):
    output = node.output("private", "cat /proc/net/dev | tail -n +3 | cut -d: -f1; ls /proc | grep -c '^[0-9]'; cat /proc/sys/kernel/hostname")
    assert output.split()[0] == "lo" and len(output.split()) == 3, output
    assert output.split()[2] == "private"
