"""The two sides that are compared."""

from __future__ import annotations

from dataclasses import dataclass

from streaming_server.bench.dia.ours import Ours
from streaming_server.bench.dia.plan import Plan
from streaming_server.bench.dia.progress import Progress
from streaming_server.bench.dia.reference import Reference


@dataclass(frozen=True, slots=True)
class Sides:
    """reference: None if this engine is measured alone."""

    plan: Plan
    ours: Ours
    reference: Reference | None
    progress: Progress
