"""The policy of the health checker, as the plain function that it is."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bibd.health import Condition, GiveUp, Policy, ProbeIn, RestoreIn, ShutDown, Verdict, judge

policies = st.builds(
    Policy,
    action=st.sampled_from(["retry_limit", "retry_always", "shutdown"]),
    max_retries=st.integers(0, 6),
)


def verdicts(policy: Policy, probes: list[bool]) -> list[Verdict]:
    condition = Condition()
    found: list[Verdict] = []
    for ok in probes:
        condition, verdict = judge(condition, ok, policy)
        found.append(verdict)
    return found


def test_first_attempt_comes_at_once_and_the_others_after_the_backoff() -> None:
    policy = Policy(max_retries=3, retry_backoff=10)
    found = verdicts(policy, [True, False, False, False, False])
    assert found == [ProbeIn(5), RestoreIn(0, 1), RestoreIn(10, 2), RestoreIn(10, 3), GiveUp(3)]


def test_good_probe_makes_the_attempts_count_anew() -> None:
    assert verdicts(Policy(max_retries=1), [True, False, True, False])[-1] == RestoreIn(0, 1)


def test_nothing_is_restarted_before_the_first_good_probe() -> None:
    assert all(isinstance(verdict, ProbeIn) for verdict in verdicts(Policy(), [False] * 20))


def test_action_shutdown_never_restores() -> None:
    assert verdicts(Policy(action="shutdown"), [True, False])[-1] == ShutDown()


@given(policies, st.lists(st.booleans(), max_size=40))
def test_attempts_never_exceed_the_limit_and_every_loss_gets_a_verdict(policy: Policy, probes: list[bool]) -> None:
    attempts, healthy_once = 0, False
    for ok, verdict in zip(probes, verdicts(policy, probes), strict=True):
        if ok:
            attempts, healthy_once = 0, True
            assert verdict == ProbeIn(policy.interval)
        elif healthy_once:
            match verdict:
                case RestoreIn(attempt=attempt):
                    attempts += 1
                    assert attempt == attempts
                    assert policy.action == "retry_always" or attempts <= policy.max_retries
                case GiveUp(attempts=made):
                    assert policy.action == "retry_limit"
                    assert made == policy.max_retries
                case ShutDown():
                    assert policy.action == "shutdown"
                case ProbeIn():
                    raise AssertionError("a loss after a good probe needs more than another look")
