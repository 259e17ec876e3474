# SPDX-FileCopyrightText: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the kernel answers on resctrl: Linux 6.12, seen on the lab's nodes, on both kinds of hardware.

Every row starts with the groups g and h, the default group holding all, every CPU in it, and nothing else. Before each act
whose words are given, the kernel is made to say something else, so "Missing ':'" means that the act cleared that
and said so, and Stale("...") that it did not clear it.

In a line of schemata "*=f" stands for every domain with that mask.
Facts: full, own (full without the ways shared with devices), shared, d0 and d1 (the first and the last cache domain),
none (no domain), least, most, step of MB and one above, closids and rmids, cpu0 and cpu1 (a CPU of d0 and of d1), cpus1
(all of d1), cpus (all there are), page (as many letters).
"""

from __future__ import annotations

from table import (
    UNCHANGED,
    Row,
    Stale,
    covers,
    cpu,
    fill,
    gone,
    has,
    has_not,
    holds,
    lacks,
    matches,
    mkdir,
    mount,
    not_there,
    opened,
    reads,
    remount,
    rename,
    rmdir,
    rounds,
    spares,
    task,
    there,
    thread,
    unmount,
    write,
    write_as_nobody,
    write_back,
)

INTEL = ("intel",)
AMD = ("amd",)

# The first to share is the default group, which holds everything after mounting: it lets go of what others are to have alone.
APART = [write("schemata", "L3:*={shared:x}\n"), write("g/schemata", "L3:*=f0\n"), write("h/schemata", "L3:*=f\n")]
# The same with code and data apart.
APART_CDP = [
    write("schemata", "L3CODE:*={shared:x}\nL3DATA:*={shared:x}\n"),
    write("g/schemata", "L3CODE:*=f0\nL3DATA:*=f\n"),
    write("h/schemata", "L3CODE:*=100\nL3DATA:*=100\n"),
]

ROWS = [
    # Lines of schemata
    Row("01", "a whole line is taken", [write("g/schemata", "L3:{d0}=f;{d1}=ff\n", "", "ok"), holds("g/schemata", "L3:{d0}=f;{d1}=ff")]),
    Row(
        "02",
        "text without a newline at its end, and no text, is refused before anything is looked at; not even the older words are cleared",
        [write("g/schemata", "L3:{d0}=f", "EINVAL", UNCHANGED), write("g/schemata", "", "EINVAL", UNCHANGED), holds("g/schemata", "L3:{d0}={full:x}")],
    ),
    Row("03a", "an empty line is a line without a colon", [write("g/schemata", "\n", "EINVAL", "Missing ':'")]),
    Row("03b", "a line without a colon", [write("g/schemata", "hello\n", "EINVAL", "Missing ':'")]),
    Row(
        "03c",
        "a second line that is empty: nothing of the first is applied",
        [write("g/schemata", "L3:{d0}=f\n\n", "EINVAL", "Missing ':'"), holds("g/schemata", "L3:{d0}={full:x}")],
    ),
    Row("04", "a resource without values", [write("g/schemata", "L3:\n", "EINVAL", "Missing 'L3' value")]),
    Row("05a", "a resource that there is not", [write("g/schemata", "XX:0=1\n", "EINVAL", "Unknown or unsupported resource name 'XX'")]),
    Row(
        "05b",
        "code and data apart where they are not",
        [write("g/schemata", "L3CODE:{d0}=f\n", "EINVAL", "Unknown or unsupported resource name 'L3CODE'")],
    ),
    Row("05c", "L3 where code and data are apart", [write("g/schemata", "L3:{d0}=f\n", "EINVAL", "Unknown or unsupported resource name 'L3'")], setting="cdp"),
    Row("05d", "the name of a resource is told by case", [write("g/schemata", "l3:{d0}=f\n", "EINVAL", "Unknown or unsupported resource name 'l3'")]),
    *(
        Row("06" + letter, "no domain with a value: %s" % text, [write("g/schemata", text + "\n", "EINVAL", "Missing '=' or non-numeric domain")])
        for letter, text in zip("abcde", ("L3:{d0}", "L3:x=f", "L3:{d0}=f;;{d1}=f", "L3: {d0}=f", "L3:-1=f"))
    ),
    Row("07", "a domain that there is not is refused without a word", [write("g/schemata", "L3:{none}=f\n", "EINVAL", "ok")]),
    Row("08", "a domain twice", [write("g/schemata", "L3:{d0}=f;{d0}=f\n", "EINVAL", "Duplicate domain {d0}"), holds("g/schemata", "L3:{d0}={full:x}")]),
    Row("09a", "a mask that is not hexadecimal", [write("g/schemata", "L3:{d0}=zz\n", "EINVAL", "Non-hex character in the mask zz")]),
    Row("09b", "a mask that is missing", [write("g/schemata", "L3:{d0}=\n", "EINVAL", "Non-hex character in the mask ")]),
    Row("10a", "an empty mask", [write("g/schemata", "L3:{d0}=0\n", "EINVAL", "Mask out of range")], on=INTEL),
    Row("10b", "an empty mask is one where min_cbm_bits is 0", [write("g/schemata", "L3:{d0}=0\n", "", "ok"), holds("g/schemata", "L3:{d0}=0")], on=AMD),
    Row("10c", "a mask that is too wide", [write("g/schemata", "L3:{d0}={wide:x}\n", "EINVAL", "Mask out of range")]),
    Row("11a", "a mask with a hole", [write("g/schemata", "L3:{d0}=5\n", "EINVAL", "The mask 5 has non-consecutive 1-bits")], on=INTEL),
    Row("11b", "a mask with a hole where sparse_masks is 1", [write("g/schemata", "L3:{d0}=5\n", "", "ok"), holds("g/schemata", "L3:{d0}=5")], on=AMD),
    Row(
        "12",
        "fewer bits than min_cbm_bits, but not none",
        [write("g/schemata", "L3:{d0}=1\n", "EINVAL", "Need at least 2 bits in the mask")],
        skip="only Haswell has min_cbm_bits 2, where the kernel knows the model and asks no CPUID: 1 (Intel) and 0 (AMD) cannot be undercut",
    ),
    Row("13a", "a mask may begin with 0x", [write("g/schemata", "L3:{d0}=0xf\n", "", "ok"), holds("g/schemata", "L3:{d0}=f")]),
    Row("13b", "the last domain may be followed by a semicolon", [write("g/schemata", "L3:{d0}=f;\n", "", "ok"), holds("g/schemata", "L3:{d0}=f")]),
    Row("13c", "blanks around a name and before a mask", [write("g/schemata", "  L3 :{d0}= f\n", "", "ok"), holds("g/schemata", "L3:{d0}=f")]),
    Row("13d", "capitals in a mask", [write("g/schemata", "L3:{d0}=0F\n", "", "ok"), holds("g/schemata", "L3:{d0}=f")]),
    Row(
        "13e",
        "names are padded on the left, masks filled with zeros to the widest, bandwidth with blanks; the resources come last to first",
        [
            write("g/schemata", "MB:{d0}=20\nL3:{d0}=f\n"),
            matches("g/schemata", r"    MB:{d0}= 20(?:;\d+= *\d+)*\n    L3:{d0}=0*0f(?:;\d+=[0-9a-f]+)*\n"),
        ],
        on=INTEL,
    ),
    Row(
        "13f",
        "the same with a resource for slow memory",
        [
            write("g/schemata", "MB:{d0}=20\nL3:{d0}=f\nSMBA:{d0}=7\n"),
            matches("g/schemata", r"  SMBA:{d0}=   7(?:;\d+= *\d+)*\n    MB:{d0}=  20(?:;\d+= *\d+)*\n    L3:{d0}=000f(?:;\d+=[0-9a-f]+)*\n"),
        ],
        on=AMD,
    ),
    # Bandwidth
    Row("14a", "a bandwidth that is no number", [write("g/schemata", "MB:{d0}=abc\n", "EINVAL", "Invalid MB value abc")]),
    Row("14b", "a bandwidth that is missing", [write("g/schemata", "MB:{d0}=\n", "EINVAL", "Invalid MB value ")]),
    Row("14c", "a bandwidth beyond 32 bits", [write("g/schemata", "MB:{d0}=4294967296\n", "EINVAL", "Invalid MB value 4294967296")]),
    Row("14d", "a bandwidth with a fraction", [write("g/schemata", "MB:{d0}=12.5\n", "EINVAL", "Invalid MB value 12.5")]),
    Row("15a", "a bandwidth below the least", [write("g/schemata", "MB:{d0}=5\n", "EINVAL", "MB value 5 out of range [{least},{most}]")], on=INTEL),
    Row("15b", "a bandwidth above the most", [write("g/schemata", "MB:{d0}={above}\n", "EINVAL", "MB value {above} out of range [{least},{most}]")]),
    Row("15c", "a bandwidth of 0 where that is the least", [write("g/schemata", "MB:{d0}=0\n", "", "ok"), holds("g/schemata", "MB:{d0}=0")], on=AMD),
    Row(
        "15d",
        "for slow memory the words are the same, MB included",
        [write("g/schemata", "SMBA:{d0}={above}\n", "EINVAL", "MB value {above} out of range [{least},{most}]")],
        on=AMD,
    ),
    Row(
        "16a",
        "a bandwidth between two steps becomes the upper one",
        [write("g/schemata", "MB:{d0}=11\n", "", "ok"), holds("g/schemata", "MB:{d0}=20")],
        on=INTEL,
    ),
    Row("16b", "every bandwidth is kept where the step is 1", [write("g/schemata", "MB:{d0}=11\n", "", "ok"), holds("g/schemata", "MB:{d0}=11")], on=AMD),
    Row("16c", "and so are all others", [rounds("g/schemata", "MB:{d0}={{v}}\n", "{least}, {most} + 1, {stride}", "-(-v // {step}) * {step}")]),
    # Several lines
    Row(
        "17a",
        "of two lines the second is wrong: nothing of the first is applied",
        [
            write("g/schemata", "MB:{d0}=50\nL3:{d0}={wide:x}\n", "EINVAL", "Mask out of range"),
            holds("g/schemata", "MB:{d0}={most}", "L3:{d0}={full:x}"),
        ],
    ),
    Row(
        "17b",
        "but bandwidth in MBps is applied as it is read",
        [write("g/schemata", "MB:{d0}=500\nL3:{d0}=5\n", "EINVAL", "The mask 5 has non-consecutive 1-bits"), holds("g/schemata", "MB:{d0}=500")],
        on=INTEL,
        setting="mba_MBps",
    ),
    Row(
        "17c",
        "and a domain given twice is not noticed",
        [write("g/schemata", "MB:{d0}=100;{d0}=200\n", "", "ok"), holds("g/schemata", "MB:{d0}=200")],
        on=INTEL,
        setting="mba_MBps",
    ),
    Row(
        "17d",
        "no limit in MBps is 4294967295, which can be written too; nothing is rounded, nothing is out of range",
        [
            holds("g/schemata", "MB:{d0}=4294967295"),
            write("g/schemata", "MB:{d0}=1\n", "", "ok"),
            holds("g/schemata", "MB:{d0}=1"),
            write("g/schemata", "MB:{d0}=0\n", "", "ok"),
            holds("g/schemata", "MB:{d0}=0"),
            write("g/schemata", "MB:{d0}=4294967290\n", "", "ok"),
            holds("g/schemata", "MB:{d0}=4294967290"),
            write("g/schemata", "MB:{d0}=4294967295\n", "", "ok"),
        ],
        on=INTEL,
        setting="mba_MBps",
    ),
    Row("17e", "two resources in one write", [write("g/schemata", "MB:{d0}=20\nL3:{d0}=f\n", "", "ok"), holds("g/schemata", "MB:{d0}=20", "L3:{d0}=f")]),
    Row(
        "17f",
        "a resource twice is a domain twice",
        [write("g/schemata", "L3:{d0}=f\nL3:{d0}=f0\n", "EINVAL", "Duplicate domain {d0}"), holds("g/schemata", "L3:{d0}={full:x}")],
    ),
    Row("18", "more than a page in one write", [write("g/schemata", "L3:{d0}=f\n{page}", "E2BIG", UNCHANGED), holds("g/schemata", "L3:{d0}={full:x}")]),
    Row(
        "19",
        "what a file says can be written back as it is",
        [write("g/schemata", "MB:{d0}=90\nL3:{d0}=3\n"), write_back("g/schemata", "ok"), write_back("schemata", "ok")],
    ),
    # Groups
    Row(
        "20",
        "there are as many classes as the resource with the fewest has",
        [rmdir("g"), rmdir("h"), fill("c", "{closids} - 1", "ENOSPC", Stale("Out of CLOSIDs"))],
    ),
    Row("21a", "there are as many monitor groups as there are numbers", [fill("mon_groups/m", "{rmids} - 3", "ENOSPC", Stale("Out of RMIDs"))]),
    Row(
        "21b",
        "a number that was given back rests for a while, and nobody gets it meanwhile",
        [
            fill("mon_groups/m", "{rmids} - 3", "ENOSPC", Stale("Out of RMIDs")),
            rmdir("mon_groups/m1"),
            mkdir("mon_groups/again", "EBUSY", Stale("Out of RMIDs")),
        ],
    ),
    Row("22a", "a group that is there already", [mkdir("g", "EEXIST", UNCHANGED)]),
    Row(
        "22b",
        "a group called like what is there",
        [mkdir("info", "EEXIST", UNCHANGED), mkdir("mon_data", "EEXIST", UNCHANGED), mkdir("tasks", "EEXIST", UNCHANGED)],
    ),
    Row("23a", "a group in a group", [mkdir("g/x", "EPERM", UNCHANGED)]),
    Row("23b", "a monitor group called mon_groups", [mkdir("mon_groups/mon_groups", "EPERM", UNCHANGED), mkdir("g/mon_groups/mon_groups", "EPERM", UNCHANGED)]),
    Row("23c", "a name with a newline", [mkdir("a\nb", "EINVAL", UNCHANGED)]),
    Row("23d", "a directory in info", [mkdir("info/x", "EPERM", UNCHANGED)]),
    Row(
        "24a",
        "a group when all ways are others' alone",
        [mkdir("x", "ENOSPC", Stale("No space on L3:{d0}"))],
        skip="both kinds of node share ways with devices (shareable_bits), which no group can have alone: a new group always gets those",
    ),
    Row(
        "24b",
        "a group when all ways but those shared with devices are others' alone: it gets those",
        [
            *APART,
            write("h/schemata", "L3:*={shared:x}\n"),
            write("g/schemata", "L3:*={own:x}\n"),
            write("g/mode", "exclusive\n", "", "ok"),
            mkdir("x", "", UNCHANGED),
            holds("x/schemata", "L3:{d0}={shared:x}"),
        ],
    ),
    Row(
        "25",
        "what is no group cannot be removed",
        [
            rmdir("info", "EPERM", UNCHANGED),
            rmdir("info/L3", "EPERM", UNCHANGED),
            rmdir("mon_groups", "EPERM", UNCHANGED),
            rmdir("mon_data", "EPERM", UNCHANGED),
            rmdir("g/mon_groups", "EPERM", UNCHANGED),
        ],
    ),
    Row("26", "a class cannot be renamed", [rename("g", "x", "EPERM", "Source must be a MON group"), there("g")]),
    Row(
        "27a",
        "a monitor group can go to another class, and takes its tasks along",
        [
            mkdir("g/mon_groups/m"),
            task("t", "g"),
            write("g/mon_groups/m/tasks", "{t}\n"),
            rename("g/mon_groups/m", "h/mon_groups/n", "", "ok"),
            has("h/mon_groups/n/tasks", "{t}"),
            has("h/tasks", "{t}"),
            has_not("g/tasks", "{t}"),
        ],
    ),
    Row(
        "27b",
        "not when it has CPUs",
        [
            write("g/cpus_list", "{cpu1}\n"),
            mkdir("g/mon_groups/m"),
            write("g/mon_groups/m/cpus_list", "{cpu1}\n"),
            rename("g/mon_groups/m", "h/mon_groups/m", "EPERM", "Cannot move a MON group that monitors CPUs"),
            rename("g/mon_groups/m", "g/mon_groups/n", "", "ok"),
            reads("g/mon_groups/n/cpus_list", "{cpu1}"),
        ],
    ),
    Row(
        "27c",
        "a monitor group goes into mon_groups only",
        [mkdir("g/mon_groups/m"), rename("g/mon_groups/m", "g/m", "EPERM", "Destination must be a mon_groups subdirectory")],
    ),
    # Modes
    Row("28a", "alone on what the default group has too", [write("g/mode", "exclusive\n", "EINVAL", "Schemata overlaps"), reads("g/mode", "shareable")]),
    Row(
        "28b",
        "alone on ways that devices use",
        [*APART, write("g/schemata", "L3:{d0}={shared:x}\n"), write("g/mode", "exclusive\n", "EINVAL", "Schemata overlaps")],
    ),
    Row(
        "28c",
        "alone in one domain, shared in another",
        [*APART, write("h/schemata", "L3:{d1}=f0\n"), write("g/mode", "exclusive\n", "EINVAL", "Schemata overlaps")],
    ),
    Row(
        "28d",
        "the default group too can be alone",
        [*APART, write("schemata", "L3:*=100\n"), write("mode", "exclusive\n", "", "ok"), write("mode", "shareable\n")],
    ),
    Row(
        "29",
        "another group, and the default one, then cannot overlap it",
        [
            *APART,
            write("g/mode", "exclusive\n", "", "ok"),
            reads("g/mode", "exclusive"),
            write("h/schemata", "L3:{d1}=1f\n", "EINVAL", "Overlaps with exclusive group"),
            write("schemata", "L3:{d0}={full:x}\n", "EINVAL", "Overlaps with exclusive group"),
            holds("h/schemata", "L3:{d1}=f"),
            write("g/mode", "shareable\n", "", "ok"),
            write("h/schemata", "L3:{d1}=1f\n", "", "ok"),
        ],
    ),
    Row(
        "30",
        "a group that is alone cannot grow over another",
        [*APART, write("g/mode", "exclusive\n"), write("g/schemata", "L3:{d0}=f8\n", "EINVAL", "Overlaps with other group"), holds("g/schemata", "L3:{d0}=f0")],
    ),
    Row(
        "31",
        "alone where only bandwidth can be given",
        [write("g/mode", "exclusive\n", "EINVAL", "Cannot be exclusive without CAT/CDP")],
        skip="every kind of node of the lab has cache allocation; it takes a boot of its own with rdt=!l3cat",
    ),
    Row("32a", "a mode that there is not", [write("g/mode", "bogus\n", "EINVAL", "Unknown or unsupported mode"), reads("g/mode", "shareable")]),
    Row("32b", "a mode without a newline", [write("g/mode", "exclusive", "EINVAL", UNCHANGED)]),
    Row("32c", "the mode that it has: no change, but the older words are cleared", [write("g/mode", "shareable\n", "", "ok")]),
    Row("33a", "the default group cannot be locked", [write("mode", "pseudo-locksetup\n", "EINVAL", "Cannot pseudo-lock default group")]),
    Row("33b", "nothing can be locked with code and data apart", [write("g/mode", "pseudo-locksetup\n", "EINVAL", "CDP enabled")], setting="cdp"),
    Row("33c", "nor on hardware that the kernel does not know for it", [write("g/mode", "pseudo-locksetup\n", "EINVAL", "Pseudo-locking not supported")]),
    *(
        Row(
            "33" + letter,
            "a group with %s cannot be locked" % what,
            [write("g/mode", "pseudo-locksetup\n", "EINVAL", words)],
            skip="the kernel first asks for a model of CPU whose prefetchers it can stop (Broadwell-X, Goldmont), and the lab's is none of them",
        )
        for letter, what, words in (
            ("d", "tasks", "Tasks assigned to resource group"),
            ("e", "CPUs", "CPUs assigned to resource group"),
            ("f", "monitor groups", "Monitoring in progress"),
        )
    ),
    # Tasks
    Row("34", "a task that is gone", [gone("t"), write("g/tasks", "{t}\n", "ESRCH", "No task {t}\nError while processing task {t}")]),
    Row("35a", "no number", [write("g/tasks", "abc\n", "EINVAL", "Task list parsing error pid abc")]),
    Row("35b", "a negative number", [write("g/tasks", "-1\n", "EINVAL", "Invalid pid -1")]),
    Row("35c", "a number with a leading zero is octal", [task("t"), write("g/tasks", "0{t:o}\n", "", "ok"), has("g/tasks", "{t}")]),
    Row("35d", "nothing is no task and no error", [write("g/tasks", "\n", "", "ok"), write("g/tasks", "", "", "ok")]),
    Row(
        "36",
        "a list stops at the first that fails, and those before it stay moved",
        [
            task("a"),
            task("b"),
            gone("x"),
            write("g/tasks", "{a},{x},{b}\n", "ESRCH", "No task {x}\nError while processing task {x}"),
            has("g/tasks", "{a}"),
            has_not("g/tasks", "{b}"),
            has("tasks", "{b}"),
            write("g/tasks", "{a},{b}\n", "", "ok"),
            has("g/tasks", "{a}", "{b}"),
        ],
    ),
    Row(
        "37",
        "a monitor group takes tasks of its own class only",
        [
            mkdir("g/mon_groups/m"),
            task("t", "h"),
            write("g/mon_groups/m/tasks", "{t}\n", "EINVAL", "Can't move task to different control group\nError while processing task {t}"),
            has("h/tasks", "{t}"),
            write("g/tasks", "{t}\n", "", "ok"),
            write("g/mon_groups/m/tasks", "{t}\n", "", "ok"),
            has("g/mon_groups/m/tasks", "{t}"),
            has("g/tasks", "{t}"),
        ],
    ),
    Row(
        "38",
        "somebody else's task",
        [task("t"), write_as_nobody("g/tasks", "{t}\n", "EPERM", "No permission to move task {t}\nError while processing task {t}"), has_not("g/tasks", "{t}")],
    ),
    Row(
        "39",
        "threads are moved one by one, and start where the one is that starts them",
        [
            task("p"),
            thread("t", "p", "p"),
            write("g/tasks", "{p}\n", "", "ok"),
            has("g/tasks", "{p}"),
            has_not("g/tasks", "{t}"),
            has("tasks", "{t}"),
            thread("by_leader", "p", "p"),
            has("g/tasks", "{by_leader}"),
            thread("by_thread", "p", "t"),
            has_not("g/tasks", "{by_thread}"),
            write("g/tasks", "{t}\n", "", "ok"),
            has("g/tasks", "{t}"),
        ],
    ),
    # CPUs
    Row(
        "40a",
        "a CPU that is offline",
        [
            cpu("{cpu1}", False),
            write("g/cpus_list", "{cpu1}\n", "EINVAL", Stale("Can only assign online CPUs")),
            cpu("{cpu1}", True),
            covers("cpus_list", "{cpus}"),
        ],
    ),
    Row("40b", "no list of CPUs", [write("g/cpus_list", "abc\n", "EINVAL", Stale("Bad CPU list/mask"))]),
    Row("40c", "a CPU that there cannot be", [write("g/cpus_list", "4095\n", "ERANGE", Stale("Bad CPU list/mask"))]),
    Row("40d", "no mask of CPUs", [write("g/cpus", "xyz\n", "EINVAL", Stale("Bad CPU list/mask"))]),
    Row("40e", "a mask that is too long", [write("g/cpus", "ffffffff,ffffffff,ffffffff\n", "EOVERFLOW", Stale("Bad CPU list/mask"))]),
    Row(
        "41",
        "the default group gives no CPU away by itself",
        [
            write("cpus_list", "{cpu1}\n", "EINVAL", Stale("Can't drop CPUs from default group")),
            write("cpus_list", "\n", "EINVAL", Stale("Can't drop CPUs from default group")),
        ],
    ),
    Row(
        "42",
        "a monitor group has CPUs of its class only",
        [
            mkdir("g/mon_groups/m"),
            write("g/mon_groups/m/cpus_list", "{cpu1}\n", "EINVAL", Stale("Can only add CPUs to mongroup that belong to parent")),
            write("g/cpus_list", "{cpu1}\n"),
            write("g/mon_groups/m/cpus_list", "{cpu1}\n", "", UNCHANGED),
            reads("g/cpus_list", "{cpu1}"),
        ],
    ),
    Row(
        "43",
        "a CPU that a class gets is taken from the one that had it, and from the monitor groups of both",
        [
            write("g/cpus_list", "{cpus1}\n", "", UNCHANGED),
            spares("cpus_list", "{cpus1}"),
            mkdir("g/mon_groups/m"),
            write("g/mon_groups/m/cpus_list", "{cpus1}\n"),
            write("h/cpus_list", "{cpu0}\n"),
            mkdir("h/mon_groups/n"),
            write("h/mon_groups/n/cpus_list", "{cpu0}\n"),
            write("h/cpus_list", "{cpu0},{cpu1}\n", "", UNCHANGED),
            spares("g/cpus_list", "{cpu1}"),
            spares("g/mon_groups/m/cpus_list", "{cpu1}"),
            reads("h/mon_groups/n/cpus_list", ""),
            write("h/cpus_list", "\n", "", UNCHANGED),
            covers("cpus_list", "{cpu0},{cpu1}"),
        ],
    ),
    # Files
    Row(
        "44a",
        "what can only be read, root cannot open for writing either",
        [opened("g/size", "EACCES"), opened("info/L3/cbm_mask", "EACCES"), opened("info/L3/bit_usage", "EACCES"), opened("info/last_cmd_status", "EACCES")],
    ),
    Row("45a", "an occupancy above the highest", [write("info/L3_MON/max_threshold_occupancy", "4294967295\n", "EINVAL", UNCHANGED)]),
    Row("45b", "no occupancy", [write("info/L3_MON/max_threshold_occupancy", "many\n", "EINVAL", UNCHANGED)]),
    Row(
        "45c",
        "an occupancy is kept in the hardware's unit, rounded down",
        [
            write("info/L3_MON/max_threshold_occupancy", "140000\n", "", UNCHANGED),
            reads("info/L3_MON/max_threshold_occupancy", "131072"),
            write("info/L3_MON/max_threshold_occupancy", "131071\n"),
            lacks("info/L3_MON/max_threshold_occupancy", "131071"),
            write("info/L3_MON/max_threshold_occupancy", "{threshold}\n"),
        ],
    ),
    # Mounting
    Row("46a", "there is one mount, and trying another clears the words", [mount("", "EBUSY", "ok"), mount("cdp", "EBUSY", "ok")]),
    Row("46b", "an option that there is not is refused before anything else, the words stay", [mount("nonsense", "EINVAL", UNCHANGED)]),
    Row("46c", "bandwidth in MBps where the hardware cannot: the same", [mount("mba_MBps", "EINVAL", UNCHANGED)], on=AMD),
    Row("46d", "code and data apart in L2 where there is no L2 allocation", [unmount(), mount("cdpl2", "EINVAL"), mount("")]),
    Row(
        "47",
        "options cannot be changed by remounting, though it succeeds",
        [remount("cdp"), lacks("/proc/mounts", "cdp"), holds("schemata", "L3:{d0}={full:x}")],
    ),
    Row(
        "48a",
        "with code and data apart there are two resources for L3, with half as many classes, and info names them so",
        [
            there("info/L3CODE", "info/L3DATA"),
            not_there("info/L3"),
            reads("info/L3CODE/num_closids", "{closids_cdp}"),
            reads("info/L3DATA/num_closids", "{closids_cdp}"),
            holds("g/schemata", "L3CODE:{d0}={full:x}", "L3DATA:{d0}={full:x}"),
            matches("/proc/mounts", r"(?s).* resctrl [a-z,]*,cdp 0 0\n.*"),
        ],
        setting="cdp",
    ),
    Row(
        "48b",
        "being alone holds for both: another's data cannot overlap its code",
        [
            *APART_CDP,
            write("g/mode", "exclusive\n", "", "ok"),
            write("h/schemata", "L3DATA:{d0}=f0\n", "EINVAL", "Overlaps with exclusive group"),
            write("h/schemata", "L3CODE:{d0}=f\n", "EINVAL", "Overlaps with exclusive group"),
        ],
        setting="cdp",
    ),
    Row(
        "48c",
        "its own code and data may overlap",
        [*APART_CDP, write("g/schemata", "L3DATA:*=f0\n"), write("g/mode", "exclusive\n", "", "ok")],
        setting="cdp",
    ),
    Row("48d", "a new group is as wide as can be in both", [mkdir("x"), holds("x/schemata", "L3CODE:{d1}={full:x}", "L3DATA:{d1}={full:x}")], setting="cdp"),
    Row(
        "48e",
        "and the groups are as many as half the classes allow",
        [rmdir("g"), rmdir("h"), fill("c", "min({closids}, {closids_cdp}) - 1", "ENOSPC")],
        setting="cdp",
    ),
    # What else changes a group
    Row(
        "49",
        "a domain whose last CPU goes is gone from every file; when it is back it holds the default, and its CPUs are in the default group",
        [
            write("g/schemata", "L3:{d0}=f;{d1}=f\nMB:{d1}=50\n"),
            write("g/cpus_list", "{cpus1}\n"),
            cpu("{cpus1}", False),
            lacks("g/schemata", ";{d1}=", ":{d1}="),
            lacks("schemata", ";{d1}=", ":{d1}="),
            write("g/schemata", "L3:{d1}=f\n", "EINVAL", "ok"),
            reads("g/cpus_list", ""),
            cpu("{cpus1}", True),
            holds("g/schemata", "L3:{d0}=f;{d1}={full:x}", "MB:{d1}={most}"),
            reads("g/cpus_list", ""),
            covers("cpus_list", "{cpus}"),
        ],
    ),
    Row(
        "50",
        "removing a group gives its tasks, those of its monitor groups and its CPUs to the default group, and its class to the next",
        [
            rmdir("h"),
            fill("c", "{closids} - 2", "ENOSPC"),
            task("a", "g"),
            mkdir("g/mon_groups/m"),
            task("b", "g"),
            write("g/mon_groups/m/tasks", "{b}\n"),
            write("g/cpus_list", "{cpu1}\n"),
            rmdir("g", "", UNCHANGED),
            has("tasks", "{a}", "{b}"),
            covers("cpus_list", "{cpus}"),
            mkdir("x"),
        ],
    ),
    Row(
        "51",
        "a new group holds the first run of what is shared or unused",
        [
            *APART,
            write("g/schemata", "L3:*=c\n"),
            write("h/schemata", "L3:*=f0\n"),
            write("g/mode", "exclusive\n", "", "ok"),
            mkdir("x"),
            holds("x/schemata", "L3:{d0}=3;{d1}=3", "MB:{d0}={most}"),
        ],
    ),
    Row(
        "52",
        "the schemata of a group that is to be locked has no values",
        [write("g/mode", "pseudo-locksetup\n"), matches("g/schemata", r"(\w+:uninitialized\n)+")],
        skip="the kernel locks on models of CPU only that the lab's is not (33d); that parsing survives the text is for the unit tests",
    ),
    Row("53", "the event behind mba_MBps, and counters without one", [], skip="Linux 6.12 has neither info/L3_MON/mba_MBps_event nor counters to assign"),
    Row(
        "54",
        "unmounting forgets everything",
        [write("schemata", "L3:{d0}=f\n"), unmount(), mount(""), not_there("g", "h"), holds("schemata", "L3:{d0}={full:x}")],
    ),
    # Beyond caches and bandwidth
    Row(
        "55a",
        "which events count as bandwidth can be chosen; the lab's processor forgets it at once, as it has no register for it",
        [write("info/L3_MON/mbm_total_bytes_config", "{d0}=0x30\n", "", "ok"), write("info/L3_MON/mbm_total_bytes_config", "{d0}=7f\n", "", "ok")],
        on=AMD,
    ),
    Row(
        "55b",
        "an event that there is not",
        [write("info/L3_MON/mbm_total_bytes_config", "{d0}=0x80\n", "EINVAL", "Invalid event configuration: max valid mask is 0x7f")],
        on=AMD,
    ),
    Row("55c", "no event", [write("info/L3_MON/mbm_local_bytes_config", "{d0}=x\n", "EINVAL", "Non-numeric event configuration value")], on=AMD),
]
