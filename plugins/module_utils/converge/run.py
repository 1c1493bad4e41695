# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""From a list of wanted items to their results: the life of every module that changes something.

Each item is planned against the host's state, which is read once. If one cannot be planned, the
module fails before anything is touched, with every error. In check mode it stops there, so that
what check mode shows is what a run does. Otherwise the actions run, an error is kept with its
item while the others go on, and what was changed is read back.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from typing import (
    Any,
    Callable,
    ContextManager,
    Dict,
    Generic,
    Iterator,
    List,
    Mapping,
    Optional,
    Sequence,
    Tuple,
    Union,
    cast,
)

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.module_utils.errors import UnsupportedError
from ansible_collections.xen.blockdev.plugins.module_utils.converge import file_attributes, pending
from ansible_collections.xen.blockdev.plugins.module_utils.converge.pending import Pending
from ansible_collections.xen.blockdev.plugins.module_utils.converge.plan import (
    Action,
    Figures,
    Item,
    Learned,
    PartlyDoneError,
    Plan,
    Resource,
    State,
    UnexpectedStateError,
)
from ansible_collections.xen.blockdev.plugins.module_utils.errors import BlockdevError, HostError

Spec = Dict[str, Dict[str, Any]]
"""Option name to its entry in an argument_spec."""

STATE: Dict[str, Any] = {"type": "str", "choices": ["present", "absent"], "default": "present"}

NAMED_IN: Dict[str, Any] = {
    "type": "dict",
    "options": {
        "directories": {"type": "list", "elements": "path", "required": True},
        "but_for": {"type": "list", "elements": "path"},
    },
}
"""Where the configs are that count as users of an image: see NamingConfigs in config/images.py."""


@dataclass
class Interface(Generic[Item]):
    """What a module offers: its list, and the options of one item of it."""

    items: str
    """Name of the list, as an option and in the result."""

    identity: Sequence[str]
    """The options that tell items apart, the one that every item must have first. They make no
    sense for all items at once, so they are an error beside the list."""

    options: Spec
    """The options of one item, ``identity`` included. Beside the list the others hold for every
    item that does not say otherwise."""

    read: Callable[[State], Item]
    """Makes an item of its checked options. Raises BlockdevError if they contradict each other."""

    own: Sequence[str] = ()
    """Further options that are of one item and not of all, so that they are an error beside the
    list as well."""

    files: bool = False
    """Whether an item is a file with an owner, a mode and so on."""

    def argument_spec(self) -> Spec:
        """The options at top level, and in the elements of the list without their defaults."""
        options = {**self.options, **(file_attributes.OPTIONS if self.files else {})}
        element = {
            name: {key: value for key, value in spec.items() if key != "default"}
            for name, spec in options.items()
        }
        element[self.identity[0]] = {**element[self.identity[0]], "required": True}
        items = {"type": "list", "elements": "dict", "options": element}
        return {**options, self.items: items, "pending": pending.SPEC}

    def checked_params(self, params: State) -> State:
        """The options at top level as Ansible checks those of a module. Raises ItemError."""
        result = ArgumentSpecValidator(self.argument_spec()).validate(params)
        if result.error_messages:
            raise ItemError("; ".join(map(_words, result.errors)))
        return dict(result.validated_parameters)

    def checked(self, item: State) -> State:
        """The item, with the dictionaries in its lists of ``raw`` elements as Ansible makes those
        in lists of dictionaries; what else is in such lists is for the resource to judge.

        Raises ItemError with everything that is wrong.
        """
        return {**item, **dict(self._checked_lists(item))}

    def _checked_lists(self, item: State) -> Iterator[Tuple[str, List[Any]]]:
        for name, spec in self.options.items():
            if spec.get("elements") == "raw" and "options" in spec and item[name] is not None:
                yield name, _checked_elements(name, item[name], spec["options"])

    def wanted(self, params: State) -> List[State]:
        """The wanted items, each with every option, from the module's parameters."""
        beside = (self.items, "pending")
        common = {name: value for name, value in params.items() if name not in beside}
        if params[self.items] is None:
            return [common]
        return [
            {**common, **{name: value for name, value in item.items() if value is not None}}
            for item in params[self.items]
        ]


def _checked_elements(name: str, elements: Sequence[Any], options: Spec) -> List[Any]:
    validator = ArgumentSpecValidator(options)
    checked: List[Any] = list(elements)
    problems: List[str] = []
    for number, element in enumerate(elements):
        if isinstance(element, dict):
            result = validator.validate(element)
            problems += [f"{name}[{number}]: {_words(error)}" for error in result.errors]
            checked[number] = result.validated_parameters
    if problems:
        raise ItemError("; ".join(problems))
    return checked


def _words(error: Exception) -> str:
    # Ansible puts the name of the module before these, which is not known here.
    return f"Unsupported parameters: {error}" if isinstance(error, UnsupportedError) else str(error)


class ItemError(BlockdevError):
    """An item that Ansible's own checks refuse."""


@dataclass
class ItemRun(Generic[Item]):
    """One wanted item on its way to its result."""

    options: State
    identity: State
    item: Optional[Item] = None
    """None if its options cannot be read."""
    plan: Optional[Plan] = None
    done: List[str] = field(default_factory=list)
    """The sentences of the actions that were run or, in check mode, would be."""
    state: State = field(default_factory=dict)
    learned: List[Learned] = field(default_factory=list)
    """What the actions have learned."""
    error: Optional[str] = None

    def result(self) -> State:
        """The item's entry in the module's result."""
        state = dict(self.state)
        for learned in self.learned:
            state.update(learned.state)
        entry = {**self.identity, **state, "changed": bool(self.done), "actions": self.done}
        return {**entry, "msg": self.error} if self.error else entry

    def diff(self) -> State:
        """What diff mode shows of it, under the names of the item and what was done."""
        names = " ".join(str(value) for value in self.identity.values() if value)
        shown = self.plan.diff() if self.plan else {}
        return {"before_header": names, "after_header": ", ".join(self.done), **shown}

    def warnings(self) -> List[str]:
        """Those of the plan, then those of its actions."""
        planned = self.plan.warnings if self.plan else []
        return [*planned, *(warning for learned in self.learned for warning in learned.warnings)]


@dataclass(frozen=True)
class Outcome:
    """What came of the items of one list, or of several lists."""

    entries: Mapping[str, List[State]]
    """The results of the items by the name of their list, in the order of the items."""
    pending: Mapping[str, List[State]] = field(default_factory=dict)
    """In check mode, the entries that would change, for the option ``pending`` of later tasks."""
    actions: Sequence[str] = ()
    """What was done or, in check mode, would be done, in this order."""
    diff: Sequence[State] = ()
    """What changes of each item that changes, as diff mode shows it."""
    warnings: Sequence[str] = ()
    error: Optional[str] = None
    """All errors, a line each, and what became of the other items."""
    figures: Figures = field(default_factory=dict)
    """See Resource.figures."""

    def __add__(self, other: Outcome) -> Outcome:
        """Both as one: ``other`` came after this one."""
        return Outcome(
            _joined(self.entries, other.entries),
            _joined(self.pending, other.pending),
            [*self.actions, *other.actions],
            [*self.diff, *other.diff],
            _once([*self.warnings, *other.warnings]),
            "\n".join(error for error in (self.error, other.error) if error) or None,
            _newest(self.figures, other.figures),
        )

    def unannounced(self) -> Outcome:
        """The same of a run in which nothing changes as without check mode."""
        return replace(self, pending={})

    @property
    def changed(self) -> bool:
        """Whether any item has changed or, in check mode, would change."""
        return any(entry["changed"] for entries in self.entries.values() for entry in entries)

    def end(self, module: AnsibleModule, **more: Any) -> None:
        """End the module with this as its result."""
        for warning in self.warnings:
            module.warn(warning)
        lists = {**self.figures, **self.entries, "pending": self.pending}
        result = {**more, "changed": self.changed, **lists}
        if module._diff:
            result["diff"] = self.diff
        if self.error:
            module.fail_json(msg=self.error, **result)
        module.exit_json(**result)


def _joined(
    first: Mapping[str, List[State]], second: Mapping[str, List[State]]
) -> Dict[str, List[State]]:
    return {name: [*first.get(name, ()), *second.get(name, ())] for name in {**first, **second}}


def _newest(first: Figures, second: Figures) -> Figures:
    """The lists of both. Of two entries about the same thing it has the second."""
    return {
        name: list({entry["name"]: entry for entry in entries}.values())
        for name, entries in _joined(first, second).items()
    }


Opener = Callable[[Pending], ContextManager[Resource[Item]]]
"""Opens what a module manages and holds its lock while it is open. Its argument says whether this
is check mode, where nothing may be changed and no lock is needed."""


def converge(interface: Interface[Item], resource: Opener[Item]) -> None:
    """Run a module from its parameters to its exit."""
    module = AnsibleModule(
        argument_spec=interface.argument_spec(),
        supports_check_mode=True,
        mutually_exclusive=[
            (name, interface.items) for name in (*interface.identity, *interface.own)
        ],
        required_one_of=[(interface.identity[0], interface.items)],
    )
    require_root(module)
    run_items(module, interface, resource, module.params, module.check_mode).end(module)


def run_items(
    module: AnsibleModule,
    interface: Interface[Item],
    resource: Opener[Item],
    params: State,
    check_mode: bool,
) -> Outcome:
    """Run the items in ``params``, the checked options of ``interface``, from their plans to their
    results."""
    runs: List[ItemRun[Item]] = [
        ItemRun(options, {name: options[name] for name in interface.identity})
        for options in interface.wanted(params)
    ]
    warnings: List[str] = []
    try:
        announced = Pending.read(params["pending"], check_mode)
        with resource(announced) as opened:
            _plan(module, interface, runs, opened)
            warnings = _warnings(runs) + opened.warnings()
            error = _error(interface, params, runs, "none was touched") or opened.problem()
            if not error:
                _apply(runs, opened, check_mode)
                warnings += _warnings(runs)
                error = _error(interface, params, runs, "every other one is as wanted")
            figures = opened.figures()
    except (BlockdevError, OSError) as failure:
        return Outcome({interface.items: []}, warnings=_once(warnings), error=str(failure))
    entries = [one.result() for one in runs]
    changing = [entry for entry in entries if entry["changed"]]
    return Outcome(
        entries={interface.items: entries},
        pending={interface.items: changing} if check_mode else {},
        actions=[action for one in runs for action in one.done],
        diff=[one.diff() for one in runs if one.plan and one.done],
        warnings=_once(warnings),
        error=error,
        figures=figures,
    )


def _once(lines: Sequence[str]) -> List[str]:
    return list(dict.fromkeys(lines))


class QuietModule(AnsibleModule):  # type: ignore[misc]
    """A module that neither logs some of its options nor returns them, at any verbosity."""

    def __init__(self, secret: Sequence[str], **arguments: Any) -> None:
        self._secret = secret
        super().__init__(no_log=True, **arguments)

    def exit_json(self, **result: Any) -> None:
        """See AnsibleModule."""
        super().exit_json(**self._shown(), **result)

    def fail_json(self, msg: str, **result: Any) -> None:
        """See AnsibleModule, which also calls this for options that it refuses."""
        super().fail_json(msg, **self._shown(), **result)

    def _shown(self) -> State:
        # An option that does not exist may be a misspelled one.
        known = set(self.argument_spec) - set(self._secret)
        shown = {name: value for name, value in self.params.items() if name in known}
        return {"invocation": {"module_args": shown}}


def query(options: Spec, key: str, report: Callable[..., Union[List[State], State]]) -> None:
    """Run an info module from its parameters to its exit.

    ``report`` is called with the options, and ``warn``, and returns what the result has as ``key``.
    """
    module = AnsibleModule(argument_spec=options, supports_check_mode=True)
    require_root(module)
    try:
        module.exit_json(changed=False, **{key: report(**module.params, warn=module.warn)})
    except (BlockdevError, OSError) as error:
        module.fail_json(msg=str(error))


def require_root(module: AnsibleModule) -> None:
    """End the module unless it runs as root."""
    if os.geteuid() != 0:
        module.fail_json(
            msg="this module must run as root: set become: true on the task or the play"
        )


def _plan(
    module: AnsibleModule,
    interface: Interface[Item],
    runs: Sequence[ItemRun[Item]],
    resource: Resource[Item],
) -> None:
    for run in runs:
        try:
            run.options = interface.checked(run.options)
            run.item = interface.read(run.options)
        except BlockdevError as error:
            run.error = str(error)
    readable = [run for run in runs if run.error is None]
    resource.expect([_item(run) for run in readable])
    for run in _in_order(readable, resource):
        try:
            plan = resource.plan(_item(run))
            attributes = file_attributes.plan(module, run.options, plan.file)
        except HostError:
            raise
        except (BlockdevError, OSError) as error:
            run.error = str(error)
            continue
        run.plan = plan + attributes if attributes.actions else plan
        run.state = plan.before


def _item(run: ItemRun[Item]) -> Item:
    """The item of a run whose options could be read."""
    return cast(Item, run.item)


def _warnings(runs: Sequence[ItemRun[Item]]) -> List[str]:
    return [line for one in runs for line in one.warnings()]


def _apply(runs: Sequence[ItemRun[Item]], resource: Resource[Item], check_mode: bool) -> None:
    """Run the actions of every plan, then read back what was changed."""
    planned = [run for run in runs if run.plan]
    for run in _in_order(planned, resource):
        if run.plan:
            _run_actions(run, run.plan, check_mode)
    if check_mode or not any(run.done for run in runs):
        return
    error = _settle(resource)
    for run in runs:
        if run.plan and run.done:
            _read_back(run, run.plan)
            run.error = run.error or error


def _in_order(runs: Sequence[ItemRun[Item]], resource: Resource[Item]) -> List[ItemRun[Item]]:
    return sorted(runs, key=lambda run: resource.rank(_item(run)))


def _run_actions(run: ItemRun[Item], plan: Plan, check_mode: bool) -> None:
    for action in plan.actions:
        try:
            if not check_mode:
                _run_action(run, action)
        except PartlyDoneError as error:
            run.error, run.state = str(error), error.state
            run.done.append(error.done)
            return
        except BlockdevError as error:
            run.error = str(error)
            return
        except OSError as error:
            run.error = f"cannot {action.sentence}: {error.strerror or error}"
            return
        run.done.append(action.sentence)
    run.state = plan.after


def _run_action(run: ItemRun[Item], action: Action) -> None:
    learned = action.run()
    if learned:
        warnings = [f"{action.sentence}: {warning}" for warning in learned.warnings]
        run.learned.append(Learned(learned.state, warnings))


def _settle(resource: Resource[Item]) -> Optional[str]:
    """The error with which the resource settled, if any."""
    try:
        resource.settle()
    except (BlockdevError, OSError) as error:
        return str(error)
    return None


def _read_back(run: ItemRun[Item], plan: Plan) -> None:
    try:
        run.state = plan.read_back()
    except UnexpectedStateError as error:
        run.state = error.state
        run.error = run.error or str(error)
    except (BlockdevError, OSError) as error:
        run.error = run.error or str(error)


def _error(
    interface: Interface[Item], params: State, runs: Sequence[ItemRun[Item]], rest: str
) -> Optional[str]:
    """All errors of the items, None without one; ``rest`` says what became of the others."""
    errors = [
        f"{interface.items}[{index}]: {one.error}" if params[interface.items] else one.error
        for index, one in enumerate(runs)
        if one.error
    ]
    if not errors:
        return None
    message = "\n".join(str(error) for error in errors)
    if len(runs) > 1:
        return f"{len(errors)} of {len(runs)} {interface.items} failed, {rest}:\n{message}"
    return message
