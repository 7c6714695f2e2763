"""Starts a real sidecar with the configuration that a manifest carries."""

import os
import re
import signal
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path


def start(program, name, pod):
    """Starts a sidecar with the file's configuration, its paths moved into a folder, and asks what the probes ask."""
    with tempfile.TemporaryDirectory() as work:
        config = pod.text
        for path in ("/run/secrets/pointsman", "/run/pointsman", "/etc/pointsman/plugins", "/var/cache/pointsman"):
            if path not in config:
                yield f"{name}: the configuration names nothing in {path}"
            (Path(work) / path[1:]).mkdir(parents=True, exist_ok=True)
            config = config.replace(f'"{path}', f'"{work}{path}')
        config = config.replace(pod.get("listen", "admin"), "127.0.0.1:0")
        # Nobody ends beside it, so there is nothing to wait for.
        config = re.sub(r"(?m)^accept_grace_ms = .*", "accept_grace_ms = 100", config)
        for volume in pod.volumes.values():
            for item in volume.get("secret", {}).get("items", []):
                secret = CERTIFICATE if item["path"].endswith(".crt") else "a-secret"
                (Path(work) / "run/secrets/pointsman" / item["path"]).write_text(secret + "\n")
        (Path(work) / "pointsman.toml").write_text(config)
        with (Path(work) / "log").open("w+b") as log:
            environment = {key: value for key, value in os.environ.items() if not key.startswith("POINTSMAN")}
            command = [program, "run", "--config", f"{work}/pointsman.toml"]
            process = subprocess.Popen(command, stderr=log, cwd=work, env=environment)
            try:
                yield from (f"{name}: {finding}" for finding in ask(process, Path(work)))
            finally:
                process.kill()
                process.wait()


def ask(process, work):
    said = work / "log"
    deadline = time.monotonic() + 30
    while True:
        listening = re.search(r'"message":"admin listens","address":"([^"]+)"', said.read_text())
        if listening:
            break
        if process.poll() is not None or time.monotonic() > deadline:
            yield f"the sidecar does not start with this configuration: {said.read_text().strip()}"
            return
        time.sleep(0.05)
    admin = listening[1]

    def status(path):
        try:
            with urllib.request.urlopen(f"http://{admin}{path}", timeout=5) as answer:
                return answer.status
        except urllib.error.HTTPError as error:
            return error.code

    # Its plugin is not there, and neither is Kafka: alive, but not ready.
    for path, expected in (("/live", 200), ("/ready", 503), ("/metrics", 200), ("/config", 401)):
        if (got := status(path)) != expected:
            yield f"a sidecar with this configuration answers {got} on {path}, expected {expected}"
    if not (work / "run/pointsman/ingest.sock").is_socket():
        yield "a sidecar with this configuration makes no socket at listen.unix"
    cache = work / "var/cache/pointsman/code"
    if not cache.is_dir() or cache.stat().st_mode & 0o077:
        yield "a sidecar with this configuration makes no cache_dir of mode 0700"
    process.send_signal(signal.SIGTERM)
    if (code := process.wait(60)) != 0:
        yield f"a sidecar with this configuration ends with {code} on SIGTERM, expected 0"


# Any certificate will do: nothing is connected to. Self-signed, and its key was thrown away.
CERTIFICATE = """-----BEGIN CERTIFICATE-----
MIIBhjCCAS2gAwIBAgIUVKJgrcULhYzie66Av4SlIXryBxYwCgYIKoZIzj0EAwIw
GDEWMBQGA1UEAwwNa2Fma2EuZXhhbXBsZTAgFw0yNjExMjUwMjI2MDRaGA8yMTI2
MTEwMTAyMjYwNFowGDEWMBQGA1UEAwwNa2Fma2EuZXhhbXBsZTBZMBMGByqGSM49
AgEGCCqGSM49AwEHA0IABOfmzn6g+wkGpj+fDkeyMOeRQjlut+LQ8NahqKq6cRzH
/GopMWyldua4/ZtNImT/lY8g3q5tsu023+TKUTbbG8KjUzBRMB0GA1UdDgQWBBTl
bG3QdeT8adid5v//i0ZH+TB4DzAfBgNVHSMEGDAWgBTlbG3QdeT8adid5v//i0ZH
+TB4DzAPBgNVHRMBAf8EBTADAQH/MAoGCCqGSM49BAMCA0cAMEQCIH7alEdpxcN5
KIL/saF+64L0afpznMiUqKRJtlzJGBIwAiBGl2B8Gs/+XP60zB7VB8L17Gm+7SUs
aBnZ1T1EctSDFg==
-----END CERTIFICATE-----"""
