"""A desktop's media keys: a D-Bus session bus on which browsers listen to them (MPRIS)."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from helpers.required import missing

PLAYER = "org.mpris.MediaPlayer2.Player"
PATH = "/org/mpris/MediaPlayer2"


class MediaKeys:
    """The keys of a desktop on which one browser plays."""

    def __init__(self, address: str) -> None:
        self.environment = {"DBUS_SESSION_BUS_ADDRESS": address}

    @property
    def present(self) -> bool:
        """True if a browser listens to the keys."""
        return len(self._players()) == 1

    def press(self, key: str, *arguments: str) -> None:
        """Call a method of the player: Pause, Play, PlayPause, Next or Previous."""
        self._call(self._player(), PATH, f"{PLAYER}.{key}", *arguments)

    def shown(self, name: str) -> str:
        """Return a property of the player, such as PlaybackStatus, as gdbus prints it."""
        return self._call(self._player(), PATH, "org.freedesktop.DBus.Properties.Get", PLAYER, name)

    def metadata(self, name: str) -> str | int:
        """Return an entry of the metadata, such as mpris:length."""
        found = re.search(rf"'{name}': <(?:int64 )?('[^']*'|\d+)>", self.shown("Metadata"))
        assert found is not None, self.shown("Metadata")
        value = found[1]
        return int(value) if value.isdigit() else value.strip("'")

    def _player(self) -> str:
        (player,) = self._players()
        return player

    def _players(self) -> list[str]:
        names = self._call("org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus.ListNames")
        players: list[str] = re.findall(r"org\.mpris\.MediaPlayer2\.[\w.]+", names)
        return players

    def _call(self, destination: str, path: str, method: str, *arguments: str) -> str:
        where = ["--session", f"--dest={destination}", f"--object-path={path}", f"--method={method}"]
        done = subprocess.run(
            ["gdbus", "call", *where, "--", *arguments],
            env={**os.environ, **self.environment},
            capture_output=True,
            text=True,
            timeout=20,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout


CONFIGURATION = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
  "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>session</type>
  <listen>unix:tmpdir=/tmp</listen>
  <policy context="default">
    <allow send_destination="*" eavesdrop="true"/>
    <allow eavesdrop="true"/>
    <allow own="*"/>
  </policy>
</busconfig>
"""
"""A bus that starts no services by itself."""


@contextmanager
def media_keys(folder: Path) -> Iterator[MediaKeys]:
    """Start a session bus; terminate it afterwards. Skip the test where there is no D-Bus; in CI, fail."""
    if shutil.which("dbus-daemon") is None or shutil.which("gdbus") is None:
        missing("the tests of media keys need: apt-get install dbus-daemon libglib2.0-bin")
    configuration = folder / "bus.conf"
    configuration.write_text(CONFIGURATION)
    command = ["dbus-daemon", f"--config-file={configuration}", "--nofork", "--print-address=1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as bus:
        assert bus.stdout is not None
        try:
            yield MediaKeys(bus.stdout.readline().strip())
        finally:
            bus.terminate()
