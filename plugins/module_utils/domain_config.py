# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""xl's domain configuration files: write a whole one, or change only the disk list of another's.

The syntax is that of xl's own parser, libxlutil (C(libxlu_cfg_l.l) and C(libxlu_cfg_y.y), the
same since Xen 4.13, which brought C(+=)). It is narrower than C(xl.cfg(5)) suggests:

- a file is C(option = value) or C(option += value) statements, separated by line ends or C(;);
- a value is a string, a number or a list of values; a list may span lines and hold comments;
- a string ends on its line, has either kind of quotes, and knows only the escapes in C(_ESCAPES);
- a comment ends with a line feed: one on an unfinished last line is an error;
- the last C(=) of an option wins, and each C(+=) after it appends.

A configuration is a C(str) here. One that is read from a file is best decoded, and encoded again,
as UTF-8 with C(surrogateescape), so that bytes which are not UTF-8 pass through unharmed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Dict, List, NamedTuple, NoReturn, Optional, Tuple, Union

from ansible_collections.xen.blockdev.plugins.module_utils.errors import BlockdevError, type_name

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
_LONG_MIN, _LONG_MAX = -(2**63), 2**63 - 1
# Far above anything that xl reads (vnuma has two levels), far below the interpreter's own limit.
_MAX_NESTING = 50

_ESCAPES = {
    "\\": "\\",
    "'": "'",
    '"': '"',
    "a": "\a",
    "b": "\b",
    "f": "\f",
    "n": "\n",
    "r": "\r",
    "t": "\t",
    "v": "\v",
}
_QUOTED = {plain: "\\" + letter for letter, plain in _ESCAPES.items() if plain != '"'}

_OPTION_NAME = re.compile(r"[a-z][._0-9a-z]*")
_TOKEN = re.compile(
    r"""(?P<blank>[ \t]+)
    | (?P<newline>\n)
    | (?P<comment>\#[^\n]*(?=\n))
    | (?P<option>[a-z][._0-9a-z]*)
    | (?P<number>[0-9][0-9a-fx]*)
    | (?P<string>'(?:[^'\\\n]|\\[^\n])*' | "(?:[^"\\\n]|\\[^\n])*")
    | (?P<sign>\+=|[=,;[\]])""",
    re.VERBOSE,
)
_SEPARATOR = re.compile(r"[ \t]*;[ \t]*")
_LINE_END = re.compile(r"[ \t]*(?:\n|\Z)")
_STATEMENT_ENDS = ("newline", ";", "end")
_SHOWN = {
    "option": "an option name",
    "number": "a number",
    "string": "a string",
    "newline": "a line end",
    "end": "the end of the file",
}

_Value = Union[str, List["_Value"]]

Value = Union[str, int, List["Value"]]
"""What an option is set to: the values that L(render) writes, of those that L(settings) reads."""

# A number that says the same in every notation in which xl may read it.
_PLAIN_NUMBER = re.compile(r"0|[1-9][0-9]{0,18}")


CONFIG_DIR = "/etc/xen"
"""Where xl's users keep the configs, as NAME.cfg; xl itself takes any path."""


class DomainConfigError(BlockdevError):
    """A text that is no xl configuration, or a value that cannot be written in one."""


# --- writing ---------------------------------------------------------------------------------


def quote(text: str) -> str:
    """Write a string as xl reads it back: in single quotes, with xl's few escapes.

    Raises DomainConfigError for anything but a string, for a NUL, which would end the string
    early, and for a lone surrogate that stands for no byte.
    """
    if not isinstance(text, str):
        raise DomainConfigError(f"a string is wanted, not a value of type {type_name(text)}")
    if "\0" in text:
        raise DomainConfigError(f"{text!r} has a NUL character, which no xl string can hold")
    try:
        text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError as error:
        raise DomainConfigError(
            f"{text!r} has a character that cannot be encoded as UTF-8: {error.reason}"
        ) from error
    return "'" + "".join(_QUOTED.get(character, character) for character in text) + "'"


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


def _check_option_name(option: object) -> None:
    if not isinstance(option, str):
        raise DomainConfigError(
            f"the name of an option is a string, not a value of type {type_name(option)}"
        )
    if not _OPTION_NAME.fullmatch(option):
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
    if nesting > _MAX_NESTING:
        raise DomainConfigError(f"its lists are nested more than {_MAX_NESTING} levels deep")
    if isinstance(value, str):
        return quote(value)
    if isinstance(value, int):
        return _number(int(value))
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_written(item, nesting + 1) for item in value) + "]"
    hint = "leave the option out instead" if value is None else "write it as a string"
    raise DomainConfigError(
        f"a value of type {type_name(value)} cannot be written in an xl configuration, only "
        f"a string, an integer, a bool or a list of these: {hint}"
    )


def _number(value: int) -> str:
    if not _LONG_MIN <= value <= _LONG_MAX:
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
    value = _effective(_parse(text)).get("name")
    if isinstance(value, list):
        raise DomainConfigError("name is set to a list, but a domain's name is a string")
    return None if value is None else str(value)


def disks(text: str) -> List[str]:
    """Read the disk specifications, unquoted, that xl would use; [] without a C(disk) setting.

    Raises DomainConfigError if the text is no valid configuration, or if xl would silently lose
    disks: C(disk) is a single string, or its list holds another list.
    """
    return _effective_disks(_parse(text))


def settings(text: str) -> Dict[str, Value]:
    """Read every option that is set, the disk list as well, with the values that xl would use.

    A decimal number is an integer. A number in another notation (C(0x1f), C(010)) is the text as
    it stands: what it is worth depends on how xl reads that option, and L(render) writes a text
    that xl reads alike.
    Raises DomainConfigError if the text is no valid configuration.
    """
    return {option: _typed(value) for option, value in _effective(_parse(text)).items()}


def replace_disks(text: str, disks: Sequence[str]) -> str:
    """Make these disk specifications the only ones, and leave everything else as it is.

    The first C(disk) setting takes the new list, one specification a line, and keeps the comments
    of the old one; further C(disk) settings are removed. Without any, one is appended. A text
    whose disks are these already is returned unchanged.

    Raises DomainConfigError as C(disks) does, and for a specification that xl cannot read back.
    """
    wanted = list(disks)
    lines = _disk_lines(disks)
    tokens = _tokenize(text)
    settings = _Parser(tokens).settings()
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


# --- the tokenizer ---------------------------------------------------------------------------


class _Token(NamedTuple):
    kind: str  # a group of _TOKEN; for a sign the sign itself; "end" after the last token
    text: str
    start: int
    line: int

    @property
    def end(self) -> int:
        return self.start + len(self.text)


def _tokenize(text: str) -> List[_Token]:
    tokens = []
    position, line = 0, 1
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None or "\0" in match.group():
            _refuse_character(text, position, line)
        kind = str(match.lastgroup)
        if kind != "blank":
            shown = match.group() if kind == "sign" else kind
            tokens.append(_Token(shown, match.group(), position, line))
        position = match.end()
        line += kind == "newline"
    tokens.append(_Token("end", "", position, line))
    return tokens


def _refuse_character(text: str, position: int, line: int) -> NoReturn:
    rest = text[position:].split("\n", 1)[0]
    if "\0" in rest:
        problem = "a NUL character: this is no text file"
    elif rest[0] == "\r":
        problem = "a carriage return: xl takes LF line ends only, convert the file (dos2unix)"
    elif rest[0] in "'\"":
        problem = f"a string that does not end on its line: {rest}"
    elif rest[0] == "#":
        problem = "a comment without a line end, which xl refuses: end the file with a newline"
    elif rest[0] == "@":
        problem = f"{rest} looks like a placeholder that was not filled in; xl cannot read it"
    else:
        problem = f"{rest!r} is neither an option name, a number nor a quoted string"
    raise _syntax_error(line, problem)


def _syntax_error(line: int, problem: str) -> DomainConfigError:
    return DomainConfigError(f"line {line} is not valid in an xl configuration: {problem}")


def _unquoted(token: _Token) -> str:
    def unescaped(match: re.Match[str]) -> str:
        letter = match.group(1)
        if letter in "01234567":
            # xl takes most octal escapes without complaint and leaves the character out.
            raise _syntax_error(token.line, f"xl loses numeric escapes: {token.text}")
        if letter not in _ESCAPES:
            raise _syntax_error(token.line, f"unknown escape \\{letter} in {token.text}")
        return _ESCAPES[letter]

    return re.sub(r"\\(.)", unescaped, token.text[1:-1])


# --- the parser ------------------------------------------------------------------------------


class _Number(str):
    """A number as it stands in the text, to xl a string without quotes."""


class _Setting(NamedTuple):
    option: str
    adds: bool  # += rather than =
    value: _Value
    start: int
    value_start: int
    end: int
    line: int


class _Parser:
    """One pass over the tokens, checking the grammar as xl's parser does."""

    def __init__(self, tokens: Sequence[_Token]) -> None:
        self._tokens = [token for token in tokens if token.kind != "comment"]
        self._position = 0

    def settings(self) -> List[_Setting]:
        found = []
        while self._next.kind != "end":
            if self._next.kind in _STATEMENT_ENDS:
                self._take()
            else:
                found.append(self._setting())
        return found

    @property
    def _next(self) -> _Token:
        return self._tokens[self._position]

    def _take(self) -> _Token:
        self._position += 1
        return self._tokens[self._position - 1]

    def _skip_newlines(self) -> None:
        while self._next.kind == "newline":
            self._take()

    def _setting(self) -> _Setting:
        option = self._expect("option")
        operator = self._expect("=", "+=")
        value_start = self._next.start
        value = self._value()
        end = self._tokens[self._position - 1].end
        self._require(*_STATEMENT_ENDS)
        return _Setting(
            option.text, operator.kind == "+=", value, option.start, value_start, end, option.line
        )

    def _value(self, nesting: int = 0) -> _Value:
        token = self._expect("string", "number", "[")
        if token.kind == "[":
            return self._list(token, nesting + 1)
        return _unquoted(token) if token.kind == "string" else _Number(token.text)

    def _list(self, opening: _Token, nesting: int) -> List[_Value]:
        if nesting > _MAX_NESTING:
            raise _syntax_error(opening.line, f"lists nested more than {_MAX_NESTING} levels deep")
        items: List[_Value] = []
        self._skip_newlines()
        while self._next.kind != "]":
            items.append(self._value(nesting))
            self._skip_newlines()
            if self._next.kind != "]":
                self._expect(",", "]")
                self._skip_newlines()
        self._take()
        return items

    def _expect(self, *kinds: str) -> _Token:
        self._require(*kinds)
        return self._take()

    def _require(self, *kinds: str) -> None:
        found = self._next
        if found.kind not in kinds:
            shown = found.text.strip() or _SHOWN[found.kind]
            wanted = " or ".join(_SHOWN.get(kind, kind) for kind in kinds)
            raise _syntax_error(found.line, f"{shown} stands where {wanted} is expected")


def _parse(text: str) -> List[_Setting]:
    return _Parser(_tokenize(text)).settings()


def _effective(settings: Iterable[_Setting]) -> Dict[str, _Value]:
    """Fold the settings as xl does: the last C(=) of an option, and each C(+=) after it."""
    values: Dict[str, _Value] = {}
    for setting in settings:
        value, previous = setting.value, values.get(setting.option)
        if setting.adds and previous is not None:
            value = _sum(previous, setting)
        values[setting.option] = value
    return values


def _sum(previous: _Value, setting: _Setting) -> _Value:
    if isinstance(previous, str) and isinstance(setting.value, str):
        return previous + setting.value
    if isinstance(previous, list) and isinstance(setting.value, list):
        return previous + setting.value
    raise _syntax_error(
        setting.line, f"{setting.option} += adds a list to a string, or a string to a list"
    )


def _typed(value: _Value) -> Value:
    if isinstance(value, list):
        return [_typed(item) for item in value]
    if isinstance(value, _Number) and _PLAIN_NUMBER.fullmatch(value) and int(value) <= _LONG_MAX:
        return int(value)
    return str(value)


def _effective_disks(settings: Iterable[_Setting]) -> List[str]:
    value = _effective(settings).get("disk", [])
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


def _removable(text: str, setting: _Setting) -> Tuple[int, int]:
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


def _listed(tokens: Iterable[_Token], places: Sequence[_Setting]) -> _Listed:
    listed = _Listed([], [], [])
    spec_line = 0
    for token in tokens:
        if not any(place.value_start <= token.start < place.end for place in places):
            continue
        if token.kind in ("string", "number"):
            listed.specs.append(_unquoted(token) if token.kind == "string" else token.text)
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
