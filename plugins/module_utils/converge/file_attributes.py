# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Owner, group, mode and SELinux context of a managed file, as steps of a plan.

Ansible's own code compares and sets them. It ends the module if it fails, and knows check mode
only for the module as a whole; here both are bent so that many files can share one plan.
"""

from __future__ import annotations

import os
import stat
import tempfile
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, Dict, Iterator, Mapping, Optional

from ansible_collections.xen.blockdev.plugins.module_utils.converge.plan import Action, Plan
from ansible_collections.xen.blockdev.plugins.module_utils.errors import BlockdevError

if TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule

OPTIONS: Dict[str, Dict[str, str]] = {
    "owner": {"type": "str"},
    "group": {"type": "str"},
    "mode": {"type": "raw"},
    "seuser": {"type": "str"},
    "serole": {"type": "str"},
    "setype": {"type": "str"},
    "selevel": {"type": "str"},
}
"""The options, as AnsibleModule's argument_spec takes them."""


def plan(module: AnsibleModule, options: Mapping[str, Any], path: Optional[str]) -> Plan:
    """The part of a plan that gives the file at ``path`` the attributes in ``options``; an empty
    part if there is no file or nothing to change.

    If the file does not exist yet, root will create it with mode 0600, as this collection creates
    every file, and with the group of a directory that passes its own on. Its SELinux context cannot
    be predicted. Raises BlockdevError for an unknown user, an invalid mode and the like.
    """
    wanted = {name: options[name] for name in OPTIONS if options.get(name) is not None}
    if not wanted or path is None:
        return Plan()
    diff: Dict[str, Dict[str, Any]] = {}
    if os.path.exists(path):
        differs = _set(module, wanted, path, diff=diff, check_mode=True)
    else:
        with tempfile.NamedTemporaryFile(dir=module.tmpdir) as fresh:
            os.chown(fresh.name, -1, _group_of_new(path))
            differs = _set(module, wanted, fresh.name, diff=diff, check_mode=True)
        differs |= module.selinux_enabled() and any(name.startswith("se") for name in wanted)
    if not differs:
        return Plan()
    names = ", ".join(f"{name} {value}" for name, value in wanted.items())
    return Plan(
        actions=[Action(f"set {names} on {path}", partial(_apply, module, wanted, path))],
        attributes=(diff.get("before", {}), diff.get("after", {})),
    )


def _group_of_new(path: str) -> int:
    """The group that a file at ``path`` will have: that of the directory that it is made in, or of
    the one above those that are made for it, if that has the set-group-ID bit (inode(7))."""
    directory = os.path.dirname(path)
    while not os.path.isdir(directory):
        directory = os.path.dirname(directory)
    status = os.stat(directory)
    return status.st_gid if status.st_mode & stat.S_ISGID else os.getegid()


def _apply(module: AnsibleModule, wanted: Mapping[str, Any], path: str) -> None:
    _set(module, wanted, path, check_mode=False)


def _set(
    module: AnsibleModule,
    wanted: Mapping[str, Any],
    path: str,
    *,
    check_mode: bool,
    diff: Any = None,
) -> bool:
    """Let Ansible set the attributes, or in check mode say whether it would change any."""
    with _as_one_step(module, check_mode):
        arguments = module.load_file_common_arguments(wanted, path=path)
        return bool(module.set_fs_attributes_if_different(arguments, False, diff=diff))


@contextmanager
def _as_one_step(module: AnsibleModule, check_mode: bool) -> Iterator[None]:
    """Let ``fail_json`` raise instead of ending the module, under a check mode of our choice."""

    def fail(msg: str, **_details: Any) -> None:
        raise BlockdevError(msg)

    before = module.fail_json, module.check_mode
    module.fail_json, module.check_mode = fail, check_mode
    try:
        yield
    finally:
        module.fail_json, module.check_mode = before
