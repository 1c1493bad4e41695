# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which domains start when the host boots: those with a link to their config in /etc/xen/auto.

xendomains starts what is in that directory in the order of the names. So one link to a config is
enough, whatever its name: whoever made it has chosen when the domain starts.
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

_NAME = re.compile(r"[^.\s*?\[][^\s*?\[]*")
"""Names that xendomains starts: it goes through ``$XENDOMAINS_AUTO/*`` and quotes none of them."""

Place = Tuple[object, str]
"""A directory and a name in it. Other than an inode it can be told where there is no file, and
stays when the file is replaced, as configs are: a hard link would keep the old text."""


class AutostartError(BlockdevError):
    """A domain cannot be had to start at boot, or not to."""


class Subject(NamedTuple):
    """The config of which it is to be decided whether its domain starts at boot."""

    domain: str
    path: str
    """As it was given."""
    file: str
    """The same without symbolic links."""
    stays: bool
    """Whether the config is there once the plan is done."""


class _Entry(NamedTuple):
    """What is in the directory under one name."""

    place: Place
    """What it leads to; itself where it is no link."""
    target: Optional[str]
    """What the link says; None if it is none."""


class _Directory:
    """A directory with links, as it will be once what is planned is done."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._id = _directory_id(os.path.realpath(path))
        self.entries = {name: _entry(self.link(name)) for name in seen(path)}

    def link(self, name: str) -> str:
        """The path of what has the name ``name`` here."""
        return os.path.join(self.path, name)

    def leading_to(self, place: Place) -> List[str]:
        """The names under which xendomains finds what is at ``place``, in its order."""
        return sorted(name for name, entry in self.entries.items() if entry.place == place)

    def leading_to_former(self, subject: Subject, places: Container[Place]) -> List[str]:
        """The names of links to other configs that this collection wrote for the same domain, but
        for those at ``places``."""
        line = config_text.name_line(config_text.render(subject.domain, {}, []))
        found = self._links_by_name_line.get(line, ())
        return sorted(
            name
            for name in found
            if name in self.entries and self.entries[name].place not in places
        )

    @cached_property
    def _links_by_name_line(self) -> Dict[Optional[str], List[str]]:
        """The links that were found, by what tells the domain of a config that is ours."""
        names: Dict[Optional[str], List[str]] = {}
        for name, entry in self.entries.items():
            if entry.target is not None:
                line = config_text.name_line(_beginning(self.link(name)))
                names.setdefault(line, []).append(name)
        return names

    def holds(self, path: str) -> bool:
        """Whether ``path``, followed no further, is in this directory or is to be."""
        return _directory_id(os.path.dirname(path)) == self._id


class AutostartLinks:
    """The links of this host. A directory is read once, when the first config asks for it."""

    def __init__(self, directories: Directories) -> None:
        """``directories``: those that are made by the same module call."""
        self.touched: Set[str] = set()
        """Directories in which links are made or removed."""
        self._directories = directories
        self._known: Dict[str, _Directory] = {}
        self._places: Set[Place] = set()
        """Where the configs of this call are, whose links are looked after one by one."""

    def expect(self, config: str) -> None:
        """Note that the config with the path ``config`` will be planned for."""
        self._places.add(_place(config))

    def extend_plan(
        self, plan: Plan, subject: Subject, directory: str, parents: bool, wanted: Optional[bool]
    ) -> None:
        """Add to ``plan`` what makes the domain start at boot, or not; its links go before the
        config does, and come after it.

        ``directory``: where xendomains looks, an absolute path. ``parents``: whether it is made
        where it is missing. ``wanted``: None leaves the links alone. Raises AutostartError if that
        cannot be had, and BlockdevError where nothing can be written.
        """
        links = self._directory(directory)
        place = _place(subject.file)
        plan.before["autostart"] = bool(links.leading_to(place))
        former = links.leading_to_former(subject, {place, *self._places})
        if wanted:
            plan.actions += self._remove_links(links, subject, former)
            plan.actions += self._start(links, subject, place, parents, former)
        elif wanted is not None:
            plan.actions[:0] = self._do_not_start(links, subject, place, former)
        else:
            plan.warnings += [_warn_of_former(links, subject, name) for name in former]
        if links.holds(subject.file):
            _keep_or_drop(links, subject, place)
        after = plan.after["autostart"] = bool(links.leading_to(place))
        read_config = plan.read_back

        def read_back() -> State:
            # The directory of the config may have been made since.
            found = bool(_Directory(links.path).leading_to(_place(subject.file)))
            if wanted is not None and found != after:
                raise AutostartError(_changed(links.path))
            return {**read_config(), "autostart": found}

        plan.read_back = read_back

    def _directory(self, path: str) -> _Directory:
        path = path.rstrip("/")
        if not is_file_path(path):
            raise AutostartError(
                f"autostart_dir {path!r} is not the absolute path of a directory: write it from / "
                "on, such as /etc/xen/auto"
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
        """``former``: the names of links to a config that the domain had elsewhere, of which one is
        kept: it says when the domain starts."""
        if links.leading_to(place):
            return []
        name = former[0] if former else os.path.basename(subject.path)
        link = links.link(name)
        if not _NAME.fullmatch(name):
            raise AutostartError(
                f"xendomains starts nothing by the name of {name!r}, which begins with a dot or "
                f"has a blank, *, ? or [; make a link of another name in {links.path}, which "
                "is kept"
            )
        if links.holds(subject.file):
            return []
        _refuse_taken(links, name)
        sentence = f"make the link {link}, so that xendomains starts domain {subject.domain}"
        try:
            actions = self._directories.plan(links.path, parents)
        except BlockdevError as error:
            raise AutostartError(
                f"{error}; xendomains looks there for what it is to start: is Xen installed?"
            ) from None
        check_writable(nearest(links.path), sentence)
        links.entries[name] = _Entry(place, subject.path)
        self.touched.add(links.path)
        return [*actions, Action(sentence, partial(_make, link, subject.path))]

    def _do_not_start(
        self, links: _Directory, subject: Subject, place: Place, former: Sequence[str]
    ) -> List[Action]:
        if subject.stays and (links.holds(subject.path) or links.holds(subject.file)):
            raise AutostartError(
                f"xendomains starts whatever is in {links.path}, and this config with it: give the "
                "path of a config that is elsewhere, or leave out autostart: false"
            )
        return self._remove_links(links, subject, [*links.leading_to(place), *former])

    def _remove_links(
        self, links: _Directory, subject: Subject, names: Iterable[str]
    ) -> List[Action]:
        actions = []
        for name in names:
            link, target = links.link(name), links.entries[name].target
            if target is None:
                continue  # The config itself, which goes.
            sentence = (
                f"remove the link {link}, so that xendomains does not start domain {subject.domain}"
            )
            if os.path.realpath(link) != subject.file:
                sentence += f" from {target}"
            check_writable(links.path, sentence)
            del links.entries[name]
            self.touched.add(links.path)
            actions.append(Action(sentence, partial(_remove, link, target)))
        return actions


def _warn_of_former(links: _Directory, subject: Subject, name: str) -> str:
    return (
        f"xendomains starts domain {subject.domain} from {links.entries[name].target}, another "
        f"config of it, by the link {links.link(name)}: set autostart to true for {subject.path}, "
        "or to false for neither"
    )


def _beginning(path: str) -> str:
    """Enough of a config to tell whether it is one of ours, and of which domain."""
    with suppress(OSError):
        if stat.S_ISREG(os.stat(path).st_mode):
            with open(path, "rb") as config:
                return config.read(4096).decode("utf-8", "surrogateescape")
    return ""


def _keep_or_drop(links: _Directory, subject: Subject, place: Place) -> None:
    """Note whether the config, which is in the directory itself, will be there."""
    name = os.path.basename(subject.file)
    if not subject.stays:
        links.entries.pop(name, None)
    elif _is_seen(name):
        links.entries[name] = _Entry(place, None)


def _refuse_taken(links: _Directory, name: str) -> None:
    """Raise AutostartError if something in the directory has the name already."""
    entry = links.entries.get(name)
    if entry is None:
        return
    link = links.link(name)
    if entry.target is None:
        raise AutostartError(f"{link} is in the way of a link and is none; move it elsewhere")
    is_link = "is" if os.path.lexists(link) else "is to be"
    raise AutostartError(
        f"{link} {is_link} a link to {entry.target}, which is not this config; remove that, or "
        f"make a link of another name in {links.path}, which is kept"
    )


def seen(directory: str) -> List[str]:
    """The names in the directory that xendomains sees, in its order; none if it does not exist."""
    try:
        names = os.listdir(directory)
    except (FileNotFoundError, NotADirectoryError):
        return []
    return sorted(filter(_is_seen, names))


def _entry(path: str) -> _Entry:
    return _Entry(_place(path), os.readlink(path) if os.path.islink(path) else None)


def _is_seen(name: str) -> bool:
    """Whether the shell's ``*`` stands for the name."""
    return not name.startswith(".")


def _place(path: str) -> Place:
    """What the path leads to, through all links, whether that exists or not."""
    directory, name = os.path.split(os.path.realpath(path))
    return _directory_id(directory), name


def _directory_id(path: str) -> object:
    """Equal for the same directory, also where it is mounted twice."""
    try:
        status = os.stat(path)
    except OSError:
        return path
    return status.st_dev, status.st_ino


def _make(link: str, target: str) -> None:
    try:
        os.symlink(target, link)
    except FileExistsError:
        raise AutostartError(_changed(link)) from None


def _remove(link: str, target: str) -> None:
    """Remove the link unless it is no longer the one that was found."""
    if not os.path.islink(link) or os.readlink(link) != target:
        raise AutostartError(_changed(link))
    os.unlink(link)


def _changed(path: str) -> str:
    return f"{path} was changed by another program meanwhile; run again"
