"""For tests of trees, yours included: a clock that you move, probes that wait, and a storm that counts leaks."""

from bibd.supervision.testkit.clock import ManualClock
from bibd.supervision.testkit.probe import EventLog, Journal, Probe
from bibd.supervision.testkit.settle import settle
from bibd.supervision.testkit.stress import Leftovers, start_stop_storm

__all__ = ["EventLog", "Journal", "Leftovers", "ManualClock", "Probe", "settle", "start_stop_storm"]
