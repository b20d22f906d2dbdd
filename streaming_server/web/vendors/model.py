"""What other vendors' clients send, as it is understood."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, model_validator


class Model(BaseModel):
    """What of a message, a body or a query means something here; all else is passed over.

    null is as good as nothing: clients write it for what they leave to the server.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _without_nulls(cls, said: Any) -> Any:
        if isinstance(said, dict) and None in said.values():
            return {name: value for name, value in said.items() if value is not None}
        return said
