# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a guest ended, according to its console.

Xen knows only the reason that a guest gives when it shuts down. A unikernel that dies of an
exception powers off like one that has finished, so only its console shows the difference.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Optional, Pattern, Tuple

LINE_LENGTH = 4096
"""Characters of a line that are searched."""


@dataclass(frozen=True)
class Ending:
    """What a guest has printed about its end so far."""

    status: Optional[int] = None
    """The exit status, once it has printed one."""
    cause: Optional[str] = None
    """The first line that says why it died."""

    @property
    def failed(self) -> bool:
        """Whether it has printed that it failed. A status of 0 overrides an earlier cause."""
        return bool(self.cause) if self.status is None else self.status != 0

    def after(self, line: str) -> Ending:
        """This after one more line of the console, without control characters."""
        for rule in _RULES:
            found = rule.search(line[:LINE_LENGTH])
            if found and "status" in rule.groupindex:
                return replace(self, status=int(found["status"]))
            if found:
                return replace(self, cause=self.cause or found[0].strip())
        return self


# A rule with a group `status` matches a line with an exit status, any other rule a cause of death.
_RULES: Tuple[Pattern[str], ...] = (
    # Solo5, the base of MirageOS unikernels: bindings/exit.c. A poweroff for Xen unless
    # the status is 255 (bindings/xen/platform.c).
    re.compile(r"^Solo5: solo5_exit\((?P<status>-?[0-9]{1,10})\) called"),
    # Solo5: bindings/exit.c, bindings/abort.c, bindings/cpu_x86_64.c. A crash for Xen.
    re.compile(r"^Solo5: (?:solo5_abort\(\) called|ABORT: |trap: type=).*"),
    # OCaml: runtime/printexc.c and stdlib/printexc.ml. The program then exits with 2.
    re.compile(r"^Fatal error: exception .*"),
    # MirageOS on Mini-OS, before Solo5: _exit() in main.c.
    re.compile(r"^main returned (?P<status>-?[0-9]{1,10})$"),
    # Mini-OS: do_exit() in kernel.c. A crash for Xen; older MirageOS always ends this way.
    re.compile(r"^Do_exit called!"),
    # Unikraft: lib/ukboot/boot.c, after the time and the name of the library.
    re.compile(r"\bmain returned (?P<status>-?[0-9]{1,10}), halting system$"),
    # Unikraft: lib/ukdebug/crash.c, for traps and failed assertions.
    re.compile(r"\bUnikraft [Cc]rash - .*"),
    # Rumprun: main()'s value in lib/librumprun_base/rumprun.c, and _exit() of its C library.
    re.compile(r'^=== main\(\) of ".*" returned (?P<status>-?[0-9]{1,10}) ===$'),
    re.compile(r"^=== (?:ERROR: )?_exit\((?P<status>-?[0-9]{1,10})\) called ===$"),
    # Linux: kernel/panic.c, after the time if that is printed.
    re.compile(r"\bKernel panic - not syncing: .*"),
)
