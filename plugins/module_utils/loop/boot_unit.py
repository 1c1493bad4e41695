# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The systemd units that bind images to loop devices when the host boots.

A binding does not survive a reboot. One unit for each image binds it again, after its file system
is mounted and before xendomains starts guests. If one unit fails, the others still run.
"""

from __future__ import annotations

import hashlib
import os
import re
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import List, NamedTuple, Optional

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
"""Exists if systemd is the init system (sd_booted(3))."""

SYSTEMCTL_SECONDS = 120

_NAME = re.compile(r"xen-loopdev-[A-Za-z0-9._-]*[0-9a-f]{12}\.service")
_IMAGE = re.compile(r'^RequiresMountsFor="((?:[^"\\\n]|\\.)*)"$', re.MULTILINE)

SHOWN_LENGTH = 100
"""How many characters of a path the name of its unit shows. systemd allows 255 bytes in a name, and
a path may have 4095."""

NO_SYSTEMD = (
    "systemd does not run on this host, so nothing binds its loop devices at boot; bind them "
    "before guests are started, or set loop: false to have Xen's own script bind them"
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
"""Binds the image $1 with sectors of $2 bytes and direct I/O $3, unless it is already bound. Then
the link to which domain configs refer leads to its device or does not exist: without it a guest
does not start, but with a wrong one it would start with the disk of another guest."""


class BootUnitError(BlockdevError):
    """A unit cannot be written, removed or made known to systemd."""


def name_of(path: str) -> str:
    """The name of the unit for the image at the absolute ``path``: the end of the path, and a hash
    that no other path has."""
    shown = re.sub(r"[^A-Za-z0-9._]+", "-", path).strip("-")[-SHOWN_LENGTH:]
    return f"xen-loopdev-{shown}-{hashlib.sha256(os.fsencode(path)).hexdigest()[:12]}.service"


def content(path: str, sector_size: int, direct_io: bool) -> str:
    """The unit that binds the image at ``path``, which is absolute and without symbolic links.

    ``sector_size``: in bytes. Raises BootUnitError if systemd could not read the path.
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
            f"path {path!r} contains characters that a systemd unit cannot contain; rename the "
            "image, or omit persistent: true"
        )
    return path


def _quoted(word: str) -> str:
    """A word in systemd's syntax (systemd.syntax(7), systemd.unit(5))."""
    escaped = word.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{_specifiers(escaped)}"'


def _specifiers(text: str) -> str:
    return text.replace("%", "%%")


def image_in(text: str) -> Optional[str]:
    """The path of the image that a unit with this text binds; None if it has none."""
    match = _IMAGE.search(text)
    if match is None:
        return None
    return re.sub(r"\\(.)|%%", lambda one: one[1] or "%", match[1])


class BootUnit(NamedTuple):
    """A unit that was found."""

    name: str
    enabled: bool
    """Whether systemd starts it at boot."""
    image: Optional[str]
    """See image_in."""


class BootUnits:
    """The units of this host, as one module call changes them."""

    def __init__(self, directory: str = UNIT_DIR) -> None:
        """``directory``: where systemd looks for the units of the administrator."""
        self._directory = directory
        self._wants = os.path.join(directory, f"{WANTED_BY}.wants")
        self._written = False
        self._removed: List[str] = []

    def has(self, path: str) -> bool:
        """Whether systemd is to bind the image at ``path``."""
        return self._has(name_of(os.path.realpath(path)))

    def found(self) -> List[BootUnit]:
        """All units of this collection, by name. Raises OSError."""
        with suppress(FileNotFoundError):
            names = sorted(filter(_NAME.fullmatch, os.listdir(self._directory)))
            return [
                BootUnit(name, self._has(name), image_in(self._read(name) or "")) for name in names
            ]
        return []

    def plan_written(self, path: str, sector_size: int, direct_io: bool) -> Plan:
        """What makes systemd bind the image at ``path`` at boot; to be added after its binding.

        ``sector_size``, ``direct_io``: see content. Raises BlockdevError if there cannot be such a
        unit, or it cannot be written.
        """
        if not os.path.isdir(SYSTEMD_RUNS):
            return replace(self.plan_kept(path), warnings=[NO_SYSTEMD])
        path = os.path.realpath(path)
        name, text = name_of(path), content(path, sector_size, direct_io)
        if self._has(name) and self._read(name) == text:
            return self.plan_kept(path)
        sentence = f"have systemd bind {path} at boot ({name})"
        check_writable(nearest(self._wants), sentence)
        return self._plan(name, True, Action(sentence, partial(self._write, name, text)))

    def plan_removed(self, path: str) -> Plan:
        """What keeps systemd from binding the image at ``path`` at boot; to be added before its
        unbinding. Raises BlockdevError if the unit cannot be removed."""
        path = os.path.realpath(path)
        name = name_of(path)
        if not self._has(name) and self._read(name) is None:
            return self.plan_kept(path)
        sentence = f"stop systemd from binding {path} at boot ({name})"
        check_writable(self._directory, sentence)
        return self._plan(name, False, Action(sentence, partial(self._remove, name)))

    def plan_kept(self, path: str) -> Plan:
        """Whether systemd binds the image at ``path`` at boot, without a change."""
        name = name_of(os.path.realpath(path))
        return self._plan(name, self._has(name))

    def _plan(self, name: str, after: bool, *actions: Action) -> Plan:
        return Plan(
            before={"persistent": self._has(name)},
            after={"persistent": after},
            read_back=lambda: {"persistent": self._has(name)},
            actions=list(actions),
        )

    def settle(self) -> None:
        """Sync all changes to disk, and have systemd reload its units once for all of them."""
        if not self._written and not self._removed:
            return
        sync_directories(one for one in (self._directory, self._wants) if os.path.isdir(one))
        if not os.path.isdir(SYSTEMD_RUNS):
            return
        if self._removed:
            # Otherwise systemd keeps a unit that has run or failed. Stopping it does nothing else.
            _systemctl("stop", *self._removed)
        reload = _systemctl("daemon-reload")
        if reload.code != 0:
            words = programs.in_one_line(reload.stderr)
            raise BootUnitError(f"systemd cannot reload its units: {words}")
        if self._removed:
            _systemctl("reset-failed", *self._removed)

    def _path(self, name: str) -> str:
        return os.path.join(self._directory, name)

    def _link(self, name: str) -> str:
        return os.path.join(self._wants, name)

    def _has(self, name: str) -> bool:
        """Whether there is such a unit and it is enabled."""
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
    """Run systemctl. Raises BootUnitError if it cannot be run."""
    with explained(f"cannot run systemctl {verb}"), errors_as(BootUnitError):
        return programs.run(["systemctl", "--no-ask-password", verb, *names], SYSTEMCTL_SECONDS)
