# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sphinx's configuration of the documentation site, which docs/site/build makes."""

from __future__ import annotations

import re
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx

project = "xen.blockdev"
project_copyright = "2026 The xen.blockdev authors"
html_title = "xen.blockdev"
html_short_title = "xen.blockdev"

extensions = ["sphinx_antsibull_ext"]
nitpicky = True
default_role = "any"
highlight_language = "YAML+Jinja"
pygments_style = "ansible"

html_theme = "sphinx_ansible_theme"
html_theme_options = {
    "show_extranav": False,
    "show_rtd_ethical_ads": False,
    "topbar_links": {"Repository": "https://github.com/xen-blockdev/xen.blockdev"},
}
html_static_path = ["static"]
html_css_files = ["site.css"]
html_use_index = False
html_copy_source = False
html_show_sphinx = False

ANSIBLE = "https://docs.ansible.com/ansible/latest/"
ANSIBLE_PAGES = {
    "action_plugins": "plugins/action.html",
    "ansible_configuration_settings": "reference_appendices/config.html",
    "common_return_values": "reference_appendices/common_return_values.html",
}
BUILTIN = re.compile(r"ansible_collections\.ansible\.builtin\.(?P<page>[a-z0-9_]+)")


def lead_to_ansible(
    _app: Sphinx, _env: Any, reference: nodes.Element, text: nodes.Element
) -> nodes.Node | None:
    """Have references to Ansible's own pages lead there, without asking its site for a list."""
    label = reference.get("reftarget", "")
    builtin = BUILTIN.match(label)
    page = f"collections/ansible/builtin/{builtin['page']}.html" if builtin else None
    page = ANSIBLE_PAGES.get(label, page)
    if page is None:
        return None
    return nodes.reference("", "", text, internal=False, refuri=ANSIBLE + page)


def lead_home(
    _app: Sphinx, _page: str, _template: str, context: dict[str, Any], _tree: nodes.document | None
) -> None:
    """Have the title of every page, which the theme wants as one URL, lead to the first one."""
    context["theme_documentation_home_url"] = context["pathto"]("index")


def setup(app: Sphinx) -> None:
    """Called by Sphinx."""
    app.connect("missing-reference", lead_to_ansible)
    app.connect("html-page-context", lead_home)
