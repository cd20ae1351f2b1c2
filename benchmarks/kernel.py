"""The kernel's message rates and life-cycle cost beside bare pykka, in the same run.

    python -m benchmarks.kernel [--messages 20000] [--actors 300] [--rounds 7]

Each round measures both, one right after the other and in alternating order, so that whatever else the machine does
hits both alike; printed are the medians, and the median of the rounds' ratios.
"""

from __future__ import annotations

import argparse
import statistics
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pykka

from bibd.supervision import Actor, ActorSystem, Answer, ChildSpec, Context, Notice, Request


class Counter:
    """The protocol of both actors."""


@dataclass(frozen=True, slots=True)
class Count(Notice[Counter]):
    """One more."""


@dataclass(frozen=True, slots=True)
class Last(Notice[Counter]):
    """The last one."""


@dataclass(frozen=True, slots=True)
class Get(Request[Counter, int]):
    """How many?"""


class OurCounter(Actor[Count | Last | Get]):
    def __init__(self, done: threading.Event) -> None:
        self.count = 0
        self.done = done

    def receive(self, msg: Count | Last | Get) -> Answer:
        match msg:
            case Count():
                self.count += 1
                return None
            case Last():
                self.done.set()
                return None
            case Get():
                return msg.reply(self.count)


class PykkaCounter(pykka.ThreadingActor):
    def __init__(self, done: threading.Event) -> None:
        super().__init__()
        self.count = 0
        self.done = done

    def on_receive(self, message: Count | Last | Get) -> int | None:
        match message:
            case Count():
                self.count += 1
                return None
            case Last():
                self.done.set()
                return None
            case Get():
                return self.count


def rate(number: int, work: Callable[[], None]) -> float:
    began = time.perf_counter()
    work()
    return number / (time.perf_counter() - began)


def tell_rate(tell: Callable[[Any], None], done: threading.Event, number: int) -> float:
    """Messages a second from the first send to the last one's handling."""
    message, last = Count(), Last()

    def work() -> None:
        for _ in range(number):
            tell(message)
        tell(last)
        assert done.wait(60)

    return rate(number, work)


def ask_rate(ask: Callable[[Any], int], number: int) -> float:
    """Round trips a second, one after the other."""
    message = Get()

    def work() -> None:
        for _ in range(number):
            ask(message)

    return rate(number, work)


def ours(messages: int) -> tuple[float, float]:
    done = threading.Event()
    spec = ChildSpec("counter", lambda _: OurCounter(done), inbox_limit=messages + 10)
    with ActorSystem([spec]) as system:
        ref = system.ref("counter", Counter)
        return tell_rate(ref.tell, done, messages), ask_rate(lambda msg: ref.ask(msg, timeout=10), messages // 4)


def pykkas(messages: int) -> tuple[float, float]:
    done = threading.Event()
    ref = PykkaCounter.start(done)
    try:
        return tell_rate(ref.tell, done, messages), ask_rate(
            lambda msg: ref.ask(msg, block=True, timeout=10), messages // 4
        )
    finally:
        ref.stop()


def our_life(actors: int) -> float:
    """Children started and stopped a second, in trees of ten: with their root, timers, events and status."""

    def make(_: Context) -> OurCounter:
        return OurCounter(threading.Event())

    specs = [ChildSpec(f"c{number}", make) for number in range(10)]

    def work() -> None:
        for _ in range(actors // 10):
            with ActorSystem(specs):
                pass

    return rate(actors, work)


def pykkas_life(actors: int) -> float:
    def work() -> None:
        for _ in range(actors // 10):
            refs = [PykkaCounter.start(threading.Event()) for _ in range(10)]
            for ref in refs:
                ref.stop()

    return rate(actors, work)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--messages", type=int, default=20_000)
    parser.add_argument("--actors", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=7)
    arguments = parser.parse_args()
    rows: dict[str, list[tuple[float, float]]] = {"tell": [], "ask": [], "start and stop": []}
    for number in range(arguments.rounds):
        if number % 2:
            us, them = ours(arguments.messages), pykkas(arguments.messages)
            life = our_life(arguments.actors), pykkas_life(arguments.actors)
        else:
            them, us = pykkas(arguments.messages), ours(arguments.messages)
            theirs = pykkas_life(arguments.actors)
            life = our_life(arguments.actors), theirs
        rows["tell"].append((us[0], them[0]))
        rows["ask"].append((us[1], them[1]))
        rows["start and stop"].append(life)
    print(f"{'per second':<16}{'bibd':>12}{'pykka':>12}{'ratio':>8}")
    for name, pairs in rows.items():
        us_, them_ = (statistics.median(side) for side in zip(*pairs, strict=True))
        ratio = statistics.median(ours_ / theirs_ for ours_, theirs_ in pairs)
        print(f"{name:<16}{us_:>12,.0f}{them_:>12,.0f}{ratio:>7.2f}x")


if __name__ == "__main__":
    main()
