# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an audit gets of each host: its survey, the slots that ``xen_domains`` plans, and which
findings are accepted there.

Reading makes plain values of each host's variables first. These hold no passwords, and one process
can make a text of them for each host while others do the same for theirs.
"""

from __future__ import annotations

import difflib
import json
from dataclasses import asdict, dataclass, replace
from fnmatch import fnmatchcase
from typing import Any, Dict, Iterator, List, Mapping, Optional, Sequence, Tuple

from ansible_collections.xen.blockdev.plugins.module_utils.audit.codes import CODES
from ansible_collections.xen.blockdev.plugins.module_utils.audit.report import (
    AuditFinding,
    FindingPlace,
)
from ansible_collections.xen.blockdev.plugins.module_utils.config.text import CONFIG_DIR
from ansible_collections.xen.blockdev.plugins.module_utils.errors import BlockdevError, type_name
from ansible_collections.xen.blockdev.plugins.module_utils.inventory import disk_plan
from ansible_collections.xen.blockdev.plugins.module_utils.survey.model import Survey
from ansible_collections.xen.blockdev.plugins.module_utils.survey.record import (
    SurveyError,
    survey_of,
)

READ, UNREACHABLE, FAILED = "read", "unreachable", "failed"

_PLACES = ("host", "domain", "slot", "path")
_KEYS = ("code", *_PLACES, "reason")


class AuditInputError(BlockdevError):
    """A variable of the audit that cannot be right, or a state that is none."""


@dataclass(frozen=True)
class Acceptance:
    """A finding that the user accepts. A key that is None accepts any."""

    code: str
    reason: str
    host: Optional[str] = None
    domain: Optional[str] = None
    slot: Optional[str] = None
    path: Optional[str] = None

    def accepts(self, found: AuditFinding) -> bool:
        """Whether it is of this finding, in any of its places."""
        return found.code == self.code and any(
            self._is_at(place) for place in (found.place, *found.others)
        )

    def _is_at(self, place: FindingPlace) -> bool:
        return all(
            wanted is None or fnmatchcase(getattr(place, key) or "", wanted)
            for key, wanted in self.places.items()
        )

    @property
    def places(self) -> Dict[str, Optional[str]]:
        """What it says of the place, by key."""
        return {key: getattr(self, key) for key in _PLACES}

    @property
    def words(self) -> str:
        """For a message: ``two-writers (domain: web, slot: xvda)``."""
        said = [f"{key}: {value}" for key, value in self.places.items() if value is not None]
        return f"{self.code} ({', '.join(said)})"


@dataclass(frozen=True)
class PlannedSlot:
    """A disk of ``xen_domains``."""

    domain: str
    name: str
    vdev: str
    xenstore_key: int
    data: str
    """The path of its image, or its target."""


@dataclass(frozen=True)
class HostState:
    """A host as the audit gets it."""

    name: str
    """In the inventory."""
    status: str
    """See report.AuditedHost."""
    survey: Optional[Survey] = None
    error: Optional[str] = None
    """Why there is no survey."""
    planned: Tuple[PlannedSlot, ...] = ()
    plan_problem: Optional[str] = None
    """Why ``xen_domains`` cannot be read."""
    accepted: Tuple[Acceptance, ...] = ()


# ---- on the way from a host: a text for each ----


def host_text(
    info: object,
    domains: object = None,
    images_dir: str = disk_plan.IMAGES_DIR,
    config_dir: str = CONFIG_DIR,
    accepted: object = None,
) -> str:
    """What ``host_state`` reads, as JSON.

    ``info``: the result of xen_disks_info as a task has registered it. ``domains``, ``images_dir``,
    ``config_dir``: as disk_plan.plan takes them; None for a host without a plan. ``accepted``: the
    variable xen_audit_accepted. Raises AuditInputError.
    """
    planned, problem = _planned(domains, images_dir, config_dir)
    state = {
        **_survey_in(info),
        "planned": [asdict(one) for one in planned],
        "plan_problem": problem,
        "accepted": [asdict(one) for one in _acceptances(accepted)],
    }
    return json.dumps(state, separators=(",", ":"))


def _survey_in(info: object) -> Dict[str, Any]:
    if not isinstance(info, Mapping):
        raise AuditInputError(f"info must be the result of xen_disks_info, not {type_name(info)}")
    if "host" in info:
        return {"status": READ, "survey": info["host"], "error": None}
    status = UNREACHABLE if info.get("unreachable") else FAILED
    return {"status": status, "survey": None, "error": str(info.get("msg", "it gave no result"))}


def _planned(
    domains: object, images_dir: str, config_dir: str
) -> Tuple[List[PlannedSlot], Optional[str]]:
    if domains is None:
        return [], None
    reading = disk_plan.read(domains, images_dir, config_dir)
    if reading.problems:
        return [], "; ".join(reading.problems)
    return [
        PlannedSlot(domain.name, disk.name, disk.vdev, disk.slot.xenstore_key, disk.storage)
        for domain in reading.domains
        for disk in domain.present
        if disk.storage is not None and not disk.is_cd
    ], None


def _acceptances(written: object) -> Iterator[Acceptance]:
    if written is None:
        return
    if not isinstance(written, Sequence) or isinstance(written, str):
        raise AuditInputError(f"xen_audit_accepted must be a list, not {type_name(written)}")
    for number, one in enumerate(written):
        yield _acceptance(f"xen_audit_accepted[{number}]", one)


def _acceptance(place: str, written: object) -> Acceptance:
    if not isinstance(written, Mapping):
        raise AuditInputError(f"{place} must be a mapping of {', '.join(_KEYS)}")
    for key, value in written.items():
        if key not in _KEYS:
            raise AuditInputError(
                f"{place}: {key!r:.80} is not a key: accepted are {', '.join(_KEYS)}"
            )
        if not isinstance(value, str):
            raise AuditInputError(f"{place}: {key} must be text, not {type_name(value)}")
    if written.get("code") not in CODES:
        near = difflib.get_close_matches(str(written.get("code")), CODES, n=1)
        hint = f"did you mean {near[0]}?" if near else "use that of the finding in the report"
        raise AuditInputError(
            f"{place}: {written.get('code')!r:.80} is not the code of a finding: {hint}"
        )
    if not written.get("reason"):
        raise AuditInputError(f"{place}: say why, as reason: who reads the report must know")
    if not any(written.get(key) for key in _PLACES):
        raise AuditInputError(
            f"{place}: say where, by at least one of {', '.join(_PLACES)}, as the finding has it"
        )
    return Acceptance(**{str(key): str(value) for key, value in written.items()})


# ---- and back ----


def host_state(name: str, text: object) -> HostState:
    """The state of the host ``name`` that ``host_text`` made a text of.

    Raises AuditInputError if it is none. A survey that cannot be used makes the host a failed one.
    """
    if not isinstance(text, str):
        raise AuditInputError(f"host {name}: its state must be a text, not {type_name(text)}")
    try:
        state = json.loads(text)
        known = HostState(
            name=name,
            status=state["status"],
            error=state["error"],
            planned=tuple(PlannedSlot(**one) for one in state["planned"]),
            plan_problem=state["plan_problem"],
            accepted=tuple(Acceptance(**one) for one in state["accepted"]),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise AuditInputError(
            f"host {name}: its state is not one that audit_host has made ({error!r:.200})"
        ) from error
    if known.status != READ:
        return known
    try:
        return replace(known, survey=survey_of(state["survey"]))
    except SurveyError as error:
        return replace(known, status=FAILED, error=str(error))
