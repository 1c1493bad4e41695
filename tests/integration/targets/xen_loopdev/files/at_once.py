# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run modules at the same time, and commands beside them.

Standard input has ``runs``, each a module's name and its options, and ``commands``, each a list of
words. Prints what each prints, as lists of the same names. Nothing begins before all are ready.
"""

import importlib
import json
import os
import subprocess
import sys
import traceback

from ansible.module_utils import basic

MODULES = "ansible_collections.xen.blockdev.plugins.modules."


def main():
    wanted = json.load(sys.stdin)
    modules = {name: importlib.import_module(MODULES + name) for name, _options in wanted["runs"]}
    jobs = {
        "runs": [(run_module, modules[name], options) for name, options in wanted["runs"]],
        "commands": [(subprocess.call, command) for command in wanted["commands"]],
    }
    gate, opener = os.pipe()
    children = {kind: [start(gate, opener, job) for job in jobs[kind]] for kind in jobs}
    os.close(opener)
    print(json.dumps({kind: list(map(finish, children[kind])) for kind in children}))


def start(gate, opener, job):
    """A child that begins when the gate is opened, by closing it; its pid and its output."""
    output = os.memfd_create("output")
    pid = os.fork()
    if pid:
        return pid, output
    os.close(opener)
    os.read(gate, 1)
    os.dup2(output, 1)
    os.dup2(output, 2)
    function, *arguments = job
    try:
        function(*arguments)
    except Exception:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(0)


def run_module(module, options):
    basic._ANSIBLE_ARGS = json.dumps({"ANSIBLE_MODULE_ARGS": options}).encode()
    basic._ANSIBLE_PROFILE = "legacy"
    module.main()


def finish(child):
    pid, output = child
    os.waitpid(pid, 0)
    os.lseek(output, 0, os.SEEK_SET)
    with open(output, encoding="utf-8") as printed:
        return printed.read()


if __name__ == "__main__":
    main()
