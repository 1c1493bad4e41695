# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Texts of configurations, in all the ways in which people write them, as strategies."""

from __future__ import annotations

from hypothesis import strategies as st

encodable = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0")
    | st.characters(min_codepoint=0xDC80, max_codepoint=0xDCFF, categories=["Cs"])
).map(lambda text: text.encode("utf-8", "surrogateescape").decode("utf-8", "surrogateescape"))
specs = st.lists(encodable | st.sampled_from(["a", "b", "'", "\\", "disk = ['x']"]), max_size=5)
option_names = st.from_regex(r"[a-z][._0-9a-z]{0,8}", fullmatch=True).filter(
    lambda option: option not in ("name", "disk")
) | st.sampled_from(["vif", "memory", "kernel", "on_crash"])
scalars = encodable | st.integers(-(2**63), 2**63 - 1) | st.booleans()
values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=4), max_leaves=10)


def joined(parts: st.SearchStrategy[str], max_size: int | None = None) -> st.SearchStrategy[str]:
    return st.lists(parts, max_size=max_size).map("".join)


blanks = st.sampled_from(["", "", " ", "\t", "  "])
comments = st.sampled_from(["#", "# x", "# disk = ['x']", "#'", '# "]', "#]\r", "# \udcff[;"])
line_ends = st.builds("{}{}\n".format, blanks, st.just("") | comments)
gaps = st.sampled_from(["", " "]) | joined(blanks | line_ends, max_size=3)
escapes = st.sampled_from(["\\" + letter for letter in "\\'\"abfnrtv"])
string_parts = st.sampled_from([*"abx0=,;[]# \r\t\x01é\udcff", "disk=["]) | escapes
strings = joined(string_parts | st.just('"')).map("'{}'".format) | joined(
    string_parts | st.just("'")
).map('"{}"'.format)
written_scalars = strings | st.sampled_from(["0", "512", "0x1f", "1fx"])


def written_lists(items: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    padded = st.builds("{}{}{}".format, gaps, items, gaps)
    last = st.sampled_from(["", ","])
    body = st.builds(lambda parts, end: ",".join(parts) + end, st.lists(padded, min_size=1), last)
    return st.builds("[{}{}]".format, body | st.just(""), gaps)


flat_lists = written_lists(written_scalars)
OPTIONS = ["name", "vif", "disk.x", "d", "disks"]
statements = st.builds(
    "{}{}{}{}{}".format,
    st.sampled_from(OPTIONS),
    blanks,
    st.just("="),
    blanks,
    written_scalars | flat_lists | written_lists(written_scalars | flat_lists),
)
disk_statements = st.builds(
    "disk{}{}{}{}".format, blanks, st.sampled_from(["=", "+="]), blanks, flat_lists
)
separators = st.builds(
    "{}{}{}".format, blanks, st.sampled_from(["\n", ";", ";\n"]) | line_ends, gaps
)
configs = st.builds(
    "{}{}{}".format,
    gaps,
    joined(st.builds("{}{}".format, statements | disk_statements, separators), max_size=6),
    st.just("") | statements | disk_statements,
)
edits = st.tuples(
    st.integers(0, 200),
    st.integers(0, 3),
    st.sampled_from([*"'\"[],;=+#\n\\ \r@-a1é", "disk", "\\101"]),
)


@st.composite
def mutated(draw: st.DrawFn) -> str:
    text = draw(configs)
    for position, deleted, inserted in draw(st.lists(edits, min_size=1, max_size=3)):
        place = position % (len(text) + 1)
        text = text[:place] + inserted + text[place + deleted :]
    return text
