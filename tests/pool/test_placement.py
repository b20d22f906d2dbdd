"""Placement of contexts on workers."""

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


def test_chooses_the_least_loaded() -> None:
    assert choose([worker(2), worker(1), worker(3)], after=-1) == 1


def test_load_is_relative_to_the_slots() -> None:
    assert choose([worker(2, slots=4), worker(3, slots=64)], after=-1) == 1


def test_contexts_break_ties_of_load_and_take_no_slot() -> None:
    assert choose([worker(1, contexts=300), worker(1)], after=-1) == 1
    assert choose([worker(1, contexts=300), worker(2)], after=-1) == 0
    assert choose([worker(0, contexts=300)], after=-1) == 0


def test_ties_are_broken_in_turn() -> None:
    after, order = -1, []
    for _ in range(6):
        chosen = choose([worker(), worker(), worker()], after)
        assert chosen is not None
        order.append(after := chosen)
    assert order == [0, 1, 2, 0, 1, 2]


def test_avoids_high_pressure_while_another_has_room() -> None:
    assert choose([worker(0, level="high"), worker(3)], after=-1) == 1


def test_chooses_high_pressure_if_no_other_has_room() -> None:
    assert choose([worker(0, level="high"), worker(6)], after=-1) == 0


def test_never_chooses_critical_pressure() -> None:
    assert choose([worker(0, level="critical")], after=-1) is None


def test_chooses_a_silent_worker_last() -> None:
    assert choose([worker(0, silent=True), worker(5)], after=-1) == 1
    assert choose([worker(0, silent=True), worker(3, level="high")], after=-1) == 1
    assert choose([worker(0, silent=True), worker(6)], after=-1) == 0


def test_never_chooses_a_worker_that_is_not_ready() -> None:
    assert choose([worker(ready=False), worker(5)], after=-1) == 1
    assert choose([worker(ready=False)], after=-1) is None


def test_a_worker_is_full_at_one_and_a_half_times_its_slots() -> None:
    assert choose([worker(5, slots=4)], after=-1) == 0
    assert choose([worker(6, slots=4)], after=-1) is None


def test_no_workers() -> None:
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
def test_the_choice_has_room_and_none_is_better(workers: list[Candidate], after: int) -> None:
    chosen = choose(workers, after)
    able = [one for one in workers if one.has_room]
    if chosen is None:
        assert not able
        return
    best = workers[chosen]
    assert best.has_room
    assert not best.silent or all(one.silent for one in able)
    peers = [one for one in able if one.silent == best.silent]
    assert best.level == "normal" or all(one.level != "normal" for one in peers)
    assert all(share(best) <= share(one) for one in peers if relaxed(one) == relaxed(best))


def relaxed(one: Candidate) -> bool:
    return one.level == "normal"


def share(one: Candidate) -> tuple[float, float]:
    return one.load / one.slots, one.contexts / one.slots
