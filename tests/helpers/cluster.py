"""Servers that share a database and an object store, each with a data directory of its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from helpers.object_store import ObjectStore
from helpers.postgres import Postgres
from helpers.servers import Server

IN_FORCE_S = 2.0
"""Seconds after which a change made on one server counts on all."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """start_server: starts a server with options and variables."""

    start_server: Callable[..., Server]
    database: str
    objects: str
    variables: dict[str, str]

    @classmethod
    def of(cls, start_server: Callable[..., Server], postgres: Postgres, store: ObjectStore) -> Cluster:
        return cls(start_server, postgres.schema_url(), store.new_bucket(), dict(store.environment))

    def start(self, node: str, *options: str, **environment: str) -> Server:
        shared = {"DIA_DATABASE": self.database, "DIA_OBJECTS": self.objects, "DIA_NODE": node}
        return self.start_server("--max-workers=1", *options, **shared, **self.variables, **environment)
