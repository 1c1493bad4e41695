# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Has a module refuse inputs: each is tried in check mode and without it, in a process of its own.

Standard input has ``module``, its name, and ``cases``, each with ``options``, what the module gets,
and ``message``, a part of the error. Prints what was not refused as expected, and fails if there is
such a case. The processes are forked, so that Python reads the module only once.
"""

import importlib
import json
import os
import sys

from ansible_collections.xen.blockdev.tests import module_process

COVERAGE = json.loads(os.environ.get("_ANSIBLE_ANSIBALLZ_COVERAGE_CONFIG", "{}"))
"""Where ansible-test has the lines counted that run: its configuration, and the output."""


def main():
    wanted = json.load(sys.stdin)
    cases = [(case, check) for case in wanted["cases"] for check in (True, False)]
    faults = list(filter(None, (fault(wanted["module"], *case) for case in cases)))
    print("\n".join(faults) or f"{len(cases)} times refused")
    sys.exit(1 if faults else 0)


def fault(module, case, check):
    """What is wrong with the refusal, None if nothing is."""
    said = run(module, case["options"], check)
    try:
        result = json.loads(said)
    except ValueError:
        result = {}
    did = result.get("changed") or result.get("actions")
    if result.get("failed") and case["message"] in result["msg"] and not did:
        return None
    mode = "in check mode" if check else "without check mode"
    return f"{json.dumps(case['options'])}, {mode}: no {case['message']!r} in what it said: {said}"


def run(module, options, check):
    """All that the module says."""
    measuring = Measuring()
    child, reads = module_process.start(module, options, check, measuring.begin, measuring.end)
    with open(reads, encoding="utf-8") as pipe:
        said = pipe.read()
    os.waitpid(child, 0)
    return said


class Measuring:
    """Counts the lines that run, as Ansible does for ansible-test in the processes of modules."""

    coverage = None

    def begin(self):
        if COVERAGE.get("output"):
            coverage = importlib.import_module("coverage")  # it is not installed everywhere
            version = ".".join(map(str, sys.version_info[:2]))
            os.environ["COVERAGE_FILE"] = f"{COVERAGE['output']}=python-{version}=coverage"
            self.coverage = coverage.Coverage(config_file=COVERAGE["config"])
            self.coverage.start()

    def end(self):
        if self.coverage:
            self.coverage.stop()
            self.coverage.save()


if __name__ == "__main__":
    main()
