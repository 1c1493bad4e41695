# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The template of the audit's page escapes all that it writes, and its script makes no markup."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from jinja2 import Environment, nodes

TEMPLATES = Path(__file__).parents[2] / "roles/audit/templates"
TEMPLATE = (TEMPLATES / "xen-audit.html.j2").read_text()
SCRIPT = (TEMPLATES / "xen-audit.js").read_text()
STYLE = (TEMPLATES / "xen-audit.css").read_text()

UNESCAPED = {"style", "script", "page.data", "host.data"}
"""Text of elements in which nothing is escaped: our own files, and JSON that page_text.script_data
has made fit for that."""

MACROS = {"icon", "mark", "link", "finding_group"}


def parsed() -> nodes.Template:
    return Environment(autoescape=False).parse(TEMPLATE)


def written() -> list[nodes.Expr]:
    """The expressions whose values the template writes."""
    outputs = parsed().find_all(nodes.Output)
    return [
        one for output in outputs for one in output.nodes if not isinstance(one, nodes.TemplateData)
    ]


def in_words(expression: nodes.Expr) -> str:
    if isinstance(expression, nodes.Getattr):
        return f"{in_words(expression.node)}.{expression.attr}"
    return expression.name if isinstance(expression, nodes.Name) else type(expression).__name__


def is_safe(expression: nodes.Expr) -> bool:
    if isinstance(expression, nodes.Filter):
        return expression.name == "e"
    if isinstance(expression, nodes.Call):
        return in_words(expression.node) in MACROS
    return in_words(expression) in UNESCAPED


def test_each_expression_is_escaped_at_its_end() -> None:
    expressions = written()
    assert len(expressions) > 60
    assert [one for one in expressions if not is_safe(one)] == []


def test_what_is_written_without_that_is_the_text_of_scripts_and_of_the_style() -> None:
    for name in UNESCAPED:
        places = re.findall(rf"(<[^<>]*>)\{{\{{ {re.escape(name)} \}}\}}(</\w+>)", TEMPLATE)
        assert places
        for start, end in places:
            assert start.startswith(("<script", "<style")) and end in ("</script>", "</style>")


def test_each_value_of_an_attribute_is_in_quotes() -> None:
    assert re.findall(r"=\s*\{[{%]", TEMPLATE) == []
    assert "'{{" not in TEMPLATE


@pytest.mark.parametrize(
    "word",
    [
        *("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "createContextual"),
        *("eval(", "Function(", "javascript:", "fetch(", "XMLHttpRequest", "import(", "http:"),
        *("localStorage", "sessionStorage", "cookie", "</", "<!--"),
    ],
)
def test_the_script_does_nothing_of_which_the_policy_protects(word: str) -> None:
    assert word not in SCRIPT.replace('"http://www.w3.org/2000/svg"', "")


def test_the_style_asks_no_network() -> None:
    assert "</" not in STYLE
    assert "@import" not in STYLE
    assert set(re.findall(r"url\((.).", STYLE)) == {"#"}


def test_the_template_asks_no_network() -> None:
    assert re.findall(r"(?:src|action|formaction|srcset|poster|background)=", TEMPLATE) == []
    assert set(re.findall(r'\bhref="(.)', TEMPLATE)) == {"#", "d"}
    assert re.findall(r'\bhref="(d[^"]*)', TEMPLATE) == ["data:,"]
    assert re.findall(r"\bon\w+=|style=", TEMPLATE) == []
