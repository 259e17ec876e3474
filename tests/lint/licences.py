# SPDX-FileCopyrightText: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Every file says under which licence it is, where its format has comments."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

WITHOUT_COMMENTS = {".json", ".license", ".md", ".png"}
EXEMPT = {"LICENSE", "changelogs/changelog.yaml"}
HEADER = "SPDX-" + "License-Identifier: "


def main() -> str | None:
    listed = subprocess.run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], check=True, capture_output=True, text=True)
    names = [name for name in listed.stdout.split("\0") if name and name not in EXEMPT and Path(name).suffix not in WITHOUT_COMMENTS]
    bare = [name for name in names if not any(HEADER in line for line in Path(name).read_text(encoding="utf-8").splitlines()[:10])]
    print("%d files say their licence, %d do not" % (len(names) - len(bare), len(bare)))
    return "\n".join(bare) or None


if __name__ == "__main__":
    sys.exit(main())
