# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""xl's domain configuration files: write a whole one, or change only the disk list of another's.

A configuration is a C(str) here, see config_syntax.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Dict, List, NamedTuple, Optional, Tuple

from ansible_collections.xen.blockdev.plugins.module_utils.config_syntax import (
    LONG_MAX,
    LONG_MIN,
    MAX_NESTING,
    OPTION_NAME,
    DomainConfigError,
    Parser,
    Setting,
    Token,
    Value,
    effective,
    parse,
    quote,
    tokenize,
    typed,
    unquoted,
)
from ansible_collections.xen.blockdev.plugins.module_utils.errors import type_name

_MARK = "# Managed by Ansible (xen.blockdev.xen_domain_config)"
HEADER = _MARK + ": the next run overwrites changes made here."

# The order in which people write these; all other options follow by name, so that the same
# options give the same file whatever the order in which a mapping was put together.
_USUAL_ORDER = (
    "type",
    "builder",
    "bootloader",
    "firmware",
    "kernel",
    "ramdisk",
    "cmdline",
    "root",
    "extra",
    "memory",
    "maxmem",
    "vcpus",
    "maxvcpus",
    "cpus",
    "on_poweroff",
    "on_reboot",
    "on_crash",
    "vif",
)

_INDENT = "    "
_SEPARATOR = re.compile(r"[ \t]*;[ \t]*")
_LINE_END = re.compile(r"[ \t]*(?:\n|\Z)")

CONFIG_DIR = "/etc/xen"
"""Where xl's users keep the configs, as NAME.cfg; xl itself takes any path."""


# --- writing ---------------------------------------------------------------------------------


def render(name: str, options: Mapping[str, object], disks: Sequence[str]) -> str:
    """Write a whole configuration: header, name, options, and the disk list last.

    An option's value is a string, an integer, a bool (written as 1 or 0) or a list of values;
    C(disks) are disk specifications in xl's syntax. Equal arguments give equal texts, whatever
    the order of C(options).

    Raises DomainConfigError, naming the option, for what xl has no way to write.
    """
    for option in options:
        _check_option_name(option)
    settings = [("name", _quoted("name", name))]
    settings += [(option, _option_value(option, options[option])) for option in _ordered(options)]
    settings.append(("disk", _list(_disk_lines(disks))))
    return HEADER + "\n" + "".join(f"{option} = {value}\n" for option, value in settings)


def is_rendered(text: str) -> bool:
    """Tell a configuration that C(render) wrote from one that someone else wrote."""
    return text.startswith(_MARK)


def is_rendered_for(text: str, name: str) -> bool:
    """Whether C(render) wrote the configuration for the domain C(name); its beginning is enough."""
    return name_line(text) == name_line(render(name, {}, []))


def name_line(text: str) -> Optional[str]:
    """Where a configuration that C(render) wrote says the name; the same for the same domain, and
    quicker than to read it all. None for what someone else wrote."""
    return text.split("\n", 2)[1] if is_rendered(text) and "\n" in text else None


def _check_option_name(option: object) -> None:
    if not isinstance(option, str):
        raise DomainConfigError(
            f"the name of an option is a string, not a value of type {type_name(option)}"
        )
    if not OPTION_NAME.fullmatch(option):
        raise DomainConfigError(
            f"{option!r} is no name of an xl option: that is a lower-case letter, then lower-case "
            "letters, digits, underscores and dots"
        )
    if option in ("name", "disk"):
        raise DomainConfigError(
            f"{option} does not belong in the options: the domain's name and disks are given on "
            "their own, beside them"
        )


def _ordered(options: Iterable[str]) -> List[str]:
    rank = {option: position for position, option in enumerate(_USUAL_ORDER)}
    return sorted(options, key=lambda option: (rank.get(option, len(rank)), option))


def _option_value(option: str, value: object) -> str:
    try:
        if isinstance(value, (list, tuple)):
            return _list(f"{_written(item, nesting=1)}," for item in value)
        return _written(value)
    except DomainConfigError as error:
        raise DomainConfigError(f"option {option}: {error}") from error


def _written(value: object, nesting: int = 0) -> str:
    """C(nesting): the number of lists around it."""
    if isinstance(value, str):
        return quote(value)
    if isinstance(value, int):
        return _number(int(value))
    if isinstance(value, (list, tuple)):
        if nesting >= MAX_NESTING:
            raise DomainConfigError(f"its lists are nested more than {MAX_NESTING} levels deep")
        return "[" + ", ".join(_written(item, nesting + 1) for item in value) + "]"
    hint = "leave the option out instead" if value is None else "write it as a string"
    raise DomainConfigError(
        f"a value of type {type_name(value)} cannot be written in an xl configuration, only "
        f"a string, an integer, a bool or a list of these: {hint}"
    )


def _number(value: int) -> str:
    if not LONG_MIN <= value <= LONG_MAX:
        raise DomainConfigError("the integer is beyond the 64 bits that xl reads")
    # xl's numbers have no sign, but it also takes one from a string.
    return str(value) if value >= 0 else quote(str(value))


def _disk_lines(specs: Sequence[str]) -> List[str]:
    if isinstance(specs, str):
        raise DomainConfigError(f"disk: a list of disk specifications is wanted, not {specs!r}")
    return [_quoted("disk", spec) + "," for spec in specs]


def _quoted(option: str, text: str) -> str:
    try:
        return quote(text)
    except DomainConfigError as error:
        raise DomainConfigError(f"{option}: {error}") from error


def _list(lines: Iterable[str]) -> str:
    """Write a list with one item a line, for the sake of whoever reads a diff."""
    body = "".join(f"{_INDENT}{line}\n" for line in lines)
    return f"[\n{body}]" if body else "[]"


# --- reading ---------------------------------------------------------------------------------


def name(text: str) -> Optional[str]:
    """Read the domain's name; None if the configuration sets none.

    Raises DomainConfigError if the text is no valid configuration, or its name is a list.
    """
    value = effective(parse(text)).get("name")
    if isinstance(value, list):
        raise DomainConfigError("name is set to a list, but a domain's name is a string")
    return None if value is None else str(value)


def disks(text: str) -> List[str]:
    """Read the disk specifications, unquoted, that xl would use; [] without a C(disk) setting.

    Raises DomainConfigError if the text is no valid configuration, or if xl would silently lose
    disks: C(disk) is a single string, or its list holds another list.
    """
    return _effective_disks(parse(text))


def settings(text: str) -> Dict[str, Value]:
    """Read every option that is set, the disk list as well, with the values that xl would use.

    A decimal number is an integer. A number in another notation (C(0x1f), C(010)) is the text as
    it stands: what it is worth depends on how xl reads that option, and L(render) writes a text
    that xl reads alike.
    Raises DomainConfigError if the text is no valid configuration.
    """
    return {option: typed(value) for option, value in effective(parse(text)).items()}


def replace_disks(text: str, disks: Sequence[str]) -> str:
    """Make these disk specifications the only ones, and leave everything else as it is.

    The first C(disk) setting takes the new list, one specification a line, and keeps the comments
    of the old one; further C(disk) settings are removed. Without any, one is appended. A text
    whose disks are these already is returned unchanged.

    Raises DomainConfigError as C(disks) does, and for a specification that xl cannot read back.
    """
    wanted = list(disks)
    lines = _disk_lines(disks)
    tokens = tokenize(text)
    settings = Parser(tokens).settings()
    if _effective_disks(settings) == wanted:
        return text
    places = [setting for setting in settings if setting.option == "disk"]
    if not places:
        separator = "" if not text or text.endswith("\n") else "\n"
        return f"{text}{separator}disk = {_list(lines)}\n"
    for place in reversed(places[1:]):
        start, end = _removable(text, place)
        text = text[:start] + text[end:]
    value = _list(_with_comments(lines, wanted, _listed(tokens, places)))
    return text[: places[0].value_start] + value + text[places[0].end :]


def _effective_disks(settings: Iterable[Setting]) -> List[str]:
    value = effective(settings).get("disk", [])
    if isinstance(value, str):
        raise DomainConfigError(
            f"disk is a single string ({value!r}), for which xl only warns and starts the domain "
            "without any disk; write it as a list, disk = [ 'SPEC' ]"
        )
    specs = [str(item) for item in value if isinstance(item, str)]
    if len(specs) < len(value):
        raise DomainConfigError(
            "disk holds a list inside its list, where xl stops reading and loses the disks that "
            "follow; write one flat list of strings"
        )
    return specs


# --- changing a text -------------------------------------------------------------------------


def _removable(text: str, setting: Setting) -> Tuple[int, int]:
    """What to cut out for a setting: with its own C(;), and its lines if nothing else is there."""
    start, end = setting.start, setting.end
    separator = _SEPARATOR.match(text, end)
    if separator:
        end = separator.end()
    line_start = text.rfind("\n", 0, start) + 1
    line_end = _LINE_END.match(text, end)
    if line_end and not text[line_start:start].strip(" \t"):
        return line_start, line_end.end()
    return start, end


class _Listed(NamedTuple):
    """What stands in the disk lists of a text: the specifications, and the comments about them."""

    specs: List[str]
    above: List[Tuple[int, str]]  # number of the specification below it, comment
    beside: List[Tuple[int, str]]  # number of the specification before it on its line, comment


def _listed(tokens: Iterable[Token], places: Sequence[Setting]) -> _Listed:
    listed = _Listed([], [], [])
    spec_line = 0
    for token in tokens:
        if not any(place.value_start <= token.start < place.end for place in places):
            continue
        if token.kind in ("string", "number"):
            listed.specs.append(unquoted(token) if token.kind == "string" else token.text)
            spec_line = token.line
        elif token.kind == "comment" and token.line == spec_line:
            listed.beside.append((len(listed.specs) - 1, token.text))
        elif token.kind == "comment":
            listed.above.append((len(listed.specs), token.text))
    return listed


def _with_comments(lines: Sequence[str], specs: Sequence[str], old: _Listed) -> List[str]:
    """Put the old list's comments to the new one's lines: someone's notes are not ours to lose.

    A comment goes with its specification; if that is gone, to the new one that took its place; if
    there is none, to the end of the list.
    """

    def place(number: int) -> int:
        if number < len(old.specs):
            if old.specs[number] in specs:
                return specs.index(old.specs[number])
            if number < len(specs) and specs[number] not in old.specs:
                return number
        return len(specs)

    above: List[List[str]] = [[] for _line in range(len(lines) + 1)]
    beside: List[List[str]] = [[] for _line in range(len(lines) + 1)]
    for number, comment in old.above:
        above[place(number)].append(comment)
    for number, comment in old.beside:
        beside[place(number)].append(comment)
    result = []
    for number, line in enumerate(lines):
        result += above[number]
        result.append(" ".join([line, *beside[number]]))
    return result + beside[-1] + above[-1]
