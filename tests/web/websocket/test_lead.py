"""Estimates of what a client still has to play."""

from __future__ import annotations

from streaming_server.web.websocket.lead import Lead


def test_contexts_are_played_one_after_the_other() -> None:
    lead = Lead()
    lead.sent(3, 10)
    lead.sent(2, 11)
    assert lead.until == 15


def test_a_client_that_ran_dry_goes_on_when_more_is_sent() -> None:
    lead = Lead()
    lead.sent(1, 10)
    lead.sent(1, 20)
    assert lead.until == 21


def test_cancelled_audio_is_not_played() -> None:
    lead = Lead()
    lead.sent(60, 10)
    lead.dropped(58, 12)
    assert lead.until == 12


def test_the_audio_of_other_contexts_remains() -> None:
    lead = Lead()
    lead.sent(5, 10)
    lead.sent(60, 10)
    lead.dropped(60, 12)
    assert lead.until == 15


def test_nothing_more_can_be_dropped_than_is_left() -> None:
    lead = Lead()
    lead.sent(1, 10)
    lead.dropped(5, 15)
    assert lead.until == 11
    lead.dropped(-3, 10)
    assert lead.until == 11
