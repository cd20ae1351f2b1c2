"""The tree as data: one ``ChildSpec`` a child, and the graph that their ``after`` makes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from typing import TYPE_CHECKING, Any, Literal

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
            raise SpecError("two children have the same id: " + ", ".join(spec.id for spec in given))
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

    def _dependents(self, name: str) -> frozenset[str]:
        """Everyone who needs ``name``, directly or through others."""
        found: set[str] = set()
        for other in self.order:
            if any(needed == name or needed in found for needed in self.specs[other].after):
                found.add(other)
        return frozenset(found)

    def stop_budget(self) -> float:
        """Seconds a whole stop may take: the longest chain of stop timeouts, since branches stop side by side."""
        longest: dict[str, float] = {}
        for name in reversed(self.order):
            waits = [longest[other] for other in self.order if name in self.specs[other].after]
            longest[name] = self.specs[name].stop_timeout + max(waits, default=0.0)
        return max(longest.values(), default=0.0)
