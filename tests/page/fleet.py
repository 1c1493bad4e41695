# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reports of many hosts, made of the hosts of one: `fleet.py HOSTS GUESTS > report.json`.

Each host is one of the recorded ones with new names, and so is each of its guests, with its disks
and their findings. Most guests are sound: their findings are left out.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import re
import sys
from pathlib import Path
from typing import Any, Dict, Iterator, List

RECORDED = Path(__file__).with_name("report.json")
FLAWED = 7
"""One guest in so many keeps its findings."""


def recorded() -> Dict[str, Any]:
    """The report of a few hosts that has most findings."""
    report: Dict[str, Any] = json.loads(RECORDED.read_text())
    return report


def fleet(hosts: int, guests: int) -> Dict[str, Any]:
    """The report of so many hosts with so many guests each."""
    report = recorded()
    models = [host for host in report["hosts"] if host["status"] == "read"]
    known = {one["id"]: one for one in (*report["findings"], *report["accepted"])}
    made = [_host(models[n % len(models)], f"xen{n + 1:02}", guests, known) for n in range(hosts)]
    found = [one for host in made for one in host.pop("found")]
    order = [one["id"] for one in report["findings"]]
    found.sort(key=lambda one: order.index(one.pop("model")) if one["reason"] is None else -1)
    report["hosts"] = [*made, *(host for host in report["hosts"] if host["status"] != "read")]
    report["findings"] = [one for one in found if one["reason"] is None]
    report["accepted"] = [one for one in found if one["reason"] is not None]
    report["findings"] += [one for one in known.values() if one["code"] == "host-unread"]
    report["totals"] = {key: sum(host["totals"][key] for host in made) for key in report["totals"]}
    report["counts"] = _counts([*report["findings"], *report["accepted"]])
    return report


def _host(model: Dict[str, Any], name: str, guests: int, known: Dict[str, Any]) -> Dict[str, Any]:
    numbers = itertools.count()
    parts = [
        _guest(model, domain, f"{domain['name']}-{n:03}", name, known, numbers, n % FLAWED == 0)
        for n, domain in zip(range(guests), itertools.cycle(model["domains"]))
    ]
    own = [one for one in known.values() if _is_about(one, model["name"], None)]
    text = json.dumps({"host": {**model, "domains": [], "disks": []}, "found": own})
    made = _renamed(text, {model["name"]: name}, name)
    host = made["host"]
    for part in [made, *parts]:
        host.setdefault("found", []).extend(part["found"])
    host["domains"] = [part["domain"] for part in parts]
    host["disks"] = [disk for part in parts for disk in part["disks"]]
    host["counts"] = _counts(host["found"])
    host["totals"] = {
        **host["totals"],
        "domains": guests,
        "running": sum(domain["domid"] is not None for domain in host["domains"]),
        "disks": len(host["disks"]),
        "attached": sum(disk["guest"] is not None for disk in host["disks"]),
        "size": sum((disk["storage"] or {}).get("size") or 0 for disk in host["disks"]),
    }
    return host


def _guest(
    model: Dict[str, Any],
    domain: Dict[str, Any],
    name: str,
    host: str,
    known: Dict[str, Any],
    numbers: Iterator[int],
    is_flawed: bool,
) -> Dict[str, Any]:
    disks = [disk for disk in model["disks"] if disk["domain"] == domain["name"]]
    found = [one for one in known.values() if _is_about(one, model["name"], domain["name"])]
    part = {"domain": domain, "disks": disks, "found": found if is_flawed else []}
    if not is_flawed:
        part = json.loads(json.dumps(part))
        for one in (part["domain"], *part["disks"]):
            one["findings"] = []
    loops = {device: f"loop{next(numbers)}" for device in _loops(disks)}
    new = {domain["name"]: name, model["name"]: host, **loops}
    made = _renamed(json.dumps(part), new, f"{host}/{name}")
    if made["domain"]["domid"] is not None:
        made["domain"]["domid"] = next(numbers) + 1
    return made


def _loops(disks: List[Any]) -> List[str]:
    return sorted(set(re.findall(r"\bloop\d+\b", json.dumps(disks))))


def _is_about(found: Dict[str, Any], host: str, domain: str | None) -> bool:
    return found["place"]["host"] == host and found["place"]["domain"] == domain


def _renamed(text: str, names: Dict[str, str], key: str) -> Any:
    """What ``text``, a JSON, has, with other names, and with ids of its own."""
    word = re.compile(rf"\b({'|'.join(map(re.escape, names))})\b")
    made = json.loads(word.sub(lambda match: names[match[1]], text))
    for one in made["found"]:
        one["model"] = one["id"]
    ids = {
        one["id"]: hashlib.sha256(f"{key}{one['id']}".encode()).hexdigest()[:12]
        for one in made["found"]
    }
    return _with_ids(made, ids)


def _with_ids(value: Any, ids: Dict[str, str]) -> Any:
    if isinstance(value, dict):
        return {k: one if k == "model" else _with_ids(one, ids) for k, one in value.items()}
    if isinstance(value, list):
        return [_with_ids(one, ids) for one in value]
    return ids.get(value, value) if isinstance(value, str) else value


def _counts(findings: List[Any]) -> Dict[str, int]:
    counts = {"error": 0, "warning": 0, "note": 0, "accepted": 0}
    for one in findings:
        counts["accepted" if one["reason"] is not None else one["severity"]] += 1
    return counts


if __name__ == "__main__":
    json.dump(fleet(*map(int, sys.argv[1:])), sys.stdout, indent=1)
