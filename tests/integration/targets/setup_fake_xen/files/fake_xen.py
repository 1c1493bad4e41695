# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A fake xl, for errors that the real one does not produce on demand.

The directory $FAKE_XEN has ``store.json``, the values of xenstore by path; ``domains.json``, by
domain id the state of domains that are not simply running; ``drives.json``, the CDs that QEMU has
in its drives, see fake_qemu.py; ``behaviour.json``, the errors to produce; and ``log``, the
commands that were run. Messages and states are those of Xen 4.17.
"""

import fcntl
import json
import os
import re
import stat
import subprocess
import sys
import time
from pathlib import Path

HOME = Path(os.environ["FAKE_XEN"])
STORE = HOME / "store.json"
DOMAINS = HOME / "domains.json"
DRIVES = HOME / "drives.json"
BLOCKED = "-b----"
DEAF_SECONDS = 60


def main():
    arguments = sys.argv[1:]
    if arguments[0] == "console":
        return console(arguments[1])
    with (HOME / "log").open("a") as log:
        log.write(" ".join(["xl", *arguments]) + "\n")
        fcntl.flock(log, fcntl.LOCK_EX)
        code, seconds = run(arguments, json.loads((HOME / "behaviour.json").read_text()))
    time.sleep(seconds)
    if seconds:
        return fail(
            "libxl: error: libxl_domain.c:742:pvcontrol_cb: guest didn't acknowledge control "
            "request: -9\nshutdown failed (rc=-9)"
        )
    return code


def run(arguments, behaviour):
    """The exit status, and how many seconds the command hangs before it fails."""
    store, domains = read(STORE), read(DOMAINS)
    pass_time(store, domains, behaviour)
    if arguments[:2] == ["-N", "create"]:
        code = read_config(behaviour, arguments[2])
    elif arguments[0] in BLOCK_COMMANDS:
        code = BLOCK_COMMANDS[arguments[0]](store, behaviour, arguments[1:])
    elif arguments[0] in CD_COMMANDS:
        code = change_cd(store, behaviour, *arguments[1:])
    else:
        code = DOMAIN_COMMANDS[arguments[0]](store, domains, behaviour, arguments[1:])
    write(STORE, store)
    write(DOMAINS, domains)
    is_deaf = arguments[0] == "shutdown" and behaviour.get("deaf") and not code
    return code, DEAF_SECONDS if is_deaf else 0


def read(path):
    return json.loads(path.read_text()) if path.exists() else {}


def write(path, content):
    """Write a file only if its content changes, so that a test sees whether anything was touched,
    and atomically, as the fake xenstored may read it at any time."""
    if content != read(path):
        new = path.with_suffix(".new")
        new.write_text(json.dumps(content))
        new.replace(path)


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
    killed = is_script_killed(behaviour)
    is_raw = disk.get("format", "raw") == "raw"
    disk_nodes = {
        "params": target if is_raw else f"{disk['format']}:{target}",
        "script": f"/etc/xen/scripts/{disk.get('script', 'block')}",
        "online": "1",
        "dev": disk["vdev"],
        "type": "phy" if is_raw else "qdisk",
        "mode": "r" if disk.get("access") == "ro" else "w",
        "device-type": "disk",
        "discard-enable": "0" if "no-discard" in flags else "1",
        "direct-io-safe": "1" if "direct-io-safe" in flags else "0",
    }
    served = {"state": "2", "hotplug-status": "busy", "hotplug-error": script_words}
    if killed:
        served = {"state": "2"}
        if behaviour.get("script_binds") and Path(target).is_file():
            subprocess.run(["losetup", "--find", target], check=True)
    elif not script_words:
        state = "2" if behaviour.get("never_connects") else "4"
        served = {"state": state, "hotplug-status": "connected"}
        served.update({"sectors": "32768", "sector-size": "512"})
        if is_raw:
            served["physical-device"] = device_of(behaviour, target)
    put(store, entry, {**disk_nodes, "state": "1", "backend": backend})
    put(store, backend, {**disk_nodes, **served})
    put(store, frontend, {"state": "4" if served["state"] == "4" else "1"})
    if killed:
        return fail(
            "libxl: error: libxl_aoutils.c:539:async_exec_timeout: killing execution of "
            "/etc/xen/scripts/block add because of timeout\n"
            f"libxl: error: libxl_device.c:1481:device_addrm_aocomplete: Domain {domid}:Unable to "
            f"add vbd with id {key}\nlibxl_device_disk_add failed."
        )
    if not script_words:
        return 0
    return fail(
        "libxl: error: libxl_exec.c:117:libxl_report_child_exitstatus: /etc/xen/scripts/block add "
        "[2267] exited with error status 1\n"
        f"libxl: error: libxl_device.c:1337:device_hotplug_child_death_cb: script: {script_words}\n"
        f"libxl: error: libxl_device.c:1481:device_addrm_aocomplete: Domain {domid}:Unable to add "
        f"vbd with id {key}\nlibxl_device_disk_add failed."
    )


def is_script_killed(behaviour):
    """Whether libxl kills the script: ``kills_script`` times since that was set."""
    said, log = (HOME / "behaviour.json").stat().st_mtime_ns, HOME / "killed"
    killed = json.loads(log.read_text()) if log.exists() else {}
    times = killed.get(str(said), 0)
    if times >= behaviour.get("kills_script", 0):
        return False
    log.write_text(json.dumps({said: times + 1}))
    return True


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


# ---- CDs ----


def change_cd(store, behaviour, domid, vdev, target=""):
    """As libxl_cdrom_insert: the old CD is ejected first. ``target``: empty to eject only."""
    target = target[:-1] if target.endswith(",") else target
    if target and not Path(target).exists() and target not in behaviour.get("devices", {}):
        return fail(f"Cannot stat file: {target}")
    backends = [node[: -len("/dev")] for node in store if is_slot_of(store, node, domid, vdev)]
    why = None
    if store.get(f"/libxl/{domid}/type") != "hvm":
        why = "cdrom-insert requires an HVM domain"
    elif not backends:
        why = "Virtual device not found"
    elif not behaviour.get("does_nothing"):
        why = change_medium(store, behaviour, domid, backends[0], target)
    if why is None:
        return 0
    return fail(f"libxl: error: libxl_disk.c:832:libxl_cdrom_insert: Domain {domid}:{why}")


def change_medium(store, behaviour, domid, backend, target):
    """The error, None without one."""
    drives, key = read(DRIVES), backend.rpartition("/")[2]
    drive = drives[domid][f"ide-{key}"]
    if drive.get("locked"):
        drive["locked"] = not behaviour.get("releases")
        write(DRIVES, drives)
        return (
            f"Device 'ide-{key}' is locked and force was not specified, wait for tray to open and "
            "try again"
        )
    is_refused = target and behaviour.get("insert_fails")
    medium = None if is_refused else target or None
    if not behaviour.get("qemu_ignores"):
        drive.update(medium=medium, is_passed=medium is not None)
    if behaviour.get("qemu_crashes"):
        del drives[domid]
    write(DRIVES, drives)
    if not behaviour.get("xenstore_stays"):
        for place in (backend, f"/libxl/{domid}/device/vbd/{key}"):
            put(store, place, {"params": f"aio:{medium}" if medium else ""})
    return f"Failed to open cdrom file {target}: Permission denied" if is_refused else None


def is_slot_of(store, node, domid, vdev):
    """Whether a node is that of the vdev of a CD drive, as it was written when the guest began."""
    backend, name = node.rpartition("/")[::2]
    return (
        re.match(rf"/local/domain/0/backend/[a-z]+/{domid}/", node) is not None
        and (name, store[node]) == ("dev", vdev)
        and store.get(f"{backend}/device-type") == "cdrom"
    )


# ---- domains ----


def pass_time(store, domains, behaviour):
    """End the guests whose time is over, and destroy, keep or restart their domains."""
    for domid, domain in list(domains.items()):
        if time.time() < domain.get("ends", float("inf")):
            continue
        del domain["ends"]
        action = domain.get("on_poweroff", "destroy")
        if action == "preserve":
            domain["flags"] = "---s--"
            continue
        name = store[f"/local/domain/{domid}/name"]
        remove(store, domains, domid)
        if action == "restart":
            begin(store, domains, name)


def ids_in(store, domains):
    nodes = (re.match("/local/domain/([0-9]+)/name", path) for path in store)
    return sorted({int(node[1]) for node in nodes if node} | {int(domid) for domid in domains})


def begin(store, domains, name, flags=BLOCKED):
    """Create a domain with an id that was not used before."""
    used = (HOME / "last_id").read_text() if (HOME / "last_id").exists() else "0"
    domid = str(max([int(used), *ids_in(store, domains)]) + 1)
    (HOME / "last_id").write_text(domid)
    store[f"/local/domain/{domid}/name"] = name
    store[f"/local/domain/{domid}/vm"] = f"/vm/0b1c2d3e-0000-4000-8000-{int(domid):012d}"
    domains[domid] = {"flags": flags}
    return domid


def remove(store, domains, domid):
    for node in list(store):
        if re.match(rf"/(?:libxl|local/domain|local/domain/0/backend/[a-z]+)/{domid}/", node):
            del store[node]
    domains.pop(domid, None)


def list_domains(store, domains, behaviour, arguments):
    if arguments == ["-l"]:
        entries = [
            {"domid": domid, "config": config_of(domains.get(str(domid), {}))}
            for domid in ids_in(store, domains)
        ]
        print(json.dumps(entries, indent=4))
        return 0
    if behaviour.get("lists_nothing"):
        return fail("libxl_list_domain failed.")
    print("Name                                        ID   Mem VCPUs\tState\tTime(s)")
    for domid in ids_in(store, domains):
        name = store.get(f"/local/domain/{domid}/name", "(null)")
        flags = domains.get(str(domid), {}).get("flags", BLOCKED if domid else "r-----")
        print(f"{name:<40} {domid:5} {128:5} {1:5}     {flags}  {8.0:8.1f}")
    return 0


def config_of(domain):
    """xl omits defaults."""
    action = domain.get("on_poweroff", "destroy")
    config = {"c_info": {"type": "pvh"}, "on_reboot": "restart"}
    return config if action == "destroy" else {**config, "on_poweroff": action}


def create(store, domains, behaviour, arguments):
    text = Path(arguments[-1]).read_text()
    name = re.search(r"""^name *= *['"](.*)['"]""", text, re.MULTILINE)[1]
    listed = re.search(r"^disk *= *\[(.*?)\n?\]", text, re.MULTILINE | re.DOTALL)
    if "-q" not in arguments:
        print(f"Parsing config from {arguments[-1]}", file=sys.stderr)
    taken = [node for node in store if node.endswith("/name") and store[node] == name]
    domid = begin(store, domains, name, "--p---")
    if taken:
        remove(store, domains, domid)
        return fail(
            f"libxl: error: libxl_domain.c:90:libxl__domain_rename: Domain {domid}:Domain with "
            f'name "{name}" already exists.\n'
            f"libxl: error: libxl_create.c:1257:initiate_domain_create: Domain {domid}:cannot make "
            "domain: -6"
        )
    action = re.search(r"""^on_poweroff *= *['"](.*)['"]""", text, re.MULTILINE)
    domains[domid]["on_poweroff"] = action[1] if action else "destroy"
    for spec in re.findall(r"'([^']*)'", listed[1]) if listed else []:
        if "target=" in spec and attach(store, behaviour, [domid, spec]):
            return fail_to_create(store, domains, behaviour, domid)
    if "-p" not in arguments:
        domains[domid]["flags"] = "---sc-" if behaviour.get("crashes") else BLOCKED
    if behaviour.get("ends_at_once"):
        remove(store, domains, domid)
    return 0


def fail_to_create(store, domains, behaviour, domid):
    if not behaviour.get("leaves_behind"):
        remove(store, domains, domid)
    fail(
        f"libxl: error: libxl_create.c:1921:domcreate_launch_dm: Domain {domid}:unable to add disk "
        "devices\n"
        f"libxl: error: libxl_domain.c:1183:libxl__destroy_domid: Domain {domid}:Non-existant "
        "domain\n"
        f"libxl: error: libxl_domain.c:1137:domain_destroy_callback: Domain {domid}:Unable to "
        "destroy guest\n"
        f"libxl: error: libxl_domain.c:1064:domain_destroy_cb: Domain {domid}:Destruction of "
        "domain failed"
    )
    return 3


def shutdown(store, domains, behaviour, arguments):
    domid = arguments[-1]
    print(f"Shutting down domain {domid}", file=sys.stderr)
    if behaviour.get("no_button"):
        return fail(
            "PV control interface not available: sending ACPI power button event.\n"
            "shutdown failed (rc=-3)"
        )
    name = store[f"/local/domain/{domid}/name"]
    if not (behaviour.get("deaf") or name in behaviour.get("stays", [])):
        domain = domains.setdefault(domid, {"flags": BLOCKED})
        domain["ends"] = time.time() + behaviour.get("seconds_to_end", 0)
    return 0


def unpause(store, domains, behaviour, arguments):
    # xl exits with status 0 in any case.
    if behaviour.get("stays_paused"):
        print(
            f"libxl: error: libxl_domain.c:600:libxl__domain_unpause: Domain {arguments[0]}:"
            "Unpausing domain: Invalid argument",
            file=sys.stderr,
        )
    else:
        domains[arguments[0]]["flags"] = BLOCKED
    return 0


def pause(store, domains, behaviour, arguments):
    domains.setdefault(arguments[0], {})["flags"] = "--p---"
    return 0


def destroy(store, domains, behaviour, arguments):
    (domid,) = arguments
    if behaviour.get("destroy_fails"):
        return fail(
            f"libxl: error: libxl_domain.c:1064:domain_destroy_cb: Domain {domid}:Destruction of "
            "domain failed\ndestroy failed (rc=-3)"
        )
    remove(store, domains, domid)
    if behaviour.get("zombies"):
        domains[domid] = {"flags": "--ps-d"}
    return 0


def console(domid):
    """Print the guest's output once it is unpaused; then wait until stdin is closed."""
    while True:
        with (HOME / "log").open("a") as log:
            fcntl.flock(log, fcntl.LOCK_EX)
            domains, store = read(DOMAINS), read(STORE)
            name = store[f"/local/domain/{domid}/name"]
            behaviour = read(HOME / "behaviour.json")
            guests = behaviour["consoles"]
            guest = guests.get(name) or guests[name.rpartition("-")[0]]
            if domains[domid]["flags"] != "--p---":
                if "tries" in guest:  # one after the other
                    guest = guest["tries"].pop(0)
                    write(HOME / "behaviour.json", behaviour)
                sys.stdout.write(guest["prints"])
                sys.stdout.flush()
                if "becomes" in guest:
                    domains[domid]["flags"] = guest["becomes"]
                    write(DOMAINS, domains)
                break
        time.sleep(0.05)
    return 1 if sys.stdin.read() else 0


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
    """The number of a device; for a file that of a loop device, as the script would make."""
    if target in behaviour.get("devices", {}):
        return behaviour["devices"][target]
    status = os.stat(target)
    if stat.S_ISBLK(status.st_mode):
        return f"{os.major(status.st_rdev):x}:{os.minor(status.st_rdev):x}"
    return f"7:{0x80000 + status.st_ino % 0x10000:x}"


def fail(message):
    print(message, file=sys.stderr)
    return 1


BLOCK_COMMANDS = {"block-attach": attach, "block-detach": detach}
CD_COMMANDS = ("cd-eject", "cd-insert")
DOMAIN_COMMANDS = {
    "create": create,
    "destroy": destroy,
    "list": list_domains,
    "pause": pause,
    "shutdown": shutdown,
    "unpause": unpause,
}

if __name__ == "__main__":
    sys.exit(main())
