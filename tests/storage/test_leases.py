"""Leases are held by one server until a time by the database's clock, on both databases."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from helpers.databases import Place

from streaming_server.storage.database import Database
from streaming_server.storage.leases import Lease, Leases


@pytest.fixture
def database(place: Place) -> Iterator[Database]:
    with place.opened() as one:
        yield one


def claim(database: Database, name: str, seconds: float = 60.0) -> Lease | None:
    leases = Leases(database)
    with database.exclusive() as transaction:
        return None if leases.taken(transaction, name) else leases.take(transaction, name, seconds)


def renew(database: Database, lease: Lease) -> bool:
    with database.transaction() as transaction:
        return Leases(database).renew(transaction, lease)


def release(database: Database, lease: Lease) -> None:
    with database.transaction() as transaction:
        Leases(database).release(transaction, lease)


def test_a_name_is_claimed_once_until_it_is_released(database: Database) -> None:
    lease = claim(database, "a")
    assert lease is not None
    assert claim(database, "a") is None
    assert claim(database, "b") is not None
    assert renew(database, lease)
    release(database, lease)
    release(database, lease)
    assert not renew(database, lease)
    assert claim(database, "a") is not None


def test_an_expired_lease_can_be_claimed_by_another(database: Database) -> None:
    expired = claim(database, "a", seconds=-1.0)
    assert expired is not None
    taken = claim(database, "a")
    assert taken is not None
    assert not renew(database, expired)
    release(database, expired)
    assert renew(database, taken)


def test_an_expired_lease_can_be_renewed_while_nobody_else_wants_it(database: Database) -> None:
    """A database that was away for a while costs no work."""
    expired = claim(database, "a", seconds=-1.0)
    assert expired is not None
    assert renew(database, expired)
    assert claim(database, "a") is None


def test_leases_of_an_earlier_run_can_be_cleared(database: Database) -> None:
    assert claim(database, "a") is not None
    with database.transaction() as transaction:
        Leases(database).clear(transaction)
    assert claim(database, "a") is not None


def test_a_lease_that_ended_long_ago_is_deleted(database: Database) -> None:
    abandoned, expired = (claim(database, name, -seconds) for name, seconds in (("a", 4000.0), ("b", 1.0)))
    with database.transaction() as transaction:
        Leases(database).clear_abandoned(transaction)
    assert abandoned is not None
    assert not renew(database, abandoned)
    assert expired is not None
    assert renew(database, expired)
