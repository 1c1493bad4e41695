#!/usr/bin/python
# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: xen_console
short_description: Unpause domains and follow their consoles
version_added: 1.0.0
author: xen.blockdev authors (!UNKNOWN)
description:
  - Unpauses domains and follows their consoles from the first byte, until a text appears, the guest ends or the
    timeout expires. Any number of consoles are followed at once.
  - The way a guest ends is part of the verdict, whatever it printed before. If the guest prints an exit status other
    than 0, that counts as a crash, although Xen sees an ordinary poweroff. The module knows such lines of Solo5
    (MirageOS), OCaml, Mini-OS, Unikraft, rumprun and Linux.
  - Returns a verdict on each guest, and fails only if a guest could not be followed at all. To fail the play because
    of a bad verdict, use a later task, after everything has been cleaned up.
extends_documentation_fragment:
  - xen.blockdev.attributes
  - xen.blockdev.pending
attributes:
  idempotent:
    support: none
    description:
      - It is an error if a domain is already running, because its first output would be missed.
options:
  domains:
    description:
      - List of domains and the text that each should print. Mutually exclusive with O(name) and O(log).
      - The elements have the options of the module. If an element omits an option, the module's option of that name
        applies.
      - If one domain cannot be followed, the module fails before it unpauses any of them.
    type: list
    elements: dict
    suboptions:
      name: {description: See O(name)., type: str, required: true}
      expect: {description: See O(expect)., type: str}
      fail: {description: See O(fail)., type: str}
      timeout: {description: See O(timeout)., type: float}
      log: {description: See O(log)., type: path}
  name:
    description:
      - Name of the domain, as in its config. Required unless O(domains) is given.
      - The domain must be paused, see O(xen.blockdev.xen_domain#module:paused). The first output of a domain that is
        already running may be lost.
    type: str
  expect:
    description:
      - Python regular expression for the text that the guest should print. C(^) and C($) match at the start and the
        end of each line.
      - Terminal escape sequences and carriage returns are removed before the text is searched.
      - If the guest still runs after it printed the text, it is followed for 2 s more. If it prints in that time that
        it failed, the verdict is V(crashed). To expect a guest to fail, use the line that shows it, such as
        V(solo5_exit.2. called).
      - Without it, the guest is expected to end by itself. A crash looks the same if the config of the domain does not
        set C(on_crash = 'preserve'), because C(xl) then removes the domain.
    type: str
  fail:
    description:
      - Regular expression for text that means failure. Of this and O(expect), the first to appear counts.
    type: str
  timeout:
    description:
      - Seconds until the guest must have printed the text or ended, counted from when it is unpaused.
    type: float
    default: 60
  log:
    description:
      - Path of a new file on the managed host for the unchanged output of the guest, up to 64 MiB. Its mode is
        V(0600). It is an error if the file exists.
    type: path
notes:
  - A match can be up to 16384 characters long.
  - If the config of a domain sets C(on_poweroff = 'preserve') and so on, the domain stays after its guest has ended,
    and its console is read until it has been silent for 2 s. Otherwise the domain disappears with the output that
    was not read yet, which may be all of it if the guest ends at once. If C(xenconsoled) runs with C(--log=guest)
    and without timestamps, the missing output is taken from its log.
  - The module does not end the domain. Use M(xen.blockdev.xen_domain) for that.
seealso:
  - module: xen.blockdev.xen_domain
"""

EXAMPLES = r"""
- name: Start a unikernel paused
  xen.blockdev.xen_domain:
    name: hello
    config: /srv/mirage/hello.xl
    paused: true

- name: Unpause it and wait for the expected text
  xen.blockdev.xen_console:
    name: hello
    expect: '^all [0-9]+ tests passed$'
    fail: 'FAILED|Fatal error'
    timeout: 30
    log: /srv/mirage/hello.log
  register: hello

- name: Destroy it
  xen.blockdev.xen_domain:
    name: hello
    state: destroyed

- name: Fail unless it passed
  ansible.builtin.assert:
    that: hello.domains[0].passed
    fail_msg: "{{ hello.domains[0].reason }}: {{ hello.domains[0].tail | join('\n') }}"
"""

RETURN = r"""
domains:
  description:
    - The domains in the given order; a list even for a single domain.
  returned: always
  type: list
  elements: dict
  contains:
    name: {description: Name of the domain., type: str, returned: always, sample: hello}
    domid: {description: Id of the domain., type: int, returned: when the domain exists, sample: 3}
    verdict:
      description:
        - V(expected) if O(expect) matched first, V(unwanted) if O(fail) did.
        - V(ended) if the guest ended by itself before either matched.
        - V(crashed) if it crashed, or printed that it failed.
        - V(timeout) if none of this happened in time.
        - V(lost) if its console could no longer be read.
      type: str
      returned: when it was followed
      sample: expected
    passed: {description: Whether the guest passed., type: bool, returned: when it was followed, sample: true}
    reason:
      description: The verdict as a sentence, with the exit status and the line of the exception if there are any.
      type: str
      returned: when it was followed
      sample: "it printed the expected text: 'all 3 tests passed'"
    seconds:
      description: Seconds from when the domain was unpaused to the verdict.
      type: float
      returned: when it was followed
      sample: 0.8
    tail:
      description: The last lines of its output, at most 20.
      type: list
      elements: str
      returned: when it was followed
      sample: ["reading /data/hello", "all 3 tests passed"]
    changed: {description: Whether the domain was unpaused., type: bool, returned: always, sample: true}
    actions:
      description: The actions that were done or, in check mode, would be.
      type: list
      elements: str
      returned: always
      sample: ["unpause domain hello and follow its console"]
    msg:
      description: The error of this item.
      type: str
      returned: when it failed
      sample: >-
        cannot unpause domain hello and follow its console: there is no such domain; start it first (xen_domain,
        paused: true)
pending:
  description:
    - In check mode, the entries of RV(domains) that would change, under that name. Otherwise empty.
    - Later tasks take it as O(pending). Merge several with C(combine).
  returned: when the items could be planned
  type: dict
  sample: {}
  version_added: 1.1.0
"""

from ansible_collections.xen.blockdev.plugins.module_utils.converge.run import (
    Interface,
    converge,
)
from ansible_collections.xen.blockdev.plugins.module_utils.resources.console import (
    ConsoleItem,
    open_consoles,
)

INTERFACE = Interface(
    items="domains",
    identity=("name",),
    own=("log",),
    read=ConsoleItem.read,
    options={
        "name": {"type": "str"},
        "expect": {"type": "str"},
        "fail": {"type": "str"},
        "timeout": {"type": "float", "default": 60},
        "log": {"type": "path"},
    },
)


def main() -> None:
    converge(INTERFACE, open_consoles)


if __name__ == "__main__":
    main()
