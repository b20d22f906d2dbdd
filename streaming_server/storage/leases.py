"""Leases: claims of servers that share a database, each until a time by the database's clock.

The lease of a job stands in its own row, see `Jobs`; all others are rows of one table.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass

from streaming_server.storage.database import Database, Transaction

LEASE_S = 20.0
"""Seconds for which a server holds what it works on without renewing its lease."""

RENEW_S = 5.0
"""Seconds between renewals; several fit into LEASE_S."""

EXPIRED_KEPT_S = 3600.0
"""Seconds for which an expired lease is kept: it can be renewed while no other server wants its name."""


@dataclass(frozen=True, slots=True)
class Lease:
    """name: what is claimed. holder: a random id, different for every lease."""

    name: str
    holder: str


class Leases:
    """The table of leases. Several may have the same name.

    To claim a name for one alone, call `taken` and `take` in one exclusive transaction.
    """

    def __init__(self, database: Database) -> None:
        self._clock = database.clock

    def taken(self, transaction: Transaction, name: str) -> bool:
        """Return whether anybody holds a lease of that name. Expired ones are deleted."""
        transaction.execute(
            f"DELETE FROM leases WHERE name = :name AND lease_until <= {self._clock}", name=name
        )
        return transaction.row("SELECT 1 FROM leases WHERE name = :name", name=name) is not None

    def take(self, transaction: Transaction, name: str, seconds: float = LEASE_S) -> Lease:
        """Add a lease."""
        lease = Lease(name, secrets.token_hex(16))
        transaction.execute(
            "INSERT INTO leases (name, holder, lease_until)"
            f" VALUES (:name, :holder, {self._clock} + :seconds)",
            name=name,
            holder=lease.holder,
            seconds=seconds,
        )
        return lease

    def renew(self, transaction: Transaction, lease: Lease, seconds: float = LEASE_S) -> bool:
        """Extend a lease. Return False if it is lost.

        An expired lease can be renewed until another server calls `taken` for its name.
        """
        return bool(
            transaction.execute(
                f"UPDATE leases SET lease_until = {self._clock} + :seconds"
                " WHERE name = :name AND holder = :holder",
                name=lease.name,
                holder=lease.holder,
                seconds=seconds,
            )
        )

    def release(self, transaction: Transaction, lease: Lease) -> None:
        """End a lease, if it still exists."""
        transaction.execute(
            "DELETE FROM leases WHERE name = :name AND holder = :holder",
            name=lease.name,
            holder=lease.holder,
        )

    def clear_abandoned(self, transaction: Transaction) -> None:
        """Delete leases that killed servers left long ago, whose names no server has asked for since."""
        transaction.execute(
            f"DELETE FROM leases WHERE lease_until <= {self._clock} - :seconds", seconds=EXPIRED_KEPT_S
        )

    def clear(self, transaction: Transaction) -> None:
        """End all leases. Only for a database that no other server uses."""
        transaction.execute("DELETE FROM leases")
