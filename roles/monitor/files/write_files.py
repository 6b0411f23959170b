# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""``FOLDER write|check``: write the files that come as JSON, from names to contents, each as a whole."""

from __future__ import annotations

import json
import os
import sys

folder, mode = sys.argv[1:]
for name, text in json.load(sys.stdin).items():
    path = os.path.join(folder, name)
    sys.stdout.write(f"{path}\n")
    if mode == "write":
        with open(f"{path}.new", "w", encoding="utf-8", newline="") as file:
            file.write(text)
            os.fchmod(file.fileno(), 0o644)
        os.replace(f"{path}.new", path)
