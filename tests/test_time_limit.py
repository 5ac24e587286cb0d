"""The alarm of a time limit, and one that was set before it."""

import signal
import time

import pytest

from faithcheck.time_limit import OutOfTime, at_most

pytestmark = pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no alarms here")


class Rang(Exception):
    pass


def ring(number, frame):
    raise Rang


@pytest.fixture
def alarm():
    """Sets an alarm of somebody else's."""
    before = signal.signal(signal.SIGALRM, ring)
    yield lambda seconds: signal.setitimer(signal.ITIMER_REAL, seconds)
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


def test_an_alarm_of_before_goes_on_after_the_work(alarm):
    alarm(3600)
    with at_most(60, "the work"):
        pass
    left, _ = signal.getitimer(signal.ITIMER_REAL)
    assert 0 < left <= 3600
    assert signal.getsignal(signal.SIGALRM) is ring


def test_a_limit_of_any_size_can_be_set(alarm):
    done = []
    alarm(0.2)
    with pytest.raises(Rang):
        works(0, 1e300, done)
    assert done == ["inner"]


def works(seconds, limit, done):
    with at_most(limit, "the inner work"):
        time.sleep(seconds)
        done.append("inner")
    time.sleep(10)
    done.append("outer")


def test_an_alarm_that_was_due_during_the_work_comes_after_it(alarm):
    done = []
    alarm(0.05)
    with pytest.raises(Rang):
        works(0.2, 60, done)
    assert done == ["inner"]


def test_a_limit_inside_a_limit_does_not_lift_it():
    done = []
    with pytest.raises(OutOfTime, match="the outer work"), at_most(0.3, "the outer work"):
        works(0, 60, done)
    assert done == ["inner"]


def test_no_alarm_is_left_where_none_was():
    with at_most(60, "the work"):
        pass
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
