# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs a module in a process that is forked from one which has read the module's code already.

What the module does on the host is the same as if Ansible ran it. What Ansible does before that, on
the controller and to get there, is not tried like this; the playbooks do that.
"""

from __future__ import annotations

import importlib
import os
import sys
import tempfile
import traceback
from typing import Any, Callable, Dict, NoReturn, Tuple

from ansible.module_utils.testing import patch_module_args

MODULES = "ansible_collections.xen.blockdev.plugins.modules"


def start(
    module: str,
    options: Dict[str, Any],
    check: bool,
    prepare: Callable[[], None],
    finish: Callable[[], None] = lambda: None,
) -> Tuple[int, int]:
    """Start a module: its process id, and the pipe from which all that it says can be read.

    C(prepare): what the process does right before it begins. C(finish): and right before it ends.
    """
    main = importlib.import_module(f"{MODULES}.{module}").main
    reads, writes = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reads)
        internal = {"_ansible_check_mode": check, "_ansible_tmpdir": tempfile.gettempdir()}
        _run(main, writes, prepare, finish, {**options, **internal})
    os.close(writes)
    return child, reads


def _run(
    main: Callable[[], None],
    output: int,
    prepare: Callable[[], None],
    finish: Callable[[], None],
    params: Any,
) -> NoReturn:
    """The life of the process that is a module."""
    try:
        os.dup2(output, 1)
        os.dup2(output, 2)
        sys.stdout = os.fdopen(1, "w", closefd=False)
        sys.stderr = os.fdopen(2, "w", closefd=False)
        with patch_module_args(params):
            prepare()
            main()
    except SystemExit:
        pass
    except BaseException:  # whatever it is, it is the module's end and not ours
        traceback.print_exc(file=sys.stdout)
    finally:
        finish()
        sys.stdout.flush()
        os._exit(0)
