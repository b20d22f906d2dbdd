"""Invalid messages on the native websocket."""

from __future__ import annotations

import time

import pytest

from streaming_server.errors import BadMessage, BadValue
from streaming_server.web.native.messages import read


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ('{"type":"start","speed":9}', "speed: must be a number from 0.25 to 4."),
        ('{"type":"start","speed":"1"}', "speed: must be a number from 0.25 to 4."),
        ('{"type":"start","seed":false}', f"seed: must be a whole number from 0 to {2**63 - 1}."),
        (
            '{"type":"start","language":"E!"}',
            "language: must be a language tag, such as en-GB, or auto.",
        ),
        ('{"type":"start","context":""}', "context: must be a string of 1 to 64 characters."),
        ('{"type":"start","context":"\\ud800"}', "context: must be valid text."),
        ('{"type":"start","voice":["aria"]}', "voice: must be a string of 1 to 128 characters."),
        ('{"type":"text"}', "text: is required."),
        ('{"type":"played","samples":true}', f"samples: must be a whole number from 0 to {2**63 - 1}."),
        ('{"type":"ping","id":[]}', f"id: must be a string or a whole number from {-(2**53)} to {2**53}."),
    ],
)
def test_error_names_the_field_and_its_valid_values(raw: str, message: str) -> None:
    with pytest.raises(BadValue) as caught:
        read(raw)
    assert (caught.value.message, caught.value.field) == (message, message.partition(":")[0])


@pytest.mark.parametrize(
    ("raw", "why"),
    [("{}", "must have a type"), ('{"type":"no"}', "Unknown"), ('{"type":[]}', "Unknown"), ("[]", "object")],
)
def test_rejects_an_unknown_type(raw: str, why: str) -> None:
    with pytest.raises(BadMessage, match=why):
        read(raw)


def test_rejects_a_lone_surrogate_in_a_field_name() -> None:
    with pytest.raises(BadValue) as caught:
        read('{"type":"start","\\ud800":1}')
    assert caught.value.message.encode()


THOUSANDS = ",".join(f'"a{number}":1' for number in range(12_000))


@pytest.mark.parametrize("fields", [THOUSANDS, f'"voices":{{{THOUSANDS}}}'], ids=["options", "voices"])
def test_a_message_of_thousands_of_values_is_refused_quickly(fields: str) -> None:
    """It took up to 0.15 s of the event loop."""
    began = time.process_time()
    with pytest.raises(BadMessage, match="more than 1000 values"):
        read(f'{{"type":"start",{fields}}}')
    assert time.process_time() - began < 0.05
