# SPDX-FileCopyrightText: bulkhead.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""How Sphinx makes the documentation site out of what antsibull-docs writes; .ci/docs runs both.

The build reads nothing from the network: what is documented on Ansible's own site is named here, and everything else must
be on this one, or the build fails.
"""

from __future__ import annotations

import re

from docutils import nodes

ANSIBLE = "https://docs.ansible.com/projects/ansible/latest/"
# Labels of Ansible's documentation that antsibull-docs refers to, and their pages.
LABELS = {
    "common_return_values": "reference_appendices/common_return_values.html",
    "ansible_configuration_settings": "reference_appendices/config.html",
}
BUILTIN = re.compile(r"ansible_collections\.ansible\.builtin\.(\w+_\w+)")
# Variables that Ansible itself reads, and not this collection.
VARIABLE = re.compile(r"ANSIBLE_(?!BULKHEAD_)\w+")

project = "bulkhead.linux"
copyright = "bulkhead.linux contributors"
extensions = ["sphinx_antsibull_ext"]
nitpicky = True
default_role = "any"
highlight_language = "YAML+Jinja"
pygments_style = "ansible"
smartquotes = False
html_title = project
html_theme = "alabaster"
html_theme_options = {"description": "Isolation with nothing but the kernel", "page_width": "1200px", "fixed_sidebar": True}
html_sidebars = {"**": ["about.html", "searchfield.html", "navigation.html"]}
html_copy_source = False
html_show_sphinx = False
html_use_index = False


def of_ansible(_app, _env, node, contents):
    """A link to Ansible's own documentation for what is documented there, None for what is missing."""
    target = node["reftarget"].partition("__")[0]  # of an option or a value, the page
    module = BUILTIN.fullmatch(target)
    page = "collections/ansible/builtin/%s.html" % module.group(1) if module else LABELS.get(target)
    if node["reftype"] == "envvar" and VARIABLE.fullmatch(target):
        page = "reference_appendices/config.html#envvar-" + target
    if page is None:
        return None
    link = nodes.reference("", "", internal=False, refuri=ANSIBLE + page)
    link += contents
    return link


def setup(app):
    app.connect("missing-reference", of_ansible)
    return {"parallel_read_safe": True}
