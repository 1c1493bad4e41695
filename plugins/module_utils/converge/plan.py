# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a plan is made of, whatever is planned."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import (
    Any,
    Callable,
    Dict,
    Generic,
    List,
    Mapping,
    Optional,
    Sequence,
    Tuple,
    TypeVar,
)

from ansible_collections.xen.blockdev.plugins.module_utils.errors import BlockdevError

State = Dict[str, Any]
"""An item's state by its result keys, as the module that reports it documents them."""

Figures = Mapping[str, List[State]]
"""What a module reports of other things than its items: lists by their result keys. The ``name`` of
an entry is what it is about."""

Item = TypeVar("Item")
"""The type of the items of a module: what the user wants of one thing."""


class UnexpectedStateError(BlockdevError):
    """What was read back is not as wanted, but ``state``."""

    def __init__(self, message: str, state: State) -> None:
        super().__init__(message)
        self.state = state


class PartlyDoneError(UnexpectedStateError):
    """An action failed after it had changed something; that led to ``state``."""

    def __init__(self, message: str, state: State, done: str) -> None:
        """``done``: what it has changed, as the sentence of an action."""
        super().__init__(message, state)
        self.done = done


@dataclass(frozen=True)
class Learned:
    """What only the action itself knows once it has run."""

    state: State = field(default_factory=dict)
    """Result keys that cannot be read back, such as the name of a backup file."""

    warnings: Sequence[str] = ()


@dataclass(frozen=True)
class Action:
    """One step towards a wanted state."""

    sentence: str
    """What it does, in the imperative and without a full stop: ``bind /srv/a.raw to a free loop
    device``. Check mode, results and errors (``cannot …``) all show it."""

    run: Callable[[], Optional[Learned]]
    """Does it. Raises BlockdevError or OSError if it has changed nothing, and PartlyDoneError if
    it has."""


@dataclass(frozen=True)
class Plan:
    """How one item gets from its state on the host to the wanted one; also a part of that."""

    before: State = field(default_factory=dict)
    """The state found on the host."""

    after: State = field(default_factory=dict)
    """The state that the actions lead to, as far as it can be known beforehand."""

    read_back: Callable[[], State] = dict
    """Reads the state from the host once the actions are done; raises BlockdevError if it is
    not the wanted one, UnexpectedStateError if it knows which it is."""

    actions: Sequence[Action] = field(default_factory=list)
    """The steps, in order; none if the host is as wanted."""

    warnings: Sequence[str] = field(default_factory=list)
    """What the user should know although nothing prevents the actions."""

    file: Optional[str] = None
    """The file that will be there and may be given an owner, a mode and so on."""

    attributes: Tuple[State, State] = field(default_factory=lambda: ({}, {}))
    """Those of owner, mode and so on that differ, before and after, for diff mode."""

    texts: Optional[Tuple[str, str]] = None
    """For an item that is a text: it before and after, which diff mode shows line by line."""

    def __add__(self, other: Plan) -> Plan:
        """Both as one plan: the actions of ``other`` come after those of this one."""
        return Plan(
            before={**self.before, **other.before},
            after={**self.after, **other.after},
            read_back=lambda: _read_both(self, other),
            actions=[*self.actions, *other.actions],
            warnings=[*self.warnings, *other.warnings],
            file=self.file or other.file,
            attributes=self.attributes if any(self.attributes) else other.attributes,
            texts=self.texts or other.texts,
        )

    def diff(self) -> State:
        """What diff mode shows of this plan."""
        if self.texts:
            before, after = self.texts
            return {"before": before, "after": after}
        old, new = self.attributes
        return {"before": {**self.before, **old}, "after": {**self.after, **new}}


def _read_both(first: Plan, second: Plan) -> State:
    """What both read back, also if one of them finds a state that is not the wanted one."""
    state: State = {}
    unexpected: List[UnexpectedStateError] = []
    for plan in (first, second):
        try:
            state.update(plan.read_back())
        except UnexpectedStateError as error:
            state.update(error.state)
            unexpected.append(error)
    if unexpected:
        raise UnexpectedStateError(str(unexpected[0]), state)
    return state


class Resource(Generic[Item]):
    """One kind of thing on this host, its state read once when the resource is made.

    ``converge.run`` asks for the plan of every wanted item before it runs the first action.
    """

    def plan(self, item: Item) -> Plan:
        """Compare the wanted state with that of the host. Change nothing.

        A resource keeps track of what it has planned, so that a later item does not want the same
        slot, device or free space. Raises BlockdevError if the wanted state is impossible.
        """
        raise NotImplementedError

    def expect(self, items: Sequence[Item]) -> None:
        """Look at all items, before they are ranked and the first of them is planned."""

    def warnings(self) -> List[str]:
        """What the user should know about things that are no item, once all items are planned."""
        return []

    def problem(self) -> Optional[str]:
        """What makes the plans impossible together though each alone is possible, once all items
        are planned."""
        return None

    def figures(self) -> Figures:
        """What else the result says, once everything is done or, in check mode, planned."""
        return {}

    def rank(self, item: Item) -> int:
        """Items of a lower rank are planned and run first. A resource that removes things gives
        these a lower rank: they make room for the others."""
        return 0

    def settle(self) -> None:
        """Wait once, after the actions of all items and before they are read back, for what the
        host does by itself, such as udev naming a device."""
