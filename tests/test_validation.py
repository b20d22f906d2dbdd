"""pydantic's errors in the words of this server."""

from __future__ import annotations

from typing import Any, Self

import pytest
from pydantic import BaseModel, Field, ValidationError, model_validator

from streaming_server.validation import Problem, problems


class Example(BaseModel):
    port: int = Field(0, ge=0, le=65535)
    ids: tuple[int, ...] = ()
    low: float = 0.0
    high: float = 1.0

    @model_validator(mode="after")
    def _check_order(self) -> Self:
        if self.low > self.high:
            raise ValueError("Low exceeds high; swap them")
        return self


PORT = Problem(("port",), "must be a whole number from 0 to 65535.")


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ({"port": "x"}, [PORT]),
        ({"port": 99999, "low": "x"}, [PORT, Problem(("low",), "must be a number.")]),
        ({"ids": [0, "x", "y"]}, [Problem(("ids", "1"), "must be a whole number.")]),
        ({"low": 2, "high": 1}, [Problem((), "Low exceeds high; swap them.")]),
    ],
)
def test_each_wrong_field_is_one_problem(value: dict[str, Any], found: list[Problem]) -> None:
    with pytest.raises(ValidationError) as caught:
        Example.model_validate(value)
    assert problems(caught.value, Example.model_json_schema()) == found
