# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A domain's config file: found, read, written, removed and tried with xl.

A config is replaced as a whole or not at all: the new one is written beside it and renamed.
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
from ansible_collections.xen.blockdev.plugins.module_utils.disk import spec as disk_spec
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
    """A config cannot be had as wanted."""


@dataclass(frozen=True)
class Config:
    """A path that is, or is to be, a domain's config."""

    path: str
    """As it was given."""
    file: str
    """The same without symbolic links."""
    text: Optional[str]
    """What is in the file, decoded as config_syntax wants it; None if there is none."""

    @property
    def directory(self) -> str:
        """Where the file is, or is to be."""
        return os.path.dirname(self.file)

    @property
    def rendered(self) -> bool:
        """Whether the config is one that this collection wrote."""
        return self.text is not None and config_text.is_rendered(self.text)

    @cached_property
    def specs(self) -> List[str]:
        """The disks that it has; DomainConfigError where xl could not read it."""
        return [] if self.text is None else config_text.disks(self.text)

    @cached_property
    def meant(self) -> List[str]:
        """The same, and the disk of a ``disk = 'SPEC'`` as well: see domain_config.meant."""
        return [] if self.text is None else config_text.meant(self.text)

    @cached_property
    def targets(self) -> Set[str]:
        """The targets of its disks, as far as they can be read."""
        with suppress(BlockdevError):
            return set(disk_spec.targets_of(self.meant))
        return set()


def path_of(domain: str, path: Optional[str]) -> str:
    """The config of ``domain``: ``path`` where that is given, otherwise the usual one.

    Raises ConfigError if ``domain`` cannot be the name of one.
    """
    if not domain or domain.isdigit() or "/" in domain:
        raise ConfigError(
            f"domain {domain!r} is no name of a domain: that is not empty, has no slash and is "
            "not a number, which xl takes for a domain id"
        )
    return f"{CONFIG_DIR}/{domain}.cfg" if path is None else str(path)


def refuse_other_domain(domain: str, text: str) -> None:
    """Raise ConfigError if the config ``text`` is not that of ``domain``."""
    name = config_text.name(text)
    if name is None:
        raise ConfigError(
            f"it sets no name; add name = {config_syntax.quote(domain)} if it is "
            f"the config of {domain}"
        )
    if name != domain:
        raise ConfigError(
            f"it is the config of domain {name}, not of {domain}; give the right path"
        )


def find(path: str) -> Config:
    """Look at what is at ``path``; ConfigError where no config is nor can be there."""
    if not is_file_path(path):
        raise ConfigError(
            f"path {path!r} is not the absolute path of a file: write it from / on, such as "
            f"{CONFIG_DIR}/web.cfg"
        )
    file = os.path.realpath(path)
    try:
        status = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        if os.path.islink(path):
            raise ConfigError(
                f"{path} is a symbolic link to {file}, which does not exist; remove the link or "
                "name the config itself"
            ) from None
        return Config(path, resolved(path), None)
    except OSError as error:
        raise ConfigError(f"cannot look at {path}: {error.strerror}") from None
    if not stat.S_ISREG(status.st_mode):
        raise ConfigError(f"{path} is not a regular file, which a config is; name another path")
    if status.st_size > MAX_SIZE:
        raise ConfigError(
            f"{path} has {status.st_size} bytes, so many that it is no config; name another path"
        )
    file = resolved(path)
    return Config(path, file, _read(file))


def _read(file: str) -> Optional[str]:
    """What is in the file, see files.resolved; None if there is none."""
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
        raise ConfigError(f"{file} was replaced by a link meanwhile; run again") from None


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def refuse_changed(config: Config, text: Optional[str]) -> None:
    """Raise ConfigError unless the file says ``text``, as this run left or found it."""
    if _read(config.file) != text:
        raise ConfigError(f"{config.path} was changed by another program meanwhile; run again")


def validate(text: str) -> None:
    """Let xl read the config, on a host where it runs. Raises ConfigError if it refuses it, and
    XenError where it cannot be run."""
    if not dom0.is_dom0():
        return
    with tempfile.NamedTemporaryFile(prefix="xen_domain_config.") as trial:
        trial.write(_encoded(text))
        trial.flush()
        ended = dom0.run(["xl", "-N", "create", trial.name], xl.XL_SECONDS)
    if ended.code != 0:
        words = programs.in_one_line(ended.stderr.replace(trial.name, "the config"))
        raise ConfigError(f"xl refuses what it would say: {words or f'exit code {ended.code}'}")


def write(config: Config, text: str) -> None:
    """Put the new config in the place of the old one, with its owner, mode and SELinux context.

    Raises ConfigError if that is not as it was found, and what files.replace_file raises.
    """
    refuse_changed(config, config.text)
    # A new one is for root alone: it may hold the password of a console.
    replace_file(config.file, _encoded(text), mode=0o600, keep=config.text is not None)


def remove(config: Config) -> None:
    """Remove the config.

    Raises ConfigError if it is not as it was found, and what files.opened_real raises.
    """
    refuse_changed(config, config.text)
    with opened_real(config.directory) as directory:
        os.unlink(os.path.basename(config.file), dir_fd=directory)


def keep_copy(config: Config, hidden: bool) -> str:
    """Keep the config that is to be replaced under a second name, and return that.

    The name is made as Ansible's own modules make it, with a dot before it where it is to be hidden
    from xendomains, which starts whatever is in its directory. A hard link keeps the attributes as
    they are and is never half made; the config itself is then replaced, not written.
    Raises ConfigError if it is not as it was found, and what files.opened_real raises.
    """
    refuse_changed(config, config.text)
    name = os.path.basename(config.file)
    copy = f"{'.' * hidden}{name}.{os.getpid()}.{time.strftime('%Y-%m-%d@%H:%M:%S~')}"
    with opened_real(config.directory) as directory:
        os.link(name, copy, src_dir_fd=directory, dst_dir_fd=directory, follow_symlinks=False)
    return os.path.join(config.directory, copy)


def shown(text: str) -> str:
    """The text with a mark for each byte that is not UTF-8, which no result can hold."""
    return _encoded(text).decode("utf-8", "replace")
