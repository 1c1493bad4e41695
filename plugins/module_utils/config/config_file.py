# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A domain's config file: find, read, write and remove it, and check its text with xl.

A config is replaced as a whole or not at all: the new one is written to another file and renamed.
"""

from __future__ import annotations

import errno
import os
import stat
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import List, Optional, Set

from ansible_collections.xen.blockdev.plugins.module_utils.config import syntax as config_syntax
from ansible_collections.xen.blockdev.plugins.module_utils.config import text as config_text
from ansible_collections.xen.blockdev.plugins.module_utils.config.text import CONFIG_DIR, MAX_SIZE
from ansible_collections.xen.blockdev.plugins.module_utils.disk.listed import (
    ListedDisk,
    targets_of,
)
from ansible_collections.xen.blockdev.plugins.module_utils.errors import BlockdevError
from ansible_collections.xen.blockdev.plugins.module_utils.host import dom0, programs
from ansible_collections.xen.blockdev.plugins.module_utils.host.files import (
    is_file_path,
    opened,
    opened_real,
    replace_file,
    resolved,
)
from ansible_collections.xen.blockdev.plugins.module_utils.xen import xl


class ConfigError(BlockdevError):
    """A config cannot be as wanted."""


@dataclass(frozen=True)
class Config:
    """The path of a config, which may not exist yet."""

    path: str
    """As it was given."""
    file: str
    """The same without symbolic links."""
    text: Optional[str]
    """The content of the file, decoded as ``config/syntax`` needs it; None if it does not exist."""

    @property
    def directory(self) -> str:
        """The directory of the file."""
        return os.path.dirname(self.file)

    @property
    def rendered(self) -> bool:
        """Whether this collection wrote the config."""
        return self.text is not None and config_text.is_rendered(self.text)

    @cached_property
    def specs(self) -> List[str]:
        """Its disk specifications. Raises DomainConfigError if xl could not read it."""
        return [] if self.text is None else config_text.disk_specs(self.text)

    @cached_property
    def meant(self) -> List[str]:
        """The same, and the disk of a ``disk = 'SPEC'`` as well: see ``config/text.meant``."""
        return [] if self.text is None else config_text.meant(self.text)

    @cached_property
    def disks(self) -> List[ListedDisk]:
        """The disks of ``meant``, read."""
        return [ListedDisk.read(text) for text in self.meant]

    @cached_property
    def targets(self) -> Set[str]:
        """The targets of its disks, as far as they can be read."""
        with suppress(BlockdevError):
            return set(targets_of(self.disks))
        return set()


def config_path(domain: str, path: Optional[str]) -> str:
    """The path of the config of ``domain``: ``path`` if that is given, otherwise the usual one.

    Raises ConfigError if ``domain`` is not a valid name.
    """
    if not domain or domain.isdigit() or "/" in domain:
        raise ConfigError(
            f"domain {domain!r} is not a valid name: it must not be empty, contain a slash or be a "
            "number, which xl would take for a domain ID"
        )
    return f"{CONFIG_DIR}/{domain}.cfg" if path is None else str(path)


def refuse_other_domain(domain: str, text: str) -> None:
    """Raise ConfigError if the config ``text`` is not that of ``domain``."""
    name = config_text.name(text)
    if name is None:
        raise ConfigError(
            f"it does not set a name; add name = {config_syntax.quote(domain)} if it is "
            f"the config of {domain}"
        )
    if name != domain:
        raise ConfigError(
            f"it is the config of domain {name}, not of {domain}; give the right path"
        )


def find(path: str) -> Config:
    """Read the config at ``path``, if it exists. Raises ConfigError if no config can be there."""
    if not is_file_path(path):
        raise ConfigError(
            f"path {path!r} is not the absolute path of a file such as {CONFIG_DIR}/web.cfg"
        )
    file = os.path.realpath(path)
    try:
        status = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        if os.path.islink(path):
            raise ConfigError(
                f"{path} is a symbolic link to {file}, which does not exist; remove the link, or "
                "use the path of the config itself"
            ) from None
        return Config(path, resolved(path), None)
    except OSError as error:
        raise ConfigError(f"cannot access {path}: {error.strerror}") from None
    if not stat.S_ISREG(status.st_mode):
        raise ConfigError(f"{path} is not a regular file, so it is not a config; use another path")
    if status.st_size > MAX_SIZE:
        raise ConfigError(
            f"{path} is too large for a config ({status.st_size} bytes); use another path"
        )
    file = resolved(path)
    return Config(path, file, _read(file))


def _read(file: str) -> Optional[str]:
    """The content of the file, a path as ``files.resolved`` gives it; None if it does not exist."""
    try:
        with opened_real(os.path.dirname(file)) as directory, opened(
            os.path.basename(file), os.O_RDONLY | os.O_NOFOLLOW, directory=directory
        ) as descriptor, open(descriptor, "rb", closefd=False) as config:
            return config.read().decode("utf-8", "surrogateescape")
    except FileNotFoundError:
        return None
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
        raise ConfigError(f"{file} was replaced by a link; run again") from None


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def refuse_changed_config(config: Config, text: Optional[str]) -> None:
    """Raise ConfigError unless the content of the file is ``text``."""
    if _read(config.file) != text:
        raise ConfigError(f"{config.path} was changed by another program; run again")


def validate(text: str) -> None:
    """Check the text of a config with xl, if this is a Xen host. Raises ConfigError if xl rejects
    it, and XenError if xl cannot be run."""
    if not dom0.is_dom0():
        return
    with tempfile.NamedTemporaryFile(prefix="xen_domain_config.") as trial:
        trial.write(_encoded(text))
        trial.flush()
        ended = dom0.run(["xl", "-N", "create", trial.name], xl.XL_SECONDS)
    if ended.code != 0:
        words = programs.in_one_line(ended.stderr.replace(trial.name, "the config"))
        raise ConfigError(f"xl rejects the new config: {words or f'exit status {ended.code}'}")


def write(config: Config, text: str) -> None:
    """Write the config, with the owner, mode and SELinux context of the old one.

    Raises ConfigError if the old one has changed, and what ``files.replace_file`` raises.
    """
    refuse_changed_config(config, config.text)
    # Only root may read a new one: it may contain the password of a console.
    replace_file(config.file, _encoded(text), mode=0o600, keep=config.text is not None)


def remove(config: Config) -> None:
    """Remove the config.

    Raises ConfigError if it has changed, and what ``files.opened_real`` raises.
    """
    refuse_changed_config(config, config.text)
    with opened_real(config.directory) as directory:
        os.unlink(os.path.basename(config.file), dir_fd=directory)


def keep_copy(config: Config, hidden: bool) -> str:
    """Keep the old config under a second name, and return its path.

    The name is like those of Ansible's own modules. If it is ``hidden``, it begins with a dot, so
    that xendomains does not start the copy if it is in its directory. A hard link keeps all
    attributes and is never incomplete; the config itself is replaced later, not written.
    Raises ConfigError if it has changed, and what ``files.opened_real`` raises.
    """
    refuse_changed_config(config, config.text)
    name = os.path.basename(config.file)
    copy = f"{'.' * hidden}{name}.{os.getpid()}.{time.strftime('%Y-%m-%d@%H:%M:%S~')}"
    with opened_real(config.directory) as directory:
        os.link(name, copy, src_dir_fd=directory, dst_dir_fd=directory, follow_symlinks=False)
    return os.path.join(config.directory, copy)


def printable(text: str) -> str:
    """The text with a replacement character for each byte that is not UTF-8: results of modules
    cannot contain these."""
    return _encoded(text).decode("utf-8", "replace")
