# SPDX-FileCopyrightText: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Virtual machines with a kernel that has everything this collection manages. Nothing but the standard library and QEMU."""
