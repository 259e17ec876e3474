# Copyright: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The options of a container, written once: for one container, and again below the list of several."""

from __future__ import annotations

import re
import textwrap

from ansible_collections.bulkhead.linux.plugins.doc_fragments.quota import LIMITS as _LIMITS
from ansible_collections.bulkhead.linux.plugins.doc_fragments.resctrl import SHARES as _SHARES
from ansible_collections.bulkhead.linux.plugins.doc_fragments.resources import BESIDE as _BESIDE
from ansible_collections.bulkhead.linux.plugins.doc_fragments.resources import ModuleDocFragment as _Resources
from ansible_collections.bulkhead.linux.plugins.doc_fragments.resources import in_list as _in_list

_OPTIONS = r"""
state:
  description:
    - V(started), the container runs. One that runs with the same configuration is left alone; one that ended is started again, with its private files
      unless it is a job (O(wait=true)).
    - V(healthy), the same, and the task waits until O(healthcheck) says that it is healthy, for at most O(wait_timeout). One that is unhealthy makes the
      task fail, and stays as it is.
    - V(restarted), the same as V(started), and one that runs is stopped and started again, with its private files. This is a change each time.
    - V(stopped), it does not run; its private files, its log and what is known of its end stay. What does not exist is stopped.
    - V(paused), it is there and frozen.
    - V(absent), nothing of it is left, its private files and its log in the default directory included.
  type: str
  choices: [started, healthy, restarted, stopped, paused, absent]
  default: started
rootfs:
  description:
    - The root file system. Either the absolute path of a directory, used as it is, or V(host). Links on the way to it are followed as for O(volumes).
    - V(host) composes a private root from the machine's own, so that no image is needed. The machine's C(/usr) (and C(/bin), C(/sbin), C(/lib*) where these are
      directories of their own) appears as a private view that can be written to, and what is written is seen by this container only.
    - With V(host), C(/etc) is a copy from the time of the start. It holds what an unprivileged user of the machine can read, and nothing else. Password hashes
      (C(shadow)), host keys, sudo rules, private TLS keys, keytabs and VPN keys are left out, and so are C(/etc/bulkhead), C(/etc/fstab),
      C(/etc/machine-id) and C(/etc/systemd/system).
      C(hostname), C(hosts) and C(resolv.conf) are the container's own.
    - With V(host), everything else of the machine is not there at all. C(/home), C(/root), C(/srv), C(/opt), C(/mnt), C(/media), C(/var), C(/run) and
      C(/tmp) are
      private and empty. C(/usr) is shown whole; secrets in it, or in C(/usr/local), are not hidden.
    - To show more of the machine, use O(volumes). To hide more, use O(masked_paths).
  type: str
  default: host
command:
  description:
    - What to run, as a list of words; text is split into words as a shell would, but no shell runs it.
    - A name without a slash is looked up in the container's E(PATH).
    - YAML turns words without quotes into booleans and nothing (V(yes), V(null)), which are refused, and into numbers, which are taken as such. So put
      quotes around a version (V("1.10")), or it arrives as V(1.1).
    - Required to make a container. When it is left out, the container that is there is started, paused or stopped as it is, but for O(resources), O(rdt)
      and O(disk_quota), of which what is given changes. The other options are not looked at.
    - Before a container that runs is stopped for a new one, and in check mode, the command, O(user), O(groups) and O(cwd) are looked up in what the new one
      will find, as far as that can be told from outside.
  type: raw
init:
  description:
    - Whether a small program stays as the first process, which hands signals on to the command, reaps orphans and ends with the command's status.
    - The kernel ignores a signal to the first process that has no handler for it. So without this, a shell, C(sleep) or C(python3 -m http.server) ends only
      when O(stop_timeout) is over.
    - It is built in, keeps nothing of the machine and runs with the rights of the command. There is one for x86_64 and aarch64.
  type: bool
  default: false
env:
  description:
    - Environment variables. Apart from these there are E(PATH), E(HOME) of the user, and E(container) with the value V(bulkhead), and none of the machine's.
      Their values are in no result, diff or log; their names are.
    - Values are text or whole numbers. Put V(1.10), V(yes) and the like in quotes.
  type: dict
env_file:
  description:
    - Files of the node with more variables, one line C(NAME=VALUE) each, as docker reads them. Lines that begin with C(#) are left out, quotes are part of the
      value, and a name without a value says nothing. What is in O(env) holds, then what comes later.
    - They are read when the task or a boot makes the container; one whose content is another makes the container anew. What is in them is returned nowhere.
  type: list
  elements: str
cwd:
  description: The working directory. It must be there.
  type: str
  default: /
user:
  description:
    - Who runs the command, as V(user) or V(user:group), each a name or a number. Names are looked up in the container's own C(/etc/passwd) and C(/etc/group),
      but for V(root), which is V(0).
    - A user other than root has no capabilities.
  type: str
  default: "0"
groups:
  description: Supplementary groups in addition to those that the container's C(/etc/group) gives the user, names or numbers.
  type: list
  elements: str
umask:
  description:
    - The file mode creation mask, in octal. Put it in quotes.
    - YAML makes a number of what is not in quotes, V(027) becomes 23. A number is taken as the mask that it is, where nothing else can be meant; V(22) and
      V(77), which are likely to lack their zero, are refused.
  type: raw
  default: "022"
hostname:
  description: The host name inside. Made from O(name) when it is left out.
  type: str
network:
  description:
    - The network, as one word or as a dictionary. A word is the C(mode) of the dictionary, and means the same.
    - C(mode) is V(none), the default, a network of its own with nothing but the loopback interface; V(host), the machine's network; or V(bridge), a network
      of its own with an interface on a bridge of the machine. The rest is for V(bridge) alone.
    - C(bridge) is the name of the bridge, V(bulkhead0) by default. One that is there is used as it is, and never changed or removed. V(bulkhead0), or one
      for which C(subnet) is given, is made for its first container and goes with its last one.
    - C(subnet) are the networks of a bridge that is made, as C(network/length), V(10.98.107.0/24) and V(fd5c:9a3e:71b4::/64) for V(bulkhead0). The bridge
      gets the first address of each, or the address that is written in place of the network, as in V(10.1.2.254/24).
    - C(address) is one address of the container, or a list of them, IPv4 and IPv6 alike, as C(address/length). Without it, the container gets a free one of
      each network of the bridge, which it keeps. Addresses that other machines use on a bridge of yours cannot be seen from here.
    - C(gateway) is where the default route goes, one address for IPv4 and one for IPv6; V(none) for no default route. By default it is the address of the
      bridge, where it has one.
    - C(interface) is the name of the interface inside, V(eth0) by default. C(mtu) is the largest packet of the container, by default that of the bridge.
    - C(bandwidth) limits what the container sends, C(egress), and receives, C(ingress), as these options of M(bulkhead.linux.tc_bandwidth) do, each with
      C(rate), C(burst), C(latency), C(limit) and C(peakrate), and C(egress) with C(method). A way that is not named has no limit. C(classes) divide
      what the container sends, and C(overcommit) says what becomes of more than there is. The limits are set on the machine's end of the interface before
      the command runs, at every start, and change while the container runs.
    - With O(bulkhead.linux.tc_bandwidth#module:container), M(bulkhead.linux.tc_bandwidth) changes the same limits by the name of the container. What it has
      set stays with the container, also when that is made anew, until one of the two asks for something else. C(bandwidth) that was given here and is left
      out later has no limit any more.
    - There is no publishing of ports, no translation of addresses and no name server. Containers reach each other and the machine by the bridge, and
      whatever the machine forwards for them. Who is to reach a container from elsewhere needs a route to its network, and C(/etc/resolv.conf) is empty.
    - On the bridge a container gets what is for its own hardware address and what is for all. The machine takes no router advertisement from a bridge that
      was made by the collection, and the container none from the bridge.
    - The interface is made anew at each start, with the same addresses. V(bridge) is refused together with the capability V(NET_ADMIN), with which a
      container that shares the machine's user namespace could change the machine's interfaces by the other end of its own.
    - With V(host), the container reaches everything that listens on the machine's loopback interface and every abstract socket of the machine (C(@) in
      C(/proc/net/unix)), which no file mode protects. Services that trust whoever reaches such a socket trust the container.
  type: raw
volumes:
  description:
    - Files and directories of the machine that are shown inside, as C(source:destination) or C(source:destination:options).
    - Options are V(ro), V(rw), and V(suid), V(dev) and V(noexec); by default a volume can be written to, with V(nosuid) and V(nodev). Mounts below the
      source come
      along, and V(ro) holds for them too.
    - The destination is made when it is missing. It is resolved inside the root file system, whatever links there are in it; a link to what is missing is
      followed too, and what it leads to is made inside.
    - The source is resolved once, when the task runs, to the real path behind it. Pointing a link elsewhere is a change. A symbolic link on the way is
      followed only where root alone can have made it, or where a user's own link leads to what belongs to that user. It is refused where a container of this
      machine can write (a volume without V(ro), a directory as O(rootfs), private files). Of a container that was removed it is
      not known any more where it could write. Every later start, also by the restart policy or at boot, follows no link at all.
    - The order says nothing. What lies below another destination is mounted after it.
  type: list
  elements: str
tmpfs:
  description: File systems in memory, by destination; the value holds options such as V(size=64m,mode=1777), or nothing.
  type: dict
mounts:
  description: The same as O(volumes) and O(tmpfs), one dictionary each.
  type: list
  elements: dict
  suboptions:
    type:
      description: What to mount.
      type: str
      choices: [bind, tmpfs]
      default: bind
    source:
      description: The file or directory of the machine, for V(bind).
      type: str
    destination:
      description: Where it appears.
      type: str
      required: true
    options:
      description: Mount options, as in O(volumes) and O(tmpfs); V(bind) instead of the default V(rbind) leaves out the mounts below the source.
      type: list
      elements: str
readonly:
  description: Whether the root file system is read-only. Volumes, C(/dev/shm) and O(tmpfs) are not affected.
  type: bool
  default: false
masked_paths:
  description: >-
    Paths that are hidden, in addition to those that always are (C(/proc/acpi), C(/proc/kcore), C(/proc/keys), C(/proc/latency_stats), C(/proc/sched_debug),
    C(/proc/scsi), C(/proc/timer_list), C(/proc/timer_stats), C(/proc/interrupts), C(/proc/iomem), C(/proc/kpagecgroup), C(/proc/kpagecount),
    C(/proc/kpageflags), C(/proc/slabinfo), C(/proc/vmallocinfo), C(/sys/dev/block),
    C(/sys/devices/system/cpu/*/thermal_throttle),
    C(/sys/devices/virtual/powercap), C(/sys/firmware), C(/sys/fs/selinux)).
    A path in C(/proc) or C(/sys) must not lead through a link there.
  type: list
  elements: str
readonly_paths:
  description: >-
    Paths that are read-only, in addition to those that always are (C(/proc/asound), C(/proc/bus), C(/proc/fs), C(/proc/irq), C(/proc/sys),
    C(/proc/sysrq-trigger), and all of C(/sys)). A path in C(/proc) or C(/sys) must not lead through a link there.
  type: list
  elements: str
devices:
  description:
    - Devices that are made below C(/dev) and allowed, in addition to the usual C(null), C(zero), C(full), C(random), C(urandom), C(tty) and terminals.
  type: list
  elements: dict
  suboptions:
    path:
      description: The path inside, below C(/dev); the device of the machine under this path is taken, unless its type and numbers are given.
      type: str
      required: true
    type:
      description: V(b) for a block device, V(c) for a character device.
      type: str
      choices: [b, c]
    major:
      description: The major number.
      type: int
    minor:
      description: The minor number.
      type: int
    access:
      description: What is allowed, of V(r) read, V(w) write and V(m) make.
      type: str
      default: rwm
    mode:
      description: The mode of the file, in octal. Put it in quotes; a number is taken or refused as with O(umask).
      type: raw
    uid:
      description: The owner.
      type: int
    gid:
      description: The group.
      type: int
sysctls:
  description: Kernel parameters of the container's own namespaces (C(net.*) with a network of its own, C(fs.mqueue.*), and those of System V IPC).
  type: dict
capabilities:
  description:
    - Changes to the capabilities that are kept, which by default are CHOWN, DAC_OVERRIDE, FOWNER, FSETID, KILL, NET_BIND_SERVICE, SETFCAP, SETGID,
      SETPCAP, SETUID and
      SYS_CHROOT.
    - With SYS_ADMIN, SYS_PTRACE, SYS_MODULE, SYS_RAWIO or MKNOD a container is not confined any more.
  type: dict
  suboptions:
    add:
      description: Capabilities to keep in addition; V(ALL) for all.
      type: list
      elements: str
    drop:
      description: Capabilities to drop; V(ALL) for all. Dropping a capability by name wins over adding it.
      type: list
      elements: str
no_new_privileges:
  description: Whether programs with the set-user-ID bit or file capabilities give nothing.
  type: bool
  default: true
seccomp:
  description:
    - The filter of system calls that is in force for the container's processes, those of M(bulkhead.linux.container_exec) too.
    - V(default), which is what an omitted option means, has the effect of the container engines' default. What any program may need
      is allowed. New namespaces and mounts, loading of modules and kernels, C(bpf), C(perf_event_open), clock setting and the like
      are refused (C(EPERM)) unless the container has the capability for it, and keys, C(io_uring), C(userfaultfd), swap areas,
      AF_VSOCK and AF_ALG sockets always. A call that this release does not know does not exist (C(ENOSYS)). The 32-bit calls of
      the machine, and those of x32, are filtered alike. What a 32-bit program asks for through C(socketcall) cannot be seen by any
      filter.
    - V(unconfined) is no filter.
    - The absolute path of a JSON file on the node, or the same as a dictionary, is a profile of one's own, as C(linux.seccomp) of the
      OCI runtime specification or as the files of Docker and Podman have it (C(archMap), C(includes), C(excludes)). The content is
      part of the container, and changing it makes the container anew. C(SCMP_ACT_NOTIFY) is not supported. A profile must allow
      what happens after it was loaded - C(execve) and C(write), for M(bulkhead.linux.container_exec) C(clone), C(prctl) and
      C(setsid) as well, and with O(no_new_privileges=false) the change of user and capabilities. A call that is newer than all
      that the profile names does not exist, unless the profile allows what it does not name.
    - The default is there for x86_64 and aarch64; on another machine, and on a kernel without filters, a warning says that the
      container runs without it, and a profile of one's own is refused.
    - No package is needed on the node.
  type: raw
rlimits:
  description:
    - Resource limits of the process, by name (V(nofile), V(nproc), V(core), ...), as one value for both or a dictionary with C(soft) and C(hard); V(max),
      V(unlimited) or V(-1) for none.
    - V(nofile) cannot be above the machine's kernel parameter C(fs.nr_open), and so not V(max). More than the hard limit of whoever runs Ansible needs
      CAP_SYS_RESOURCE there.
  type: dict
oom_score_adj:
  description: How likely the kernel is to kill it when the machine is out of memory, from -1000 to 1000.
  type: int
cgroup_parent:
  description:
    - The control group below which the container's own group is made, with the container's name.
    - With systemd as O(supervisor), the slice in which its unit is, V(bulkhead) for C(bulkhead.slice).
  type: str
  default: bulkhead
@RESOURCES@
@RDT@
@DISK_QUOTA@
healthcheck:
  description:
    - A command that is run in the container again and again, as M(bulkhead.linux.container_exec) does, to tell whether it is healthy. What comes of it is
      returned as RV(containers[].health); nothing is restarted because of it.
    - It is changed while the container runs.
  type: dict
  suboptions:
    command:
      description:
        - What to run; status 0 is healthy. A list of words, or text that is split into words. A list may begin with V(CMD) or V(CMD-SHELL).
        - V([NONE]) is the same as no healthcheck.
      type: raw
      aliases: [test]
    interval:
      description: Seconds from one check to the next. The first one is made after one second, or after this time where it is shorter.
      type: float
      default: 30
    timeout:
      description: Seconds that a check may take. Then it is killed and has failed.
      type: float
      default: 30
    retries:
      description: After how many failures one after the other a container is unhealthy.
      type: int
      default: 3
    start_period:
      description: Seconds from the start within which failures do not count, and checks are made every second, until the first one succeeds.
      type: float
      default: 0
labels:
  description:
    - Text that is kept with the container, by name, for whoever looks at it. M(bulkhead.linux.container_info) returns it and filters by it, and the
      inventory P(bulkhead.linux.containers#inventory) makes groups of it.
    - It is changed while the container runs, without making it anew. A label that is not named any more is removed.
    - A name has at most 256 bytes, a text at most 4096, and all of a container together at most 65536. Put V(1.10), V(yes) and the like in quotes.
  type: dict
restart_policy:
  description:
    - What happens when the container ends by itself. V(no), nothing; V(on-failure) or V(on-failure:N), it is started again after a status other than 0, at
      most N
      times; V(always) and V(unless-stopped), it is started again whatever the status.
    - Between starts there is a pause, from 0.1 seconds doubling up to a minute. With systemd as O(supervisor) it is one second, doubling after each
      start that fails.
    - YAML reads a bare V(no) as V(false), which means the same here.
    - It changes while the container runs.
  type: raw
  default: "no"
supervisor:
  description:
    - Who watches over the container. V(auto), which is also what holds when it is not given, takes V(systemd) where it runs the machine, and V(builtin)
      elsewhere.
    - V(systemd) has a unit for each container, C(bulkhead-NAME.service), with C(Delegate=yes). systemd starts it, again after its end as O(restart_policy)
      says, and at boot as long as it is V(started) and kept; its output is in the journal, with the container's name as identifier; C(systemctl stop) ends
      it with O(stop_signal). The unit ends with the container's exit status.
    - The container's control group is below that of its unit, where systemd writes nothing, so that every limit can be had and outlasts C(systemctl
      daemon-reload). The process that watches over it is in there, too, and what it does for the container (output, most of all) counts.
    - systemd waits with the start for the file systems that hold the root, the sources of volumes and the log. What was a mount point when the
      container was asked for must be one at every start; while it is not, the container waits, and whoever mounts it has it started.
    - A unit C(bulkhead-NAME.service) that is somebody else's is never overwritten, and drop-ins of the container's unit are left alone.
    - Of a container that loses a process for want of memory, only that process ends, as with V(builtin), and how its first process ended is told under
      C(exit). With C(memory.oom_group) in O(resources), systemd's result for the unit tells it too.
    - V(builtin) has a small monitor process for each container, which outlives the module, and needs no service manager.
  type: str
  choices: [auto, systemd, builtin]
log:
  description: Where the output goes.
  type: dict
  suboptions:
    path:
      description:
        - The file; V(none) for nowhere. By default the container's name with C(.log) in C(/var/log/bulkhead), or with systemd as O(supervisor) the journal.
        - To the journal go at most 10000 lines and 16 MiB in 30 seconds of a container (the unit says so in C(LogRateLimitBurst)). What is beyond that is
          counted, and told in the journal and as C(output_lost). A container that says more needs a file.
        - It is made, with its directory, for root alone. Links on the way to it are followed as for O(volumes), and the file itself must not be a link. The
          directory is held while the container is supervised, so that nothing is written elsewhere when it is moved.
        - A character device, a terminal or a fifo is written to as it is and never put aside; what a fifo cannot hold is lost. Anything else that is no file is
          refused, and so is a device where a container can write, as it may have made it.
        - A file that has a second name (a hard link) is put aside, and not written to.
      type: str
    max_size:
      description: >-
        How large the file may become. Then it is put aside with a number. What cannot be written, as on a full disk, is lost. It changes while the container
        runs.
      type: raw
      default: 16M
    max_files:
      description: How many files there are at most, the current one included. It changes while the container runs.
      type: int
      default: 2
stop_signal:
  description: The signal that asks the container to end, by name (V(TERM), V(SIGTERM), V(RTMIN+3)) or number. It changes while the container runs.
  type: str
  default: TERM
stop_timeout:
  description: How many seconds it may take, before it is killed. It changes while the container runs.
  type: int
  default: 10
signal:
  description:
    - A signal to send to the first process of a container that runs already and goes on, by name or number, such as V(HUP). This is a change each time.
    - A container that this task starts, or that is between two starts, gets none.
  type: str
wait:
  description:
    - Wait until the container has ended, and return its exit status and its output. The task fails when the status is not
      0, and returns all of its containers nevertheless.
    - For jobs. As a job that has ended does not run, every run of the task starts it again, with new private files. What a job writes to these is not
      synchronised to the disk, even when it asks for that; results belong into O(volumes).
  type: bool
  default: false
wait_timeout:
  description:
    - How many seconds O(wait=true) may take, by default as long as the job does; or O(state=healthy), by default 60.
    - When the time is up, the task fails and the job goes on. Look at it with M(bulkhead.linux.container_info), end it with O(state=stopped).
  type: float
max_output:
  description: How much of the end of a job's output is returned (O(wait=true)), as a size; up to V(256M). The log keeps more, see O(log).
  type: raw
  default: 64K
settle:
  description:
    - How many seconds a container that this task has started is watched, before the task says that it runs. The containers of one call are watched at the
      same time.
    - A container that ends within this time with another status than 0 makes the task fail, with how it ended and its last words. It is not rolled back and
      stays as it is, to be looked at; with a O(restart_policy) it is started again meanwhile, and when it runs at the end of the time, that is a warning.
    - A container that ends within this time with status 0 is no failure but a warning, as a command that is meant to end is a job (O(wait=true)).
    - V(0) turns this off. Jobs and what is V(paused) are not watched. A boot does not watch either.
    - A container that ends and is started again in turns is warned of by every later run, also by one that changes nothing.
  type: float
  default: 1
"""

_NAME = """
name:
  description: The name of the container. It is also the name of its control group, of its directories and, unless O(hostname) says otherwise, its host name.
  type: str
"""


def _resources() -> str:
    """The options of a control group, one level down, with references to them adjusted."""
    text = _Resources.DOCUMENTATION.partition("options:\n")[2]
    text = re.sub(r"O\((memory|cpu|cpuset|io|pids|hugetlb|rdma|misc|devices|files)", r"O(resources.\1", text)
    text = text.replace(" unless O(force=true)", "").replace("RV(groups[].", "RV(containers[].")
    head = (
        "resources:\n"
        "  description:\n"
        "    - Limits, with the options of M(bulkhead.linux.cgroup_group). They are changed in place while the container runs.\n"
        "    - A limit that is left out beside O(command) is lifted, because the options describe the whole container then. Without O(command), as with\n"
        "      M(bulkhead.linux.cgroup_group), a limit that is left out stays what it is. V(max) lifts a limit in both.\n"
        "    - Where nothing is said of O(resources.pids.max), it is 2048; V(max) lifts it.\n"
        "    - Programs inside find the limits of memory and CPU where they look them up, at the root of their control groups. These are copies;\n"
        "      who writes to them lifts nothing. The share of the CPUs is given for a period of up to a second.\n"
        "    - Lifting what was set with O(resources.files), which have no default that is known, makes the container anew.\n"
        "  type: dict\n"
        "  suboptions:\n"
    )
    return head + textwrap.indent(textwrap.dedent(text), "    ")


def _rdt() -> str:
    """What a class of cache and memory bandwidth may have, one level down, with references to them adjusted."""
    text = re.sub(r"O\((mode|l3|shareable_bits)", r"O(rdt.\1", _SHARES).replace("O(mount_options.mba_mbps)", "C(mba_MBps)")
    text = text.replace("RV(groups[].", "RV(containers[].rdt.")
    head = (
        "rdt:\n"
        "  description:\n"
        "    - The class of cache and memory bandwidth in which the container runs, with the options of M(bulkhead.linux.resctrl_schema).\n"
        "      Its first process joins the class before it becomes the command.\n"
        "    - What the class has is changed in place while the container runs; another class makes the container anew.\n"
        "    - Given without O(command), it changes what is given of the class, and the rest stays.\n"
        "  type: dict\n"
        "  suboptions:\n"
        "    class:\n"
        "      description:\n"
        "        - A class to join. It must be there, or be given something here, and it stays when the container is removed.\n"
        "        - Without this, the container has a class of its own under its own name, which is removed after it. Hardware has few classes.\n"
        "      type: str\n"
        "    monitor:\n"
        "      description: Whether the container is counted by itself, in a monitoring group of the class under its own name.\n"
        "      type: bool\n"
        "      default: false\n"
    )
    return head + textwrap.indent(text.lstrip("\n"), "    ")


def _disk_quota() -> str:
    """The limits of a disk quota, one level down, with references to them adjusted."""
    text = _LIMITS.lstrip("\n").replace("O(block_", "O(disk_quota.block_")
    text = text.replace("A limit that is not given stays as it is. It is", "It is")
    head = (
        "disk_quota:\n"
        "  description:\n"
        "    - How much the container may write to its private files, by bytes and by number, with the options by which M(bulkhead.linux.disk_quota) limits a\n"
        "      directory. Root inside is limited as everybody is. The limits are there before the command runs, at every start, and change while it runs.\n"
        "    - They are for O(rootfs=host). Volumes, file systems in memory and the log are not counted. With a directory as O(rootfs), limit that with\n"
        "      M(bulkhead.linux.disk_quota).\n"
        "    - Private files lie in C(/var/lib/bulkhead). It must be on ext4 with the features C(quota) and C(project), mounted with C(prjquota), on XFS,\n"
        "      mounted with C(pquota), or on btrfs with quotas enabled. A file system of its own can be mounted there before the first container is made.\n"
        "      What is missing is said before anything is written.\n"
        "    - On ext4 and XFS the private files are a project, with a line in C(/etc/projid) and one in C(/etc/projects), which go with the container. On\n"
        "      btrfs they are a subvolume, which knows of O(disk_quota.block_hard) only. A container that was made there without O(disk_quota) has none, and\n"
        "      is removed first. All that is private is counted, also what the collection writes for the container, some 40 KiB.\n"
        "    - A file's owner may take it out of its project. So nobody in a container with O(disk_quota) can change the attributes of files; C(chattr) gets\n"
        "      EPERM, whatever O(seccomp) says. Processes that ran before the container had a quota can do it until the next start, which is a warning.\n"
        "    - A limit that is left out beside O(command) is lifted, as is all of it when O(disk_quota) is left out. Without O(command), it stays what it is.\n"
        "      V(max) lifts a limit in both.\n"
        "  type: dict\n"
        "  suboptions:\n"
    )
    return head + textwrap.indent(text, "    ")


_ALL = _OPTIONS.replace("@RESOURCES@\n", _resources()).replace("@RDT@\n", _rdt()).replace("@DISK_QUOTA@\n", _disk_quota())


class ModuleDocFragment:
    """One container, or a list of them."""

    # Annotated, because tools that read documentation without running it take a plain assignment for a literal.
    DOCUMENTATION: str = (
        "options:\n"
        + textwrap.indent(_NAME.rstrip() + "\n" + _ALL.lstrip("\n"), "  ")
        + "  containers:\n"
        + "    description:\n"
        + "      - Several containers in one call, each with the options above; they are validated as a whole, and all are started or none.\n"
        + "      - %s\n" % _BESIDE
        + "    type: list\n"
        + "    elements: dict\n"
        + "    suboptions:\n"
        + textwrap.indent(_NAME.rstrip() + "\n  required: true\n" + _in_list(_ALL.lstrip("\n")), "      ")
    )
