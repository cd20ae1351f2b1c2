"""The tree as data: one ``ChildSpec`` a child, and the graph that their ``after`` makes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from typing import TYPE_CHECKING, Any, Literal, get_args

from bibd.supervision.errors import SpecError

if TYPE_CHECKING:
    from bibd.supervision.actor import Actor
    from bibd.supervision.context import Context

Restart = Literal["permanent", "transient", "temporary"]


@dataclass(frozen=True, slots=True)
class ChildSpec:
    """How one child lives.

    ``factory`` makes the actor, in the child's own thread, once a generation. It may block or raise: that is
    the child's failure, not its supervisor's.
    ``after``: siblings that must be up before this one starts, and that stop only after it.
    ``restart``: permanent (always), transient (only after a failure), temporary (never).
    ``ready_timeout``, ``stop_timeout``: seconds.
    ``significant``: the tree is not ready without it, and falls when it is gone for good.
    ``exclusive``: it holds something that two of them would spoil (a port, a data directory). When such a child
    hangs while it is being restarted, its supervisor gives up: the abandoned thread still holds the resource,
    Python cannot kill a thread, and a second one beside it would be worse than none.
    ``inbox_limit``: messages that may wait in the work lane.
    """

    id: str
    factory: Callable[[Context], Actor[Any]]
    after: tuple[str, ...] = ()
    restart: Restart = "permanent"
    ready_timeout: float = 30.0
    stop_timeout: float = 5.0
    significant: bool = True
    exclusive: bool = True
    inbox_limit: int = 10_000

    def __post_init__(self) -> None:
        after: object = self.after
        if isinstance(after, str):  # after=("a") lacks a comma; letter by letter it would say something else
            raise SpecError(f"child {self.id}: after must be a tuple of ids, not the string {after!r}")
        if self.restart not in get_args(Restart):
            known = ", ".join(get_args(Restart))
            raise SpecError(f"child {self.id}: restart {self.restart!r} is none of {known}")
        if not self.id or "/" in self.id:
            raise SpecError(f"child id {self.id!r} is empty or has a slash")
        if self.ready_timeout <= 0 or self.stop_timeout <= 0 or self.inbox_limit <= 0:
            raise SpecError(f"child {self.id}: ready_timeout, stop_timeout and inbox_limit must be above 0")


class Graph:
    """Who starts after whom. Immutable; raises SpecError when there is no such order."""

    def __init__(self, specs: Iterable[ChildSpec]) -> None:
        given = tuple(specs)
        self.specs: dict[str, ChildSpec] = {spec.id: spec for spec in given}
        if len(self.specs) != len(given):
            ids = [spec.id for spec in given]
            twice = sorted({name for name in ids if ids.count(name) > 1})
            raise SpecError("two children have the same id: " + ", ".join(twice))
        for spec in given:
            if unknown := [name for name in spec.after if name not in self.specs]:
                raise SpecError(f"child {spec.id} starts after {', '.join(unknown)}, which is no sibling")
        try:
            self.order: tuple[str, ...] = tuple(
                TopologicalSorter({spec.id: spec.after for spec in given}).static_order()
            )
        except CycleError as error:
            raise SpecError("children wait for each other: " + " → ".join(error.args[1])) from None
        self.dependents: dict[str, frozenset[str]] = {name: self._dependents(name) for name in self.order}
        self.stop_chain: dict[str, float] = {}
        """Seconds from asking a child to stop until it and all that it needs are down, if each takes its timeout."""
        for name in self.order:
            needs = (self.stop_chain[needed] for needed in self.specs[name].after)
            self.stop_chain[name] = self.specs[name].stop_timeout + max(needs, default=0.0)

    def _dependents(self, name: str) -> frozenset[str]:
        """Everyone who needs ``name``, directly or through others."""
        found: set[str] = set()
        for other in self.order:
            if any(needed == name or needed in found for needed in self.specs[other].after):
                found.add(other)
        return frozenset(found)

    def stop_budget(self) -> float:
        """Seconds a whole stop may take: the longest chain of stop timeouts, since branches stop side by side."""
        return max(self.stop_chain.values(), default=0.0)
