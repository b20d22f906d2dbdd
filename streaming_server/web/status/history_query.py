"""A request for the history, over HTTP or on the status channel."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from streaming_server.web.status.history import FINE_MINUTES, MOST_MINUTES


class HistoryQuery(BaseModel):
    model_config = ConfigDict(frozen=True, allow_inf_nan=False)

    minutes: int = Field(
        FINE_MINUTES, ge=1, le=MOST_MINUTES, description="How far to go back; beyond 15 in steps of 10 s."
    )
    since: float = Field(
        -1.0, description="Only what came later, in seconds since the server started: the last `at` known."
    )
