"""Look for known vulnerabilities in environments: `python .ci/audit.py ENVIRONMENT…`. Needs pip-audit.

Exit with 1 if there are any that `.ci/audit-allowed.txt` does not name. Advisories are in PyPI's JSON API. If
they cannot be read, say so and exit with 0: a machine may have a mirror of the packages alone.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

ALLOWED = Path(__file__).with_name("audit-allowed.txt")
OWN = "streaming-server"


def allowed(text: str) -> dict[str, str]:
    """Return the reasons by id of the vulnerability. Raise ValueError for a line without a reason."""
    reasons = {}
    for line in text.splitlines():
        if line.strip() and not line.startswith("#"):
            name, _, reason = line.partition(" ")
            if not reason.strip():
                raise ValueError(f"{ALLOWED.name}: {name} needs a reason.")
            reasons[name] = reason.strip()
    return reasons


def advisories(environment: str) -> list[dict[str, Any]] | None:
    """Return what pip-audit says of each package, or None if it cannot read any advisories."""
    paths = [str(path) for path in Path(environment).glob("lib/python*/site-packages")]
    command = [sys.executable, "-m", "pip_audit", "--format=json", "--progress-spinner=off"]
    command += [f"--path={path}" for path in paths]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    try:
        packages: list[dict[str, Any]] = json.loads(done.stdout)["dependencies"]
    except ValueError:
        print(*done.stderr.strip().splitlines()[-1:])
        return None
    return packages if any("vulns" in package for package in packages) else None


def judge(packages: list[dict[str, Any]], reasons: dict[str, str]) -> list[str]:
    """Return the vulnerabilities that are not allowed, in sentences; print the others."""
    found = []
    for package in packages:
        for flaw in package.get("vulns", ()):
            names = {flaw["id"], *flaw["aliases"]}
            what = f"{package['name']} {package['version']}: {', '.join(sorted(names))}"
            if known := names & reasons.keys():
                print(f"{what} (allowed: {reasons[known.pop()]})")
            else:
                found.append(f"{what}; fixed in {', '.join(flaw['fix_versions']) or 'no version'}")
    return found


def main(environments: list[str]) -> int:
    reasons = allowed(ALLOWED.read_text())
    found = []
    for environment in environments:
        packages = advisories(environment)
        if packages is None:
            print(f"{environment}: no advisories can be read from here; nothing was audited.")
            continue
        missing = [one["name"] for one in packages if "vulns" not in one and one["name"] != OWN]
        print(f"{environment}: {len(packages)} packages; skipped: {', '.join(missing) or 'none'}")
        found += judge(packages, reasons)
    for one in dict.fromkeys(found):
        print(one)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
