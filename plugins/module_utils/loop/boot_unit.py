# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The systemd units that bind images to loop devices when the host boots.

A binding ends with the kernel that made it, and C(/dev/loop0) is then whatever is bound first. One
unit for each image binds it again, once the file system that holds it is mounted and before
xendomains starts guests. A unit that cannot fails by itself: the others go on.
"""

from __future__ import annotations

import hashlib
import os
import re
from contextlib import suppress
from functools import partial
from typing import List, Optional

from ansible_collections.xen.blockdev.plugins.module_utils.converge.plan import Action, Plan
from ansible_collections.xen.blockdev.plugins.module_utils.errors import BlockdevError, explained
from ansible_collections.xen.blockdev.plugins.module_utils.host import locks, programs
from ansible_collections.xen.blockdev.plugins.module_utils.host.files import (
    check_writable,
    nearest,
    replace_file,
    resolved,
    sync_directories,
)
from ansible_collections.xen.blockdev.plugins.module_utils.host.programs import Completed, errors_as
from ansible_collections.xen.blockdev.plugins.module_utils.loop import link as loop_link

UNIT_DIR = "/etc/systemd/system"
WANTED_BY = "multi-user.target"
SYSTEMD_RUNS = "/run/systemd/system"
"""Exists where systemd is the init system (sd_booted(3))."""

SYSTEMCTL_SECONDS = 120

SHOWN_LENGTH = 100
"""How much of a path the name of its unit shows. systemd takes 255 bytes, a path may have 4095."""

NO_SYSTEMD = (
    "systemd does not run on this host, so nothing binds its loop devices again when it boots: "
    "bind them then, before guests are started, or leave that to Xen's own script with loop: false"
)

_LOCK = f"{locks.OWN_DIR}/{locks.LOOP}"
SCRIPT = f"""\
flock {_LOCK} losetup --find --nooverlap --sector-size $2 --direct-io=$3 -- "$1"
link={loop_link.LINK_DIR}$1
udevadm settle --timeout=30 --exit-if-exists="$link" || true
[ -L "$link" ] || exit 0
device=$(readlink -f "$link")
losetup --associated "$1" --noheadings --raw --output NAME | grep -qxF "$device" && exit 0
rm -f "$link"
echo "$link led to $device, which is not $1; it was removed, so that no guest starts on that" >&2
exit 1
"""
"""Binds the image $1 with sectors of $2 bytes and direct I/O $3, unless it is bound already. The
link under which domain configs name the device leads to it then, or is not there: a guest does not
start without its disk, but it would on another one's."""


class BootUnitError(BlockdevError):
    """A unit cannot be had as wanted."""


def name_of(path: str) -> str:
    """The name of the unit for the image at the absolute C(path): what can be shown of the path,
    and what tells it from every other path."""
    shown = re.sub(r"[^A-Za-z0-9._]+", "-", path).strip("-")[-SHOWN_LENGTH:]
    return f"xen-loopdev-{shown}-{hashlib.sha256(os.fsencode(path)).hexdigest()[:12]}.service"


def content(path: str, sector_size: int, direct_io: bool) -> str:
    """The unit that binds the image at the absolute C(path), which has no symbolic link on it.

    C(sector_size): in bytes. Raises BootUnitError where systemd could not read the path.
    """
    words = ["/bin/sh", "-euc", SCRIPT, "sh", path, str(sector_size), "on" if direct_io else "off"]
    return f"""\
# Written by the Ansible collection xen.blockdev, which removes it when the image is to be unbound.
[Unit]
Description=Loop device of {_specifiers(_one_line(path))}
RequiresMountsFor={_quoted(path)}
After=systemd-udevd.service
Before=xendomains.service

[Service]
Type=oneshot
RemainAfterExit=yes
TimeoutStartSec=90
RuntimeDirectory={os.path.basename(locks.OWN_DIR)}
RuntimeDirectoryMode=0700
RuntimeDirectoryPreserve=yes
ExecStart={" ".join(_quoted(word).replace("$", "$$") for word in words)}

[Install]
WantedBy={WANTED_BY}
"""


def _one_line(path: str) -> str:
    if not path.isprintable():
        raise BootUnitError(
            f"path {path!r} has characters that no systemd unit can have; rename the image, or "
            "leave out persistent: true"
        )
    return path


def _quoted(word: str) -> str:
    """A word as systemd reads it (systemd.syntax(7), systemd.unit(5))."""
    escaped = word.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{_specifiers(escaped)}"'


def _specifiers(text: str) -> str:
    return text.replace("%", "%%")


class BootUnits:
    """The units of this host, as one module call changes them."""

    def __init__(self, directory: str = UNIT_DIR) -> None:
        """C(directory): where systemd looks for units that an administrator made."""
        self._directory = directory
        self._wants = os.path.join(directory, f"{WANTED_BY}.wants")
        self._written = False
        self._removed: List[str] = []
        self._warned = False

    def has(self, path: str) -> bool:
        """Whether systemd is to bind the image at C(path)."""
        return self._has(name_of(os.path.realpath(path)))

    def extend_plan(
        self,
        plan: Plan,
        path: str,
        wanted: Optional[bool],
        sector_size: int,
        direct_io: bool,
    ) -> None:
        """Add to C(plan) what makes the binding of the image at C(path) outlive a boot, or not.

        C(wanted): None leaves the unit alone. C(sector_size), C(direct_io): see content.
        Raises BootUnitError where that cannot be had, BlockdevError where nothing can be written.
        """
        path = os.path.realpath(path)
        name = name_of(path)
        before = after = self._has(name)
        if wanted and not os.path.isdir(SYSTEMD_RUNS):
            plan.warnings += [] if self._warned else [NO_SYSTEMD]
            self._warned = True
        elif wanted:
            after = True
            text = content(path, sector_size, direct_io)
            if not before or self._read(name) != text:
                sentence = f"have systemd bind {path} when this host boots ({name})"
                check_writable(nearest(self._wants), sentence)
                plan.actions.append(Action(sentence, partial(self._write, name, text)))
        elif wanted is False and (before or self._read(name) is not None):
            after = False
            sentence = f"no longer have systemd bind {path} when this host boots ({name})"
            check_writable(self._directory, sentence)
            plan.actions.insert(0, Action(sentence, partial(self._remove, name)))
        plan.before["persistent"] = before
        plan.after["persistent"] = after
        read_binding = plan.read_back
        plan.read_back = lambda: {**read_binding(), "persistent": self._has(name)}

    def settle(self) -> None:
        """Make what was changed survive a power cut, and known to systemd, all at once."""
        if not self._written and not self._removed:
            return
        sync_directories(one for one in (self._directory, self._wants) if os.path.isdir(one))
        if not os.path.isdir(SYSTEMD_RUNS):
            return
        if self._removed:
            # A unit that has run or failed stays known otherwise. It has nothing to undo.
            _systemctl("stop", *self._removed)
        reload = _systemctl("daemon-reload")
        if reload.code != 0:
            words = programs.in_one_line(reload.stderr)
            raise BootUnitError(f"systemd does not read its units again: {words}")
        if self._removed:
            _systemctl("reset-failed", *self._removed)

    def _path(self, name: str) -> str:
        return os.path.join(self._directory, name)

    def _link(self, name: str) -> str:
        return os.path.join(self._wants, name)

    def _has(self, name: str) -> bool:
        """Whether there is such a unit, and systemd is to start it."""
        return os.path.isfile(self._path(name)) and os.path.lexists(self._link(name))

    def _read(self, name: str) -> Optional[str]:
        with suppress(FileNotFoundError), open(
            self._path(name), encoding="utf-8", errors="surrogateescape"
        ) as unit:
            return unit.read()
        return None

    def _write(self, name: str, text: str) -> None:
        self._written = True
        replace_file(resolved(self._path(name)), text.encode(), mode=0o644)
        os.makedirs(self._wants, mode=0o755, exist_ok=True)
        with suppress(FileExistsError):
            os.symlink(self._path(name), self._link(name))

    def _remove(self, name: str) -> None:
        self._removed.append(name)
        for path in (self._link(name), self._path(name)):
            with suppress(FileNotFoundError):
                os.unlink(path)


def _systemctl(verb: str, *names: str) -> Completed:
    """Have systemd do something. Raises BootUnitError if it cannot be asked."""
    with explained(f"cannot ask systemd for `{verb}`"), errors_as(BootUnitError):
        return programs.run(["systemctl", "--no-ask-password", verb, *names], SYSTEMCTL_SECONDS)
