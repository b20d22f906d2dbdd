"""The audit of the environments in continuous integration."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).parents[1] / ".ci" / "audit.py"
FLAW = {"id": "PYSEC-1", "aliases": ["CVE-1"], "fix_versions": ["2.0"], "description": "Bad."}
PACKAGES = [
    {"name": "good", "version": "1.0", "vulns": []},
    {"name": "bad", "version": "1.0", "vulns": [FLAW]},
    {"name": "elsewhere", "skip_reason": "Dependency not found on PyPI"},
]


@pytest.fixture(scope="module")
def audit() -> ModuleType:
    spec = importlib.util.spec_from_file_location("audit", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_known_vulnerability_is_found(audit: ModuleType) -> None:
    assert audit.judge(PACKAGES, {}) == ["bad 1.0: CVE-1, PYSEC-1; fixed in 2.0"]


@pytest.mark.parametrize("name", ["PYSEC-1", "CVE-1"])
def test_a_vulnerability_with_a_reason_is_allowed(audit: ModuleType, name: str) -> None:
    assert audit.judge(PACKAGES, audit.allowed(f"# Allowed.\n\n{name} Not reached from here.")) == []


def test_a_vulnerability_without_a_reason_is_not_allowed(audit: ModuleType) -> None:
    with pytest.raises(ValueError, match="CVE-1 needs a reason"):
        audit.allowed("CVE-1")


@pytest.mark.parametrize("program", ["print('{\"dependencies\": []}')", "raise OSError('unreachable')"])
def test_unreachable_advisories_are_reported_and_do_not_fail(
    audit: ModuleType,
    program: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "pip_audit.py").write_text(program)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert audit.main([sys.prefix]) == 0
    assert "nothing was audited" in capsys.readouterr().out


def test_the_list_of_allowed_vulnerabilities_is_valid(audit: ModuleType) -> None:
    audit.allowed(audit.ALLOWED.read_text())
