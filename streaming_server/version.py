"""The version of the installed package."""

from __future__ import annotations

from importlib import metadata


def package_version() -> str:
    """Return the version, "0" where the package runs without being installed."""
    try:
        return metadata.version("streaming-server")
    except metadata.PackageNotFoundError:
        return "0"
