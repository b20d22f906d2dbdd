"""A Ray cluster of two nodes on loopback, with the application deployed."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from helpers.servers import Server, free_port, until

DRAINING_PERIOD_S = 25
REPLICA_PORTS = range(30_000, 31_000)
ANY_PORTS = ("--min-worker-port=0", "--max-worker-port=0", "--dashboard-agent-listen-port=0")
"""Ray's own choice is the range of the tests' ports."""
DEPLOY = """
import json, sys
import ray
from ray import serve
from streaming_server.deploy.ray import application

address, port, options = json.loads(sys.argv[1])
ray.init(address=address, log_to_driver=False)
serve.start(proxy_location="HeadOnly", http_options={"host": "0.0.0.0", "port": port})
try:
    serve.run(application(options), name="speech")
finally:
    print(serve.status().applications["speech"].status)
"""


@dataclass(frozen=True, slots=True)
class RayCluster(Server):
    """A running cluster, which looks like a server. `process` is that of its head node."""

    address: str
    environment: Mapping[str, str]
    nodes: tuple[subprocess.Popen[bytes], ...]

    def deploy(self, **options: Any) -> None:
        """Deploy the application with these options, and wait until it runs.

        Ray gives its proxy a minute to start and then kills it, which happens on a busy machine: try again.
        """
        for _ in range(2):
            done = self.try_to_deploy(**options)
            if done.returncode == 0 or "killed by `ray.kill`" not in done.stderr:
                break
        assert done.returncode == 0, done.stderr[-3000:]

    def try_to_deploy(self, **options: Any) -> subprocess.CompletedProcess[str]:
        """Deploy once. The output ends with the status of the application."""
        arguments = json.dumps([self.address, self.port, {"gpus": 0, **options}])
        return subprocess.run(
            [sys.executable, "-c", DEPLOY, arguments],
            env=dict(self.environment),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def replicas(self) -> dict[str, int]:
        """Return the number of contexts of each replica that does not stop, by name."""
        found: dict[str, int] = {}
        for port in map(_port, self.replica_processes()):
            replica = Server(self.process, port, self.log)
            with suppress(OSError):  # One that begins or ends.
                if replica.get("/-/healthz")[0] != 200:
                    continue
                metrics = replica.get("/metrics")[1]
                [(name, count)] = re.findall(r'^dia_contexts{node="(.+)"} (\S+)$', metrics, re.MULTILINE)
                found[name] = int(float(count))
        return found

    def node_that_answers(self) -> str | None:
        """Return the name of the replica to which the proxy sends a request, the least busy one."""
        status, metrics = self.get("/metrics")
        found = re.search(r'^dia_contexts{node="(.+)"}', metrics, re.MULTILINE) if status == 200 else None
        return found[1] if found else None

    def replica_processes(self) -> list[psutil.Process]:
        below = [child for node in self.nodes for child in psutil.Process(node.pid).children(recursive=True)]
        return [process for process in below if _is_replica(process)]

    def proxies(self) -> list[psutil.Process]:
        below = [child for node in self.nodes for child in psutil.Process(node.pid).children(recursive=True)]
        return [process for process in below if process.name() == "haproxy"]


def _port(replica: psutil.Process) -> int:
    """Return the port at which a replica serves HTTP, or 0 before it does."""
    try:
        sockets = replica.net_connections("tcp")
    except psutil.Error:
        return 0
    ports = [one.laddr.port for one in sockets if one.status == psutil.CONN_LISTEN]
    return next((port for port in ports if port in REPLICA_PORTS), 0)


def _is_replica(process: psutil.Process) -> bool:
    try:
        return process.cmdline()[0].startswith("ray::ServeReplica")
    except (psutil.Error, IndexError):
        return False


@contextmanager
def running_ray(log: Path, nodes: int = 2, **variables: str) -> Iterator[RayCluster]:
    """Run the nodes of a cluster on 127.0.0.2 and 127.0.0.3; nothing is deployed yet.

    variables: DIA_* variables of the servers.
    """
    folder = Path(tempfile.mkdtemp(prefix="ray"))  # Ray's sockets allow only short paths.
    address, port = f"127.0.0.2:{free_port()}", free_port()
    environment = {**_environment(folder), **variables}
    head = ["--head", "--node-ip-address=127.0.0.2", f"--port={address.partition(':')[2]}"]
    head += ["--include-dashboard=false", f"--temp-dir={folder}", f"--ray-client-server-port={free_port()}"]
    with ExitStack() as stack, log.open("wb") as output:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        stack.callback(_kill_proxies, folder)
        started: list[subprocess.Popen[bytes]] = []
        for options in (head, [f"--address={address}", "--node-ip-address=127.0.0.3"])[:nodes]:
            command = [
                _script("ray"),
                "start",
                "--block",
                "--num-cpus=4",
                "--num-gpus=0",
                *ANY_PORTS,
                *options,
            ]
            node = subprocess.Popen(
                command, env=environment, stdout=output, stderr=output, start_new_session=True
            )
            stack.callback(_stop, node)
            started.append(node)
            until(lambda: _started(log) == len(started) or started[-1].poll() is not None, 60)
            assert node.poll() is None, log.read_text()
        yield RayCluster(started[0], port, log, address, environment, tuple(started))


def _environment(folder: Path) -> dict[str, str]:
    from streaming_server.deploy.ray import DRAINING_PERIOD, ENVIRONMENT

    clean = {name: value for name, value in os.environ.items() if not name.startswith("DIA_")}
    return {
        **clean,
        **ENVIRONMENT,
        DRAINING_PERIOD: str(DRAINING_PERIOD_S),
        "RAY_SERVE_HAPROXY_MAXCONN": "4096",
        "RAY_SERVE_HAPROXY_CONFIG_FILE_LOC": str(folder / "proxy" / "haproxy.cfg"),
        "RAY_SERVE_HAPROXY_SOCKET_PATH": str(folder / "proxy" / "admin.sock"),
        "RAY_SERVE_HAPROXY_SERVER_STATE_BASE": str(folder / "proxy"),
        "RAY_SERVE_HAPROXY_SERVER_STATE_FILE": str(folder / "proxy" / "server-state"),
        "RAY_SERVE_HAPROXY_METRICS_PORT": str(free_port()),
        "RAY_SERVE_HAPROXY_STATS_PORT": str(free_port()),
        "RAY_USAGE_STATS_ENABLED": "0",
        "DIA_ENGINE": "espeak",
        "DIA_MAX_WORKERS": "1",
        "DIA_DATA_DIR": str(folder / "data"),
    }


def _started(log: Path) -> int:
    """Return how many nodes have said that they started."""
    return log.read_bytes().count(b"Ray runtime started")


def _script(name: str) -> str:
    return str(Path(sys.executable).with_name(name))


def _kill_proxies(folder: Path) -> None:
    """Kill the proxies that reloads have left behind."""
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.name() == "haproxy" and any(str(folder) in word for word in process.cmdline()):
                process.kill()


def _stop(node: subprocess.Popen[bytes]) -> None:
    """Stop a node with everything below it."""
    below = psutil.Process(node.pid).children(recursive=True)
    node.send_signal(signal.SIGTERM)
    try:
        node.wait(15)
    except subprocess.TimeoutExpired:
        node.kill()
        node.wait()
    for process in below:
        if process.is_running():
            process.kill()
