"""Back-off and breaker of restarts."""

from streaming_server.pool.restart import BREAKER_WINDOW_S, RestartPolicy


def test_delays_double_from_one_second_up_to_thirty() -> None:
    policy = RestartPolicy()
    delays = [policy.died(now=100.0 * n, lived_s=0.5) for n in range(7)]
    assert delays == [1, 2, 4, 8, 16, 30, 30]


def test_thousands_of_deaths_are_no_error() -> None:
    policy = RestartPolicy()
    for n in range(3000):
        assert policy.died(now=31.0 * n, lived_s=0.5) <= 60


def test_a_long_life_resets_the_delay() -> None:
    policy = RestartPolicy()
    policy.died(0.0, lived_s=0.1)
    policy.died(10.0, lived_s=0.1)
    assert policy.died(1000.0, lived_s=900.0) == 1


def test_the_breaker_opens_at_five_deaths_in_a_minute() -> None:
    policy = RestartPolicy()
    for now in (0.0, 1.0, 3.0, 7.0):
        policy.died(now, lived_s=0.1)
        assert not policy.broken
    assert policy.died(15.0, lived_s=0.1) == BREAKER_WINDOW_S
    assert policy.broken


def broken_policy() -> RestartPolicy:
    policy = RestartPolicy()
    for now in range(5):
        policy.died(float(now), lived_s=0.1)
    return policy


def test_an_open_breaker_stays_open_if_the_attempt_dies() -> None:
    policy = broken_policy()
    for now in (70.0, 131.0, 192.0):
        assert policy.died(now, lived_s=1.0) == BREAKER_WINDOW_S
        assert policy.broken


def test_an_attempt_that_lives_closes_the_breaker() -> None:
    policy = broken_policy()
    assert policy.died(70.0 + BREAKER_WINDOW_S, lived_s=BREAKER_WINDOW_S) == 1
    assert not policy.broken


def test_deaths_far_apart_leave_the_breaker_closed() -> None:
    policy = RestartPolicy()
    for n in range(20):
        policy.died(20.0 * n, lived_s=19.0)
        assert not policy.broken
