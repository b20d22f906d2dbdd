"""Responses of the running server against the OpenAPI document.

Apart from the other tests of the document, since building its cases takes seconds in every process that
collects them: see conftest.py.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from helpers.routes import documented_routes
from helpers.servers import Server, running_server
from helpers.whisper_checkpoint import make
from hypothesis import HealthCheck, settings
from schemathesis import Case, Response, openapi
from schemathesis.checks import CheckContext, CheckFunction, not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    ensure_resource_availability,
    ignored_auth,
    missing_required_header,
    negative_data_rejection,
    positive_data_acceptance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
    use_after_free,
)

from streaming_server.web.openapi.document import document

SETTLED_WHILE_IT_RUNS = (
    "audio_file",
    "audio_prompt",
    "bit_rate",
    "container",
    "input",
    "language",
    "model",
    "output_format",
    "prompt_id",
    "sample_rate",
    "style",
    "text",
    "transcript",
    "voice",
    "voice_id",
    "voices",
    "whisper_model_size",
    "word",
)
"""Fields whose valid values depend on the engine, on what is stored or on each other. Of texts and names JSON
Schema cannot say that there must be something to speak, or which letters Unicode has."""


def valid_requests_are_accepted(context: CheckContext, response: Response, case: Case) -> bool | None:
    """Check that only what the document cannot say is refused."""
    told = json.dumps(response.json()) if response.status_code in (400, 404, 415, 422) else ""
    of_audio = response.status_code == 415 or any(unit in told for unit in (" Hz", " bit/s", " bit rate"))
    if of_audio or any(f'"{field}' in told for field in SETTLED_WHILE_IT_RUNS):
        return None
    return positive_data_acceptance(context, response, case)


CHECKED: tuple[CheckFunction, ...] = (
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    negative_data_rejection,
    valid_requests_are_accepted,
    missing_required_header,
    unsupported_method,
    use_after_free,
    ensure_resource_availability,
    ignored_auth,
)
"""All of Schemathesis' checks but the one of the response time, which has no limit of its own."""


operations = openapi.from_dict(document(documented_routes()))


@pytest.fixture(scope="module")
def used_up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server in debug mode with a Whisper model, which the tests may change."""
    folder = tmp_path_factory.mktemp("described")
    checkpoint = make(folder / "heard.pt", say=" Hello there.")
    options = ("--debug", "--log-format=json", f"--whisper-model={checkpoint}")
    with running_server(folder / "log", *options) as server:
        yield server


@pytest.mark.slow
@operations.parametrize()
@settings(
    max_examples=12, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
)
def test_responses_conform_to_the_document(case: Case, used_up: Server) -> None:
    case.call_and_validate(base_url=used_up.url, checks=list(CHECKED), timeout=30)
