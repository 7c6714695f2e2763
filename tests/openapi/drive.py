"""Starts a sidecar on free ports, has it asked, drains it at the end; see `run`."""

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DOCUMENT = ROOT / "docs/openapi.yaml"
CONFIGURATION = ROOT / "examples/quickstart/pointsman.toml"
SEED = os.environ.get("POINTSMAN_OPENAPI_SEED", "20")
EXAMPLES = os.environ.get("POINTSMAN_OPENAPI_EXAMPLES", "40")
# Mistakes that must be found in a copy of the document, so that a check that finds nothing is known to look: what is wrong then, the
# operation that shows it, and what is replaced.
PLANTED = (
    ("a status is missing", "produce", "        '400':\n          $ref: '#/components/responses/BadRequest'\n", ""),
    ("an outcome has another name", "produce", "outcome: {enum: [acked,", "outcome: {enum: [written,"),
    ("a header has another form", "produce", "pattern: '^[0-9a-f]{32}$'", "pattern: '^[0-9a-f]{31}$'"),
    ("a type is another", "metrics", "text/plain:", "text/html:"),
)
# How long the sidecar may take to start, and to end.
PATIENCE = 120


def main():
    # Who is told to end takes the sidecar along.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    sidecar = Path(os.environ.get("POINTSMAN", ROOT / "target/debug/pointsman")).resolve()
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log"
        process = start(sidecar, Path(folder), log)
        try:
            addresses = started(process, log)
            results = [ask(tag, address, folder) for tag, address in addresses.items()]
            print("ingest answered:", statuses(addresses["admin"]))
            missed = list(planted(addresses, folder))
            drained = drain(addresses["admin"])
            code = process.wait(PATIENCE)
        finally:
            process.kill()
            process.wait()
        panics = [line for line in log.read_text().splitlines() if "panicked" in line]
    checked = {
        "every answer is documented": not any(results),
        "planted mistakes are found": not missed,
        "POST /drain drains": drained,
        "the exit code is 0": code == 0,
        "nothing panicked": not panics,
    }
    for what, fine in checked.items():
        print(f"{'✓' if fine else '✗'} {what}")
    for line in missed + panics:
        print(line)
    return 0 if all(checked.values()) else 1


def start(sidecar, folder, log):
    """With the example configuration, ports that nobody else has, and nothing in the checkout that it would write to."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("POINTSMAN_")}
    environment |= {
        "POINTSMAN_LISTEN__UNIX": str(folder / "run/ingest.sock"),
        "POINTSMAN_LISTEN__HTTP": "127.0.0.1:0",
        "POINTSMAN_LISTEN__ADMIN": "127.0.0.1:0",
        "POINTSMAN_LOG__FORMAT": "json",
        "POINTSMAN_PLUGINS__CACHE_DIR": str(folder / "cache"),
    }
    command = [sidecar, "run", "--embedded", "--config", CONFIGURATION]
    with log.open("wb") as stderr:
        return subprocess.Popen(command, cwd=ROOT, env=environment, stderr=stderr, stdin=subprocess.DEVNULL)


def started(process, log):
    """Where it listens, once it is ready."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline and process.poll() is None:
        lines = [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{") and line.endswith("}")]
        addresses = {
            line["message"].split()[0]: line["address"]
            for line in lines
            if line.get("message") in ("ingest listens", "admin listens") and "address" in line
        }
        messages = [line.get("message", "") for line in lines]
        if any(message == "ready" or message.startswith("serving, but not ready") for message in messages):
            return {tag: addresses[tag] for tag in ("ingest", "admin")}
        time.sleep(0.05)
    raise SystemExit(f"the sidecar did not start:\n{log.read_text()}")


def ask(tag, address, folder):
    """Schemathesis, on the operations of one listener; its exit code."""
    print(f"--- {tag}: seed {SEED}, at most {EXAMPLES} examples", flush=True)
    begun = time.monotonic()
    result = schemathesis(DOCUMENT, address, folder, "--include-tag", tag, "--max-examples", EXAMPLES)
    print(result.stdout)
    cases = re.search(r"(\d+) generated", result.stdout)
    print(f"--- {tag}: {cases.group(1) if cases else 'no'} requests in {time.monotonic() - begun:.0f} s", flush=True)
    return result.returncode


def planted(addresses, folder):
    """Each mistake that is not found."""
    document = DOCUMENT.read_text()
    for number, (what, operation, right, wrong) in enumerate(PLANTED):
        if right not in document:
            yield f"cannot be planted any more: {what}"
            continue
        copy = Path(folder) / f"planted-{number}.yaml"
        copy.write_text(document.replace(right, wrong))
        address = addresses["admin" if operation == "metrics" else "ingest"]
        result = schemathesis(copy, address, folder, "--include-operation-id", operation, "--max-examples", "5", "--no-shrink")
        if result.returncode != 1:
            yield f"is not found: {what}\n{result.stdout}"


def schemathesis(document, address, folder, *options):
    """Runs it in a folder where it may leave what it likes."""
    command = [sys.executable, "-m", "schemathesis.cli", "--config-file", ROOT / "tests/openapi/schemathesis.toml"]
    command += ["run", document, "--url", f"http://{address}", "--seed", SEED, "--no-color", *options]
    # Whatever it would fetch from elsewhere would have to pass a proxy that is not there.
    proxies = ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy", "ALL_PROXY")
    environment = os.environ | dict.fromkeys(proxies, "http://127.0.0.1:9") | dict.fromkeys(("no_proxy", "NO_PROXY"), "127.0.0.1")
    environment |= {"SCHEMATHESIS_HOOKS": "hooks", "PYTHONPATH": str(ROOT / "tests/openapi")}
    return subprocess.run(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )


def statuses(address):
    """How many requests of ingest were told each status: a run that only meets 400 has shown little."""
    with sent("GET", f"http://{address}/metrics") as reply:
        text = reply.read().decode()
    counted = re.findall(r'^pointsman_requests_total{status="(\d+)"} (\d+)', text, re.MULTILINE)
    return ", ".join(f"{count} times {status}" for status, count in counted)


def drain(address):
    """Last, and by hand: it ends the process."""
    with sent("POST", f"http://{address}/drain") as reply:
        report = json.load(reply)
        return reply.status == 200 and set(report) == {"finished", "left", "acked", "failed", "unknown", "topics"}


def sent(method, url):
    """Straight to the sidecar."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    return opener.open(urllib.request.Request(url, method=method), timeout=PATIENCE)


if __name__ == "__main__":
    sys.exit(main())
