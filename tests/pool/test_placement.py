"""Where the next context goes."""

from hypothesis import given
from hypothesis import strategies as st

from streaming_server.pool.memory import Level
from streaming_server.pool.placement import Candidate, choose


def worker(
    load: int = 0,
    *,
    slots: int = 4,
    level: Level = "normal",
    ready: bool = True,
    contexts: int = 0,
    silent: bool = False,
) -> Candidate:
    return Candidate(ready, level, load, slots, contexts, silent)


def test_the_least_loaded_takes_it() -> None:
    assert choose([worker(2), worker(1), worker(3)], after=-1) == 1


def test_load_is_a_share_of_the_slots() -> None:
    assert choose([worker(2, slots=4), worker(3, slots=64)], after=-1) == 1


def test_contexts_that_wait_for_text_decide_between_equal_loads_and_take_no_slot() -> None:
    assert choose([worker(1, contexts=300), worker(1)], after=-1) == 1
    assert choose([worker(1, contexts=300), worker(2)], after=-1) == 0
    assert choose([worker(0, contexts=300)], after=-1) == 0


def test_ties_go_in_turn() -> None:
    after, order = -1, []
    for _ in range(6):
        chosen = choose([worker(), worker(), worker()], after)
        assert chosen is not None
        order.append(after := chosen)
    assert order == [0, 1, 2, 0, 1, 2]


def test_high_pressure_is_avoided_while_another_can() -> None:
    assert choose([worker(0, level="high"), worker(3)], after=-1) == 1


def test_high_pressure_is_better_than_nothing() -> None:
    assert choose([worker(0, level="high"), worker(6)], after=-1) == 0


def test_critical_pressure_takes_nothing() -> None:
    assert choose([worker(0, level="critical")], after=-1) is None


def test_one_that_may_be_hanging_is_the_last_to_be_asked() -> None:
    assert choose([worker(0, silent=True), worker(5)], after=-1) == 1
    assert choose([worker(0, silent=True), worker(3, level="high")], after=-1) == 1
    assert choose([worker(0, silent=True), worker(6)], after=-1) == 0


def test_a_worker_that_is_not_ready_takes_nothing() -> None:
    assert choose([worker(ready=False), worker(5)], after=-1) == 1
    assert choose([worker(ready=False)], after=-1) is None


def test_half_as_many_as_the_slots_may_wait() -> None:
    assert choose([worker(5, slots=4)], after=-1) == 0
    assert choose([worker(6, slots=4)], after=-1) is None


def test_no_workers_no_place() -> None:
    assert choose([], after=-1) is None


candidates = st.builds(
    Candidate,
    st.booleans(),
    st.sampled_from(["normal", "high", "critical"]),
    st.integers(0, 12),
    st.integers(1, 8),
    st.integers(0, 20),
    st.booleans(),
)


@given(st.lists(candidates, max_size=8), st.integers(-1, 7))
def test_what_is_chosen_can_take_it_and_nothing_better_was_passed_over(
    workers: list[Candidate], after: int
) -> None:
    chosen = choose(workers, after)
    able = [one for one in workers if one.open]
    if chosen is None:
        assert not able
        return
    best = workers[chosen]
    assert best.open
    assert not best.silent or all(one.silent for one in able)
    peers = [one for one in able if one.silent == best.silent]
    assert best.level == "normal" or all(one.level != "normal" for one in peers)
    assert all(share(best) <= share(one) for one in peers if relaxed(one) == relaxed(best))


def relaxed(one: Candidate) -> bool:
    return one.level == "normal"


def share(one: Candidate) -> tuple[float, float]:
    return one.load / one.slots, one.contexts / one.slots
