# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The syntax of xl's configuration files: what a text sets, and how a string is written in one.

It is that of xl's own parser, libxlutil (``libxlu_cfg_l.l`` and ``libxlu_cfg_y.y``, the same since
Xen 4.13, which brought ``+=``). It is narrower than ``xl.cfg(5)`` suggests:

- a file is ``option = value`` or ``option += value`` statements, separated by line ends or ``;``;
- a value is a string, a number or a list of values; a list may span lines and hold comments;
- a string ends on its line, has either kind of quotes, and knows only the escapes in ``_ESCAPES``;
- a comment ends with a line feed: one on an unfinished last line is an error;
- the last ``=`` of an option wins, and each ``+=`` after it appends.

A configuration is a ``str`` here. One that is read from a file is best decoded, and encoded again,
as UTF-8 with ``surrogateescape``, so that bytes which are not UTF-8 pass through unharmed.
"""

from __future__ import annotations

import keyword
import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Dict, List, NamedTuple, NoReturn, Tuple, Union

from ansible_collections.xen.blockdev.plugins.module_utils.errors import BlockdevError, type_name

LONG_MIN, LONG_MAX = -(2**63), 2**63 - 1
"""The least and the greatest integer that xl reads."""

MAX_NESTING = 50
"""How deep lists may be nested: far above anything that xl reads (vnuma has two levels), far below
the interpreter's own limit."""

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
_QUOTED = {plain: "\\" + letter for letter, plain in _ESCAPES.items()}

OPTION = r"[a-z][._0-9a-z]*"
"""The name of an option, and STRING a string with its quotation marks, as parts of patterns."""
STRING = r"""'(?:[^'\\\n]|\\[^\n])*'|"(?:[^"\\\n]|\\[^\n])*\""""
OPTION_NAME = re.compile(OPTION)
"""What a whole text must match to be the name of an option."""

_TOKEN = re.compile(
    rf"""(?P<blank>[ \t]+)
    | (?P<newline>\n)
    | (?P<comment>\#[^\n]*(?=\n))
    | (?P<option>{OPTION})
    | (?P<number>[0-9][0-9a-fx]*)
    | (?P<string>{STRING})
    | (?P<sign>\+=|[=,;[\]])""",
    re.VERBOSE,
)
_PYTHON_WORDS = {*keyword.kwlist, "exec", "print"}
_IS_PYTHON = (
    "is Python, in which configs of xm and of Oracle VM were written; xl runs none: write the "
    "value itself and leave out all other lines"
)
# What people write that is no token of xl's, from there to the end of the line, and what it is.
_FLAWS = tuple(
    (re.compile(pattern, re.DOTALL), problem)
    for pattern, problem in (
        (r".*\0", "a NUL character: this is no text file"),
        (r"\r", "a carriage return: xl takes LF line ends only, convert the file (dos2unix)"),
        (
            r"\ufeff",
            "a byte order mark, which xl does not skip: save the file as UTF-8 without it "
            r"(sed -i 's/\xEF\xBB\xBF//' FILE)",
        ),
        (r"#", "a comment without a line end, which xl refuses: end the file with a newline"),
        (
            r".*\\[ \t]*\Z",
            "it ends in a backslash, but xl continues no line: write the value on one line; only "
            "a list may go on over several, and needs no backslash",
        ),
        (r"['\"]", "a string that does not end on its line: {rest}"),
        (r"@", "{rest} looks like a placeholder that was not filled in; xl cannot read it"),
        (
            r"OVM_\w*",
            "{found} is an option of Oracle VM, whose vm.cfg xl cannot read: write a config for xl "
            "and leave out the lines that begin with OVM_",
        ),
        (r"(True|False|None)\b", f"{{found}} {_IS_PYTHON} (True is 1, False is 0)"),
        (r"[(%*+{]", f"{{found}} {_IS_PYTHON}"),
        ("[\u2018\u2019\u201c\u201d]", "{found} is no quotation mark to xl: write ' or \""),
    )
)
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
"""What ``typed`` gives for an option. domain_config.render writes these, and bools and tuples."""

# A number that says the same in every notation in which xl may read it.
_PLAIN_NUMBER = re.compile(r"0|[1-9][0-9]{0,18}")


INDENT = "    "
"""Before an item of a list that is written here."""


class DomainConfigError(BlockdevError):
    """A text that is no xl configuration, or a value that cannot be written in one."""


def quote(text: str, mark: str = "'") -> str:
    """Write a string as xl reads it back: between two of ``mark``, either kind of quotation mark,
    with xl's few escapes.

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
    other = "'" if mark == '"' else '"'
    escaped = {**_QUOTED, other: other}
    return mark + "".join(escaped.get(character, character) for character in text) + mark


def write_list(lines: Iterable[str]) -> str:
    """Write a list with one item a line, for the sake of whoever reads a diff.

    ``lines``: the items as they are to stand there, each with its comma.
    """
    body = "".join(f"{INDENT}{line}\n" for line in lines)
    return f"[\n{body}]" if body else "[]"


# --- the tokenizer ---------------------------------------------------------------------------


class Token(NamedTuple):
    """A piece of the text that has a meaning of its own."""

    kind: str  # a group of _TOKEN; for a sign the sign itself; "end" after the last token
    text: str
    start: int  # characters from the beginning of the text
    line: int  # from 1

    @property
    def end(self) -> int:
        """Where the token ends, in characters from the beginning of the text."""
        return self.start + len(self.text)


def tokenize(text: str) -> List[Token]:
    """Give all tokens but blanks, comments among them, and after them the end.

    Raises DomainConfigError, naming the line, for what is no token of xl's.
    """
    tokens = []
    position, line = 0, 1
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None or "\0" in match.group():
            _refuse_character(text, position, line)
        kind = str(match.lastgroup)
        if kind != "blank":
            shown = match.group() if kind == "sign" else kind
            tokens.append(Token(shown, match.group(), position, line))
        position = match.end()
        line += kind == "newline"
    tokens.append(Token("end", "", position, line))
    return tokens


def _refuse_character(text: str, position: int, line: int) -> NoReturn:
    line_start = text.rfind("\n", 0, position) + 1
    rest = text[position:].split("\n", 1)[0]
    word = re.match(r"\s*(\w*)", text[line_start:position])
    if word and word[1] in _PYTHON_WORDS and "\0" not in rest:
        raise _syntax_error(line, f"{word[1]} {_IS_PYTHON}")
    for pattern, problem in _FLAWS:
        match = pattern.match(rest)
        if match:
            raise _syntax_error(line, problem.format(rest=rest, found=match.group()))
    problem = f"{rest!r} is neither an option name, a number nor a quoted string"
    raise _syntax_error(line, problem)


def _syntax_error(line: int, problem: str) -> DomainConfigError:
    return DomainConfigError(f"line {line} is not valid in an xl configuration: {problem}")


def unquoted(token: Token) -> str:
    """Give what a string stands for. Raises DomainConfigError for an escape that xl lacks."""

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


class Setting(NamedTuple):
    """A statement, and where it and its value are, in characters from the beginning of the text."""

    option: str
    adds: bool  # += rather than =
    value: _Value
    start: int
    value_start: int
    end: int
    line: int  # from 1


class Parser:
    """One pass over the tokens, checking the grammar as xl's parser does."""

    def __init__(self, tokens: Sequence[Token]) -> None:
        self._tokens = [token for token in tokens if token.kind != "comment"]
        self._position = 0

    def settings(self) -> List[Setting]:
        """Give every statement. Raises DomainConfigError, naming the line, for bad grammar."""
        found = []
        while self._next.kind != "end":
            if self._next.kind in _STATEMENT_ENDS:
                self._take()
            else:
                found.append(self._setting())
        return found

    @property
    def _next(self) -> Token:
        return self._tokens[self._position]

    def _take(self) -> Token:
        self._position += 1
        return self._tokens[self._position - 1]

    def _skip_newlines(self) -> None:
        while self._next.kind == "newline":
            self._take()

    def _setting(self) -> Setting:
        option = self._expect("option")
        if option.text in _PYTHON_WORDS and self._next.kind not in ("=", "+="):
            raise _syntax_error(option.line, f"{option.text} {_IS_PYTHON}")
        operator = self._expect("=", "+=")
        value_start = self._next.start
        value = self._value()
        end = self._tokens[self._position - 1].end
        self._require(*_STATEMENT_ENDS)
        return Setting(
            option.text, operator.kind == "+=", value, option.start, value_start, end, option.line
        )

    def _value(self, nesting: int = 0) -> _Value:
        token = self._expect("string", "number", "[")
        if token.kind == "[":
            return self._list(token, nesting + 1)
        return unquoted(token) if token.kind == "string" else _Number(token.text)

    def _list(self, opening: Token, nesting: int) -> List[_Value]:
        if nesting > MAX_NESTING:
            raise _syntax_error(opening.line, f"lists nested more than {MAX_NESTING} levels deep")
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

    def _expect(self, *kinds: str) -> Token:
        self._require(*kinds)
        return self._take()

    def _require(self, *kinds: str) -> None:
        found = self._next
        if found.kind not in kinds:
            shown = found.text.strip() or _SHOWN[found.kind]
            wanted = " or ".join(_SHOWN.get(kind, kind) for kind in kinds)
            raise _syntax_error(found.line, f"{shown} stands where {wanted} is expected")


def parse(text: str) -> List[Setting]:
    """Give every statement of a text. Raises DomainConfigError if it is no valid configuration."""
    return list(_parsed(text))


@lru_cache(maxsize=16)
def _parsed(text: str) -> Tuple[Setting, ...]:
    """A config is asked for its name, its disks and more, one after the other."""
    return tuple(Parser(tokenize(text)).settings())


def effective(settings: Iterable[Setting]) -> Dict[str, _Value]:
    """Fold the settings as xl does: the last ``=`` of an option, and each ``+=`` after it.

    Raises DomainConfigError if a ``+=`` adds a list to a string, or a string to a list.
    """
    values: Dict[str, _Value] = {}
    for setting in settings:
        value, previous = setting.value, values.get(setting.option)
        if setting.adds and previous is not None:
            value = _sum(previous, setting)
        values[setting.option] = value
    return values


def _sum(previous: _Value, setting: Setting) -> _Value:
    if isinstance(previous, str) and isinstance(setting.value, str):
        return previous + setting.value
    if isinstance(previous, list) and isinstance(setting.value, list):
        return previous + setting.value
    raise _syntax_error(
        setting.line, f"{setting.option} += adds a list to a string, or a string to a list"
    )


def typed(value: _Value) -> Value:
    """Give a decimal number as an integer, in a list as well, and all else as the text it is."""
    if isinstance(value, list):
        return [typed(item) for item in value]
    if isinstance(value, _Number) and _PLAIN_NUMBER.fullmatch(value) and int(value) <= LONG_MAX:
        return int(value)
    return str(value)
