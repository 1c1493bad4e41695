#!/usr/bin/python
# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: xen_console
short_description: Let paused domains run and follow their consoles
version_added: 1.0.0
author: xen.blockdev authors (!UNKNOWN)
description:
  - Unpauses domains and follows their consoles from the first byte, until a text appears, the guest ends or the
    time is up. Any number of them are followed at once.
  - How a guest ends is part of the verdict, whatever it has printed before. An exit status other than 0 that it prints
    counts as a crash, because for Xen it is an ordinary poweroff. Such lines of Solo5 (MirageOS), OCaml, Mini-OS,
    Unikraft, rumprun and Linux are known.
  - It tells how each guest did, and fails only where a guest could not be followed at all. Whether one that did
    badly is to fail the play is for a later task to say, when everything has been put away.
extends_documentation_fragment:
  - xen.blockdev.attributes
  - xen.blockdev.pending
attributes:
  idempotent:
    support: none
    description:
      - A domain that runs already is an error, because the beginning of its console would be missed.
options:
  domains:
    description:
      - The domains and what is expected of them, as a list. Mutually exclusive with O(name) and O(log).
      - An element's options are those of the module. What an element leaves out is taken from the option of
        that name beside the list.
      - If one domain cannot be followed as wanted, the module fails before it lets any run.
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
      - The domain, by the name in its config. Required unless O(domains) is given.
      - It must be paused, see O(xen.blockdev.xen_domain#module:paused). What one that runs already has printed
        might be lost.
    type: str
  expect:
    description:
      - A regular expression of Python for the text that the guest is to print. C(^) and C($) stand for the
        beginning and the end of each line.
      - What moves a terminal's cursor or colours its text is taken out before, and a carriage return as well.
      - A guest that has printed it and still runs is followed for 2 s more. If it says in that time that it dies, the
        verdict is V(crashed). A guest that is to end so is expected by the line that tells its end, such as
        V(solo5_exit.2. called).
      - Without it, the guest is expected to end by itself. A domain whose config does not say
        C(on_crash = 'preserve') is taken away by C(xl) when it crashes, which looks the same.
    type: str
  fail:
    description:
      - A regular expression for a text that means failure. What appears first counts.
    type: str
  timeout:
    description:
      - How long a guest has for all of it, in seconds.
    type: float
    default: 60
  log:
    description:
      - A new file on the managed host for all that the guest prints, byte for byte, up to 64 MiB. It has mode
        V(0600). It is an error if there is such a file already.
    type: path
notes:
  - A match is looked for in what appears at once, up to 16384 characters.
  - With C(on_poweroff = 'preserve') and so on in its config, a domain stays when its guest has ended, and its console is
    read until nothing has come for 2 s. Otherwise the domain takes with it what was still in its console. If the
    guest ends at once, that may be all that it has printed. What C(xenconsoled) has logged completes it, if it
    runs with C(--log=guest) and without timestamps.
  - The guest is left as it is in the end. See M(xen.blockdev.xen_domain) for how to end it.
seealso:
  - module: xen.blockdev.xen_domain
"""

EXAMPLES = r"""
- name: Start a unikernel, but let it wait
  xen.blockdev.xen_domain:
    name: hello
    config: /srv/mirage/hello.xl
    paused: true

- name: Let it run until it has said what it should
  xen.blockdev.xen_console:
    name: hello
    expect: '^all [0-9]+ tests passed$'
    fail: 'FAILED|Fatal error'
    timeout: 30
    log: /srv/mirage/hello.log
  register: hello

- name: End it in any case
  xen.blockdev.xen_domain:
    name: hello
    state: destroyed

- name: Say how it did
  ansible.builtin.assert:
    that: hello.domains[0].passed
    fail_msg: "{{ hello.domains[0].reason }}: {{ hello.domains[0].tail | join('\n') }}"
"""

RETURN = r"""
domains:
  description:
    - The domains in the order in which they were given, in a list even for one domain.
  returned: always
  type: list
  elements: dict
  contains:
    name: {description: The domain., type: str, returned: always, sample: hello}
    domid: {description: Id of the domain., type: int, returned: when there is such a domain, sample: 3}
    verdict:
      description:
        - V(expected) when O(expect) appeared first, V(unwanted) when O(fail) did.
        - V(ended) when the guest has ended by itself before.
        - V(crashed) when it has crashed, or has said that it ends badly.
        - V(timeout) when none of this happened in time.
        - V(lost) when its console could not be read any more.
      type: str
      returned: when it was followed
      sample: expected
    passed: {description: Whether the guest did as expected., type: bool, returned: when it was followed, sample: true}
    reason:
      description: The verdict as a sentence, with the exit status and the line of the exception if there are any.
      type: str
      returned: when it was followed
      sample: "it printed what was expected: 'all 3 tests passed'"
    seconds:
      description: How long it took from the moment when the guest was let run.
      type: float
      returned: when it was followed
      sample: 0.8
    tail:
      description: The last lines that it printed, at most 20.
      type: list
      elements: str
      returned: when it was followed
      sample: ["reading /data/hello", "all 3 tests passed"]
    changed: {description: Whether the domain was let run., type: bool, returned: always, sample: true}
    actions:
      description: What was done or, in check mode, would be done.
      type: list
      elements: str
      returned: always
      sample: ["let domain hello run and follow its console"]
    msg:
      description: What went wrong with this item.
      type: str
      returned: when it failed
      sample: >-
        cannot let domain hello run and follow its console: there is no such domain; start it first (xen_domain,
        paused: true)
pending:
  description:
    - In check mode, the entries of RV(domains) that would change, under that name. Otherwise empty.
    - Later tasks take it as O(pending). Several are merged by C(combine).
  returned: when the items could be looked at
  type: dict
  sample: {}
  version_added: 1.1.0
"""

from ansible_collections.xen.blockdev.plugins.module_utils.converge.module import (
    Interface,
    converge,
)
from ansible_collections.xen.blockdev.plugins.module_utils.resources.console import open_consoles

INTERFACE = Interface(
    items="domains",
    identity=("name",),
    own=("log",),
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
