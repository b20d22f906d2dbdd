"""Responses of the running server against the OpenAPI document.

Apart from the other tests of the document, since building its cases takes seconds in every process that
collects them: see conftest.py.
"""

from __future__ import annotations

import json
import re
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

REFUSED_FOR = (
    r"there is nothing in it to say",
    r"language: the running engine does not speak it",
    r"must be 1 to 64 letters, digits",  # JSON Schema does not know which letters Unicode has.
    r"word: .* is not a word",
    r"word: .* is in the list twice",
    r"ipa: (contains .* is not an IPA character|must contain an IPA letter)",
    r"must contain words",
    r"whisper_model_size: must be the model of --whisper-model or one of",
    r"The file is (damaged or not a recording|empty)",
    r"container: does not hold this encoding",
    r"takes [\d, to]+ (Hz|bit/s)|cannot be written at \d+ Hz|it takes [\d, ]+|from \d+ to \d+ Hz",
    r"sample_rate: must be one of [\d, ]+",
    r"No voice",
)
"""Refusals that no schema announces: they depend on the engine, the store, other fields, or Unicode."""


def valid_requests_are_accepted(context: CheckContext, response: Response, case: Case) -> bool | None:
    """Check that only what the document cannot say is refused."""
    refused = response.status_code in (400, 404, 415, 422)
    told = json.dumps(response.json(), ensure_ascii=False) if refused else ""
    if any(re.search(reason, told) for reason in REFUSED_FOR):
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
