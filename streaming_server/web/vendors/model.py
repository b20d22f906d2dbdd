"""The base of models for messages, bodies and queries of other vendors' clients."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, model_validator


class ClientFields(BaseModel):
    """The fields that have a meaning here; others are ignored.

    null counts as absent: clients send it for what they leave to the server.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _without_nulls(cls, data: Any) -> Any:
        if isinstance(data, dict) and None in data.values():
            return {name: value for name, value in data.items() if value is not None}
        return data
