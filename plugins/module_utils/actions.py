# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a plan is made of, whatever is planned."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Tuple

from ansible_collections.xen.blockdev.plugins.module_utils.errors import BlockdevError

State = Dict[str, Any]
"""An item's state by its result keys, as the module that reports it documents them."""


class UnexpectedStateError(BlockdevError):
    """What was read back is not as wanted, but C(state)."""

    def __init__(self, message: str, state: State) -> None:
        super().__init__(message)
        self.state = state


class PartlyDoneError(UnexpectedStateError):
    """An action failed after it had changed something; that led to C(state)."""

    def __init__(self, message: str, state: State, done: str) -> None:
        """C(done): what it has changed, as the sentence of an action."""
        super().__init__(message, state)
        self.done = done


@dataclass(frozen=True)
class Action:
    """One step towards a wanted state."""

    sentence: str
    """What it does, in the imperative and without a full stop: ``bind /srv/a.raw to a free loop
    device``. Check mode, results and errors (``cannot …``) all show it."""

    run: Callable[[], object]
    """Does it. Raises BlockdevError or OSError where it has changed nothing, and PartlyDoneError
    where it has; its result is not used."""


@dataclass
class Plan:
    """How one item gets from what is there to what is wanted."""

    before: State
    """The state found on the host."""

    after: State
    """The state that the actions lead to, as far as it can be known beforehand."""

    read_back: Callable[[], State]
    """Reads the state from the host once the actions are done; raises BlockdevError where it is
    not the wanted one, UnexpectedStateError where it can tell which it is."""

    actions: List[Action] = field(default_factory=list)
    """The steps, in order; none where the host is as wanted."""

    warnings: List[str] = field(default_factory=list)
    """What the user should know although nothing is in the way. An action may add to it."""

    file: Optional[str] = None
    """The file that will be there and may be given an owner, a mode and so on."""

    attributes: Tuple[State, State] = field(default_factory=lambda: ({}, {}))
    """Those of owner, mode and so on that differ, before and after, for diff mode."""

    texts: Optional[Tuple[str, str]] = None
    """For an item that is a text: it before and after, which diff mode shows line by line."""

    def warn(self, sentence: str, words: str) -> None:
        """Keep a warning of the action C(sentence)."""
        self.warnings.append(f"{sentence}: {words}")

    def diff(self) -> State:
        """What diff mode shows of this plan."""
        if self.texts:
            before, after = self.texts
            return {"before": before, "after": after}
        old, new = self.attributes
        return {"before": {**self.before, **old}, "after": {**self.after, **new}}


class Resource:
    """One kind of thing on this host, its state read once when the resource is made.

    ``convergence`` asks for the plan of every wanted item before it runs the first action.
    """

    def plan(self, item: Mapping[str, Any]) -> Plan:
        """Compare what is wanted with what is there; touch nothing.

        A resource keeps track of what it has planned: an item planned later counts with it.
        Raises BlockdevError where the item cannot be had.
        """
        raise NotImplementedError

    def expect(self, items: Sequence[Mapping[str, Any]]) -> None:
        """Look at all items, before the first of them is planned."""

    def warnings(self) -> List[str]:
        """What the user should know of what no item speaks of, once all items are planned."""
        return []

    def rank(self, item: Mapping[str, Any]) -> int:
        """Items of a lower rank are planned and run first: what goes makes room for what comes."""
        return int(item["state"] != "absent")

    def settle(self) -> None:
        """Wait once, after the actions of all items and before they are read back, for what the
        host does by itself, such as udev naming a device."""
