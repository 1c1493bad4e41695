# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which domains start when the host boots: those with a link to their config in /etc/xen/auto.

xendomains starts the configs in that directory in the order of the names. One link to a config is
enough, whatever its name: the user may have chosen the name for its place in that order.
"""

from __future__ import annotations

import os
import re
import stat
from contextlib import suppress
from functools import cached_property, partial
from typing import Container, Dict, Iterable, List, NamedTuple, Optional, Sequence, Set, Tuple

from ansible_collections.xen.blockdev.plugins.module_utils.config import text as config_text
from ansible_collections.xen.blockdev.plugins.module_utils.converge.plan import Action, Plan, State
from ansible_collections.xen.blockdev.plugins.module_utils.errors import BlockdevError
from ansible_collections.xen.blockdev.plugins.module_utils.host.files import (
    Directories,
    check_writable,
    is_file_path,
    nearest,
)

_STARTED_NAME = re.compile(r"[^.\s*?\[][^\s*?\[]*")
"""Names that xendomains starts: it expands ``$XENDOMAINS_AUTO/*`` and quotes none of them."""

Place = Tuple[object, str]
"""A directory and a name in it. Unlike an inode, it exists before the file does, and stays the same
when the file is replaced, as configs are: a hard link would keep the old text."""


class AutostartError(BlockdevError):
    """The links to a config cannot be as wanted."""


class Subject(NamedTuple):
    """A config whose links are planned."""

    domain: str
    path: str
    """As it was given."""
    file: str
    """The same without symbolic links."""
    stays: bool
    """Whether the config exists once the plan is done."""


class _DirectoryEntry(NamedTuple):
    """A name in the directory."""

    place: Place
    """What it leads to; itself if it is not a link."""
    target: Optional[str]
    """The text of the link; None if it is not a link."""


class _Directory:
    """A directory with links, as it will be once everything planned so far is done."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._id = _directory_id(os.path.realpath(path))
        self.entries = {name: _entry(self.link(name)) for name in visible_names(path)}

    def link(self, name: str) -> str:
        """The path of the entry ``name``."""
        return os.path.join(self.path, name)

    def leading_to(self, place: Place) -> List[str]:
        """The names of the entries that lead to ``place``, in the order of xendomains."""
        return sorted(name for name, entry in self.entries.items() if entry.place == place)

    def leading_to_former(self, subject: Subject, places: Container[Place]) -> List[str]:
        """The names of links to other configs that this collection wrote for the same domain,
        except for configs at ``places``."""
        line = config_text.name_setting(subject.domain)
        names = self._links_by_name_line.get(line, ())
        return sorted(
            name
            for name in names
            if name in self.entries and self.entries[name].place not in places
        )

    @cached_property
    def _links_by_name_line(self) -> Dict[Optional[str], List[str]]:
        """The links on disk, by the line that names the domain in a config of this collection."""
        names: Dict[Optional[str], List[str]] = {}
        for name, entry in self.entries.items():
            if entry.target is not None:
                line = config_text.name_line(_beginning(self.link(name)))
                names.setdefault(line, []).append(name)
        return names

    def holds(self, path: str) -> bool:
        """Whether ``path`` itself, or the link of that name, is or will be in this directory."""
        return _directory_id(os.path.dirname(path)) == self._id


class AutostartLinks:
    """The links of this host. Each directory is read once, for the first config that needs it."""

    def __init__(self, directories: Directories) -> None:
        """``directories``: those that the same module call creates."""
        self.touched: Set[str] = set()
        """Directories in which links are created or removed."""
        self._directories = directories
        self._known: Dict[str, _Directory] = {}
        self._places: Set[Place] = set()
        """The configs of this call. Their links are planned with the config that they lead to."""

    def expect(self, config: str) -> None:
        """Note that the links to the config with the path ``config`` will be planned."""
        self._places.add(_place(config))

    def plan(self, subject: Subject, directory: str, parents: bool, wanted: Optional[bool]) -> Plan:
        """Plan the links by which xendomains starts the domain, or their removal.

        The plan is a part of that of the config. Links must be removed before the config is, as
        xendomains must not find a link that leads nowhere, and created after it is written.
        ``directory``: the absolute path of the directory that xendomains reads. ``parents``:
        whether it is created if it does not exist. ``wanted``: whether the domain is to start at
        boot; None leaves the links as they are. Raises AutostartError if that is impossible, and
        BlockdevError if the directory cannot be written.
        """
        links = self._directory(directory)
        place = _place(subject.file)
        before = bool(links.leading_to(place))
        former = links.leading_to_former(subject, {place, *self._places})
        actions: List[Action] = []
        if wanted:
            actions += self._remove_links(links, subject, former)
            actions += self._start(links, subject, place, parents, former)
        elif wanted is not None:
            actions += self._do_not_start(links, subject, place, former)
        if links.holds(subject.file):
            _keep_or_drop(links, subject, place)
        after = bool(links.leading_to(place))
        expected = None if wanted is None else after
        return Plan(
            before={"autostart": before},
            after={"autostart": after},
            read_back=partial(_state_of_links, links.path, subject.file, expected),
            actions=actions,
            warnings=[_other_config(links, subject, name) for name in former if wanted is None],
        )

    def _directory(self, path: str) -> _Directory:
        path = path.rstrip("/")
        if not is_file_path(path):
            raise AutostartError(
                f"autostart_dir {path!r} is not the absolute path of a directory such as "
                "/etc/xen/auto"
            )
        key = os.path.realpath(path)
        if key not in self._known:
            self._known[key] = _Directory(path)
        return self._known[key]

    def _start(
        self,
        links: _Directory,
        subject: Subject,
        place: Place,
        parents: bool,
        former: Sequence[str],
    ) -> List[Action]:
        """``former``: the names of removed links to another config of the domain. The first one is
        used again, as it decides when the domain starts."""
        if links.leading_to(place):
            return []
        name = former[0] if former else os.path.basename(subject.path)
        link = links.link(name)
        if not is_started_name(name):
            raise AutostartError(
                f"xendomains does not start {name!r}: the name begins with a dot or contains a "
                f"blank, *, ? or [; create a link with another name in {links.path} yourself, "
                "which is kept"
            )
        if links.holds(subject.file):
            return []
        _refuse_taken(links, name)
        sentence = f"create the link {link}, so that xendomains starts domain {subject.domain}"
        try:
            actions = self._directories.plan(links.path, parents)
        except BlockdevError as error:
            raise AutostartError(
                f"{error}; xendomains reads it to start domains: is Xen installed?"
            ) from None
        check_writable(nearest(links.path), sentence)
        links.entries[name] = _DirectoryEntry(place, subject.path)
        self.touched.add(links.path)
        return [*actions, Action(sentence, partial(_create_link, link, subject.path))]

    def _do_not_start(
        self, links: _Directory, subject: Subject, place: Place, former: Sequence[str]
    ) -> List[Action]:
        if subject.stays and (links.holds(subject.path) or links.holds(subject.file)):
            raise AutostartError(
                f"the config is in {links.path}, and xendomains starts every config there; move "
                "the config to another directory, or omit autostart: false"
            )
        return self._remove_links(links, subject, [*links.leading_to(place), *former])

    def _remove_links(
        self, links: _Directory, subject: Subject, names: Iterable[str]
    ) -> List[Action]:
        actions = []
        for name in names:
            link, target = links.link(name), links.entries[name].target
            if target is None:
                continue  # The config itself, which is removed.
            sentence = (
                f"remove the link {link}, so that xendomains does not start domain {subject.domain}"
            )
            if os.path.realpath(link) != subject.file:
                sentence += f" from {target}"
            check_writable(links.path, sentence)
            del links.entries[name]
            self.touched.add(links.path)
            actions.append(Action(sentence, partial(_remove_link, link, target)))
        return actions


def _other_config(links: _Directory, subject: Subject, name: str) -> str:
    """The warning about a link to another config of the domain."""
    return (
        f"xendomains starts domain {subject.domain} from {links.entries[name].target}, another "
        f"config of that domain, because of the link {links.link(name)}; set autostart: true to "
        f"start it from {subject.path}, or autostart: false to start it from neither"
    )


def _beginning(path: str) -> str:
    """Enough of a config to see whether this collection wrote it, and for which domain."""
    with suppress(OSError):
        if stat.S_ISREG(os.stat(path).st_mode):
            with open(path, "rb") as config:
                return config.read(4096).decode("utf-8", "surrogateescape")
    return ""


def _keep_or_drop(links: _Directory, subject: Subject, place: Place) -> None:
    """Note whether the config, which is in the directory itself, will exist."""
    name = os.path.basename(subject.file)
    if not subject.stays:
        links.entries.pop(name, None)
    elif _is_visible(name):
        links.entries[name] = _DirectoryEntry(place, None)


def _refuse_taken(links: _Directory, name: str) -> None:
    """Raise AutostartError if the directory already has an entry with the name."""
    entry = links.entries.get(name)
    if entry is None:
        return
    link = links.link(name)
    if entry.target is None:
        kind = "directory" if os.path.isdir(link) else "file"
        raise AutostartError(
            f"cannot create the link {link}: a {kind} of that name exists; move it"
        )
    is_link = "is" if os.path.lexists(link) else "will be"
    raise AutostartError(
        f"cannot create the link {link}: it {is_link} a link to {entry.target}; remove that link, "
        f"or create one with another name in {links.path} yourself, which is kept"
    )


def is_started_name(name: str) -> bool:
    """Whether xendomains starts a config of this name in its directory."""
    return _STARTED_NAME.fullmatch(name) is not None


def visible_names(directory: str) -> List[str]:
    """The names in the directory that xendomains finds, in its order; none if the directory does
    not exist."""
    try:
        names = os.listdir(directory)
    except (FileNotFoundError, NotADirectoryError):
        return []
    return sorted(filter(_is_visible, names))


def _is_visible(name: str) -> bool:
    """Whether the shell's ``*`` matches the name."""
    return not name.startswith(".")


def _entry(path: str) -> _DirectoryEntry:
    return _DirectoryEntry(_place(path), os.readlink(path) if os.path.islink(path) else None)


def _place(path: str) -> Place:
    """What the path leads to, through all links, whether that exists or not."""
    directory, name = os.path.split(os.path.realpath(path))
    return _directory_id(directory), name


def _directory_id(path: str) -> object:
    """Equal for the same directory, even if it is mounted twice."""
    try:
        status = os.stat(path)
    except OSError:
        return path
    return status.st_dev, status.st_ino


def _state_of_links(directory: str, file: str, expected: Optional[bool]) -> State:
    """Whether xendomains finds the config ``file`` now. Raises AutostartError if that is not as
    ``expected``, unless nothing was."""
    # The identities of directories may have changed: the config's may have been created since.
    starts = bool(_Directory(directory).leading_to(_place(file)))
    if expected is not None and starts != expected:
        raise AutostartError(_changed(directory))
    return {"autostart": starts}


def _create_link(link: str, target: str) -> None:
    try:
        os.symlink(target, link)
    except FileExistsError:
        raise AutostartError(_changed(link)) from None


def _remove_link(link: str, target: str) -> None:
    """Remove the link unless it has changed."""
    if not os.path.islink(link) or os.readlink(link) != target:
        raise AutostartError(_changed(link))
    os.unlink(link)


def _changed(path: str) -> str:
    return f"{path} was changed by another program; run again"
