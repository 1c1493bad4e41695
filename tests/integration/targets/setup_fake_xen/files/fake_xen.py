# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Stands in for xl and xenstore-ls (it is what it is called as), for the errors that the real ones
do not give on demand.

The directory $FAKE_XEN holds ``store.json``, xenstore as path to value; ``behaviour.json``, what is
to go wrong; and ``log``, the commands that were run. Messages and states are those of Xen 4.17.
"""

import json
import os
import re
import stat
import sys
from pathlib import Path

HOME = Path(os.environ["FAKE_XEN"])
STORE = HOME / "store.json"


def main():
    name, arguments = Path(sys.argv[0]).name, sys.argv[1:]
    with (HOME / "log").open("a") as log:
        log.write(" ".join([name, *arguments]) + "\n")
    store = json.loads(STORE.read_text())
    behaviour = json.loads((HOME / "behaviour.json").read_text())
    if name == "xenstore-ls":
        return ls(store, behaviour, arguments[-1])
    if arguments[:2] == ["-N", "create"]:
        return read_config(behaviour, arguments[2])
    command = {"block-attach": attach, "block-detach": detach}[arguments[0]]
    code = command(store, behaviour, arguments[1:])
    STORE.write_text(json.dumps(store))
    return code


def ls(store, behaviour, path):
    if behaviour.get("xenstored_down"):
        return fail("xenstore-ls: xs_open: No such file or directory")
    below = path.rstrip("/") + "/"
    if not any(node.startswith(below) or node == path for node in store):
        return fail(f"xenstore-ls: xs_directory ({path}): No such file or directory")
    for node in sorted(with_directories(store)):
        if node.startswith(below):
            print(f'{node} = "{escaped(store.get(node, ""))}"')
    return 0


def with_directories(store):
    parts = (node.split("/") for node in store)
    return {"/".join(names[:end]) for names in parts for end in range(2, len(names) + 1)}


def escaped(value):
    known = {"\t": "\\t", "\n": "\\n", "\r": "\\r", "\\": "\\\\"}
    return "".join(
        known.get(char, char if " " <= char <= "~" else f"\\x{ord(char):02x}") for char in value
    )


def read_config(behaviour, path):
    refused = behaviour.get("refused_config")
    if not refused or refused not in Path(path).read_text():
        return 0
    return fail(
        f"{path}:3: config parsing error near `{refused}': syntax error\n"
        "Failed to parse config: Invalid argument"
    )


def attach(store, behaviour, arguments):
    domid, spec = arguments
    words, _key, target = spec.partition("target=")
    flags = words.rstrip(", ").split(", ")
    disk = dict(word.split("=", 1) for word in flags if "=" in word)
    key = key_of(disk["vdev"])
    entry, backend, frontend = nodes_of(domid, key)
    if any(node.startswith(entry + "/") for node in store):
        return fail(
            f"libxl: error: libxl_disk.c:343:device_disk_add: Domain {domid}:device already "
            "exists in xenstore"
        )
    if behaviour.get("does_nothing"):
        return 0
    script_words = behaviour.get("script_words", {}).get(target)
    disk_nodes = {
        "params": target,
        "script": "/etc/xen/scripts/block",
        "online": "1",
        "dev": disk["vdev"],
        "type": "phy",
        "mode": "r" if disk.get("access") == "ro" else "w",
        "device-type": "disk",
        "discard-enable": "0" if "no-discard" in flags else "1",
        "direct-io-safe": "1" if "direct-io-safe" in flags else "0",
    }
    served = {"state": "2", "hotplug-status": "busy", "hotplug-error": script_words}
    if not script_words:
        state = "2" if behaviour.get("never_connects") else "4"
        served = {"state": state, "hotplug-status": "connected"}
        served.update({"physical-device": device_of(behaviour, target), "sectors": "32768"})
        served["sector-size"] = "512"
    put(store, entry, {**disk_nodes, "state": "1", "backend": backend})
    put(store, backend, {**disk_nodes, **served})
    put(store, frontend, {"state": "4" if served["state"] == "4" else "1"})
    if not script_words:
        return 0
    return fail(
        "libxl: error: libxl_exec.c:117:libxl_report_child_exitstatus: /etc/xen/scripts/block add "
        "[2267] exited with error status 1\n"
        f"libxl: error: libxl_device.c:1337:device_hotplug_child_death_cb: script: {script_words}\n"
        f"libxl: error: libxl_device.c:1481:device_addrm_aocomplete: Domain {domid}:Unable to add "
        f"vbd with id {key}\nlibxl_device_disk_add failed."
    )


def detach(store, behaviour, arguments):
    force = arguments[0] == "--force"
    domid, key = arguments[-2:]
    entry, backend, frontend = nodes_of(domid, key)
    if f"{entry}/backend" not in store:
        return fail(f"Error: Device {key} not connected.")
    if behaviour.get("force_fails" if force else "stuck"):
        put(store, backend, {"online": "0", "state": "5"})
        return fail(
            "libxl: error: libxl_device.c:1181:device_backend_callback: Domain "
            f"{domid}:unable to remove device with path {backend}\n"
            "libxl_device_disk_safe_remove failed."
        )
    for node in list(store):
        if node.startswith((entry + "/", backend + "/", frontend + "/")):
            del store[node]
    return 1 if force and behaviour.get("force_exits_1") else 0


def nodes_of(domid, key):
    return (
        f"/libxl/{domid}/device/vbd/{key}",
        f"/local/domain/0/backend/vbd/{domid}/{key}",
        f"/local/domain/{domid}/device/vbd/{key}",
    )


def put(store, directory, nodes):
    store.update({f"{directory}/{name}": value for name, value in nodes.items()})


def key_of(vdev):
    letter = re.fullmatch(r"xvd([a-p])", vdev)
    return str(51712 + 16 * (ord(letter[1]) - ord("a"))) if letter else vdev


def device_of(behaviour, target):
    """A device's own number; for a file that of a loop device such as the script would make."""
    if target in behaviour.get("devices", {}):
        return behaviour["devices"][target]
    status = os.stat(target)
    if stat.S_ISBLK(status.st_mode):
        return f"{os.major(status.st_rdev):x}:{os.minor(status.st_rdev):x}"
    return f"7:{0x80000 + status.st_ino % 0x10000:x}"


def fail(message):
    print(message, file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
