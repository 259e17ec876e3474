# SPDX-FileCopyrightText: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A steady service: it wakes up a hundred times a second, and notes for each second how often it did and how late at worst."""

import json
import os
import time

NOTES = "/dev/shm/lateness"
os.mkdir(NOTES)
due = time.monotonic()
while True:
    second, ticks, worst = int(due), 0, 0.0
    while int(due) == second:
        due += 0.01
        time.sleep(max(0.0, due - time.monotonic()))
        late = time.monotonic() - due
        ticks, worst = ticks + 1, max(worst, late)
        due += late if late > 1 else 0  # what was missed is not made up for
    with open(NOTES + "/.new", "w") as file:
        json.dump([ticks, worst], file)
    os.rename(NOTES + "/.new", "%s/%d" % (NOTES, second))
    for name in os.listdir(NOTES):
        if name.isdigit() and int(name) < second - 60:
            os.unlink(NOTES + "/" + name)
