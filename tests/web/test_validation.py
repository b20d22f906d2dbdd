"""Error messages of validation."""

from __future__ import annotations

from typing import Any, Literal

import httpx
import orjson
import pytest
from helpers.rest import to
from helpers.servers import Server
from pydantic import BaseModel, Field, field_validator

from streaming_server.errors import BadMessage, BadValue
from streaming_server.web.validation import MOST_LEVELS, validated, validated_query


class Choice(BaseModel):
    id: str = Field(min_length=1, max_length=128)
    weight: float | None = Field(None, gt=0, le=2)


class Example(BaseModel):
    """One field of each kind."""

    model_config = {"extra": "forbid", "allow_inf_nan": False}

    text: str = Field("x", min_length=1, max_length=4096)
    tag: str = Field("", max_length=8)
    word: str = Field("x", min_length=1)
    language: str = Field("en", pattern="^[a-z]{2}$", description="a language tag, such as en")
    speed: float | None = Field(None, ge=0.25, le=4.0)
    top_p: float | None = Field(None, gt=0.0, le=1.0)
    limit: int | None = Field(None, ge=1)
    seed: int | None = Field(None, ge=0, lt=2**63)
    words: bool = False
    format: Literal["wav", "mp3"] = "wav"
    kind: Literal["id"] = "id"
    voice: str | Choice = "aria"
    choices: list[Choice] = Field(default_factory=list)
    odd: int = 1

    @field_validator("odd")
    @classmethod
    def _is_odd(cls, value: int) -> int:
        if value % 2 == 0:
            raise ValueError("must be odd")
        return value


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"text": ""}, "text: must be a string of 1 to 4096 characters."),
        ({"text": None}, "text: must be a string of 1 to 4096 characters."),
        ({"tag": "123456789"}, "tag: must be a string of at most 8 characters."),
        ({"word": ""}, "word: must be a string of at least 1 character."),
        ({"language": "E"}, "language: must be a language tag, such as en."),
        ({"speed": 9}, "speed: must be a number from 0.25 to 4."),
        ({"speed": "1"}, "speed: must be a number from 0.25 to 4."),
        ({"speed": True}, "speed: must be a number from 0.25 to 4."),
        ({"top_p": 0}, "top_p: must be a number, more than 0 and at most 1."),
        ({"limit": 0}, "limit: must be a whole number, at least 1."),
        ({"seed": False}, f"seed: must be a whole number from 0 to {2**63 - 1}."),
        ({"seed": 1.5}, f"seed: must be a whole number from 0 to {2**63 - 1}."),
        ({"words": 1}, "words: must be true or false."),
        ({"format": "ogg"}, "format: must be one of wav, mp3."),
        ({"kind": "name"}, "kind: must be id."),
        ({"voice": 5}, "voice: must be a string or an object."),
        ({"voice": {"id": 5}}, "voice.id: must be a string of 1 to 128 characters."),
        ({"voice": {}}, "voice.id: is required."),
        ({"choices": [{"id": "a"}, {"id": ""}]}, "choices.1.id: must be a string of 1 to 128 characters."),
        ({"choices": 3}, "choices: must be a list."),
        ({"odd": 2}, "odd: must be odd."),
        ({"unknown": 1}, "unknown: is not a known field."),
    ],
)
def test_error_names_the_field_and_its_valid_values(value: dict[str, Any], message: str) -> None:
    with pytest.raises(BadValue) as caught:
        validated(Example, value)
    assert caught.value.message == message
    assert caught.value.field == message.partition(":")[0]


@pytest.mark.parametrize("value", [None, [], "text", 1, True])
def test_rejects_anything_but_an_object(value: Any) -> None:
    with pytest.raises(BadMessage, match="JSON object is expected"):
        validated(Example, value)


def test_numbers_in_a_query_are_parsed() -> None:
    query = validated_query(Example, {"speed": "1.5", "seed": "7", "words": "true"})
    assert (query.speed, query.seed, query.words) == (1.5, 7, True)
    with pytest.raises(BadValue, match="speed: must be a number from"):
        validated_query(Example, {"speed": "fast"})


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/v1/audio/speech", {"input": "Hi.", "voice": 5}, "voice"),
        ("/v1/audio/speech", {"input": "Hi.", "voice": ["aria"]}, "voice"),
        ("/v1/audio/speech", {"input": "Hi.", "voice": {"id": 5}}, "voice.id"),
        ("/v1/audio/speech", {"input": "Hi.", "seed": False}, "seed"),
        ("/v1/audio/speech", {"input": "Hi.", "speed": True}, "speed"),
        ("/generate", {"text": "Hi.", "voice_id": "aria", "seed": False}, "seed"),
        ("/generate", {"text": "Hi.", "voice_id": "aria", "max_tokens": True}, "max_tokens"),
        ("/v1/text-to-speech/aria", {"text": "Hi.", "seed": False}, "seed"),
        (
            "/v1/text-to-speech/aria",
            {"text": "Hi.", "voice_settings": {"speed": False}},
            "voice_settings.speed",
        ),
        ("/voice_mappings", {"voice_id": "mine", "seed": False}, "seed"),
    ],
)
def test_the_field_is_one_that_the_client_sent(
    server: Server, path: str, body: dict[str, Any], field: str
) -> None:
    with to(server) as client:
        answer = client.post(path, json=body)
    assert answer.status_code in (400, 422), answer.text
    told = answer.json()
    message = (told.get("error") or told["detail"])["message"]
    assert message.startswith(f"{field}: must be ")
    if path.startswith("/v1/audio"):
        assert told["error"]["param"] == field


def test_a_query_of_the_wrong_type_names_its_parameter(server: Server) -> None:
    answer = httpx.post(f"{server.url}/v1/speak?speed=fast", json={"text": "Hi."})
    assert (answer.status_code, "speed: must be a number from 0.25 to 4." in answer.text) == (400, True)


@pytest.mark.parametrize("number", [5.0, 5])
def test_a_whole_number_may_have_a_point(server: Server, number: float) -> None:
    """JSON has one kind of number, and JSON Schema takes 5.0 for an integer."""
    with to(server) as client:
        body = {"text": "Hi.", "voice_id": "aria", "seed": number, "max_tokens": 100 * number}
        assert client.post("/generate", json=body).status_code == 200
        assert client.post("/generate", json=body | {"seed": 5.5}).status_code == 422


def test_whole_numbers_are_found_at_any_depth() -> None:
    value = {"limit": 5.0, "choices": [{"id": "a", "weight": 2.0}], "speed": 1.5}
    read = validated(Example, value)
    assert (read.limit, read.choices, read.speed) == (5, [Choice(id="a", weight=2)], 1.5)
    for seed in (float("inf"), float("nan")):
        with pytest.raises(BadValue, match="seed: must be a whole number"):
            validated(Example, {"seed": seed})


@pytest.mark.parametrize("depth", [MOST_LEVELS, 500, 1000])
@pytest.mark.parametrize("pair", ["[]", '{"a":}'], ids=["lists", "objects"])
def test_a_value_that_nests_too_deeply_is_refused(server: Server, depth: int, pair: str) -> None:
    """orjson decodes about a thousand levels, which is where pydantic's errors fail."""
    opening, closing = pair[:-1], pair[-1]
    nested = opening * depth + "5.0" + closing * depth
    with pytest.raises(BadMessage, match="nested more than 32 levels"):
        validated(Example, {"unknown": orjson.loads(nested)})
    with to(server) as client:
        for path, body in (
            ("/generate", f'{{"text": "Hi.", "voice_id": "aria", "seed": {nested}}}'),
            ("/v1/audio/speech", f'{{"input": "Hi.", "voice": {nested}}}'),
        ):
            answer = client.post(path, content=body, headers={"Content-Type": "application/json"})
            assert answer.status_code in (400, 422), answer.text


def test_a_value_may_nest_as_deep_as_is_allowed() -> None:
    nested = "[" * (MOST_LEVELS - 1) + "]" * (MOST_LEVELS - 1)
    with pytest.raises(BadValue, match="unknown: is not a known field"):
        validated(Example, {"unknown": orjson.loads(nested)})


def test_the_schema_of_a_model_is_computed_once() -> None:
    """It takes milliseconds of the event loop, and a client may send hundreds of errors a second."""
    computed = []

    class Counted(BaseModel):
        number: int

        @classmethod
        def model_json_schema(cls, *arguments: Any, **options: Any) -> dict[str, Any]:
            computed.append(cls)
            return super().model_json_schema(*arguments, **options)

    for _ in range(3):
        with pytest.raises(BadValue, match="number: must be a whole number"):
            validated(Counted, {"number": "x"})
    assert computed == [Counted]


@pytest.mark.parametrize(
    "value",
    [
        {f"field{number}": 1 for number in range(1001)},
        {"choices": [{}] * 1001},
        {"choices": [{"id": "x", "weight": 1}] * 400},
    ],
    ids=["fields", "items", "nested"],
)
def test_a_value_of_too_many_parts_is_refused(value: dict[str, Any]) -> None:
    """Thousands of errors would hold up every listener for a tenth of a second."""
    with pytest.raises(BadMessage, match="more than 1000 values"):
        validated(Example, value)


def test_a_caller_may_allow_more_values() -> None:
    choices = [{"id": "x"}] * 1001
    assert len(validated(Example, {"choices": choices}, most_values=5000).choices) == 1001
