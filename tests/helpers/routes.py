"""The routes of the application."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from starlette.routing import Route

from streaming_server.settings import Settings
from streaming_server.web.app import create_app


def documented_routes() -> list[Route]:
    """Return all documented routes, those of every room."""
    with TemporaryDirectory() as folder:
        app = create_app(Settings(data_dir=Path(folder)))
    return [route for route in app.routes if isinstance(route, Route) and route.include_in_schema]
