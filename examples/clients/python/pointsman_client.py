#!/usr/bin/env python3
"""A client of Pointsman that numbers its requests: its records are written in the order sent, whatever happens.

Standard library only. As a program it sends each line of standard input as the value of a record:

    seq 1000 | examples/clients/python/pointsman_client.py --socket target/run/ingest.sock --topic numbers --client demo

As a module:

    with Client("target/run/ingest.sock", "demo") as client:
        sent = client.send("orders", [{"key": "order-1", "value": {"total": 12.5}}])
        print(sent.wait()["records"][0]["offset"])

A request is kept until it has its answer, and is sent again with the same number when the connection is lost or the sidecar
says so. Several are under way at once, over as many connections; the sidecar keeps them in order.
"""

import argparse
import collections
import http.client
import json
import socket
import sys
import threading
import time

import pointsman_packed

# The answer has an outcome for each record.
_OUTCOMES = {200, 207, 422, 502, 504}
# Nothing of the request was taken, or nobody knows whether it was; the same request may be taken later.
_LATER = {408, 500, 503}
# The pause after a failed try, seconds: the first one, and the longest.
_PAUSE, _LONGEST_PAUSE = 0.05, 2.0
# The pause before a request that overtook the one before it is sent again, seconds: that one is on its way.
_SHORT_PAUSE = 0.002


class Refused(Exception):
    """The sidecar does not take the request as it is. Nothing of it was written; later requests are still sent."""


class Forgotten(Exception):
    """The request was taken, but its outcomes are no longer remembered: its records may or may not be written."""


class Stopped(Exception):
    """The client sends no more: another client of its name has replaced it, or a request met `attempts` losses."""


class Sent:
    """A request on its way."""

    def __init__(self, topic, body):
        self.path = f"/v1/topics/{topic}/records"
        self.body = body
        self.sequence = None
        # Whether a connection is sending it.
        self._busy = False
        # Whether it is sent again only once everything before it is answered.
        self._alone = False
        # Whether it overtook the one before it and will be sent again in a moment: until then, sending later ones is of
        # no use.
        self._early = False
        self._refusal = None
        self._tries = self._losses = 0
        self._answered = threading.Event()
        self._reply = self._error = None

    def wait(self, timeout=None):
        """The reply, with one outcome for each record: `acked`, or `rejected`. Raises the error if there is none."""
        if not self._answered.wait(timeout):
            raise TimeoutError(f"sequence {self.sequence} has no answer yet")
        if self._error is not None:
            raise self._error
        return self._reply


class Client:
    """One ordered stream of requests.

    target      path of the Unix socket, or (host, port)
    name        Pointsman-Client; two clients that send at the same time need two names
    epoch       Pointsman-Epoch; by default the clock, so that a client that starts anew begins a later one
    connections how many requests are under way at once
    window      how many requests are kept; `send` waits beyond it. At most the sidecar's limits.client_window
    attempts    how often a request with a `failed` or `unknown` record is sent; after that the client stops
    token       bearer token, for TCP
    timeout     of a reply, seconds; above the producer's delivery.timeout.ms
    packed      send packed records instead of JSON: less work at both ends, and keys, values and headers may be bytes
    """

    def __init__(
        self, target, name, epoch=None, connections=4, window=64, attempts=100, token=None, timeout=150.0, packed=False
    ):
        self._target, self._timeout, self._window, self._attempts = target, timeout, window, attempts
        self._packed = packed
        kind = pointsman_packed.CONTENT_TYPE if packed else "application/json"
        self._headers = {"Content-Type": kind, "Accept": kind, "Pointsman-Client": name}
        if token is not None:
            self._headers["Authorization"] = f"Bearer {token}"
        self._epoch = time.time_ns() // 1000 if epoch is None else epoch
        self._changed = threading.Condition()
        self._sending = threading.Lock()
        self._unanswered = collections.deque()
        self._next = 1
        # The sidecar knows nothing of this client: the requests that are left begin a new epoch.
        self._resync = False
        self._error = None
        for _ in range(connections):
            threading.Thread(target=self._work, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        if kind is None:
            self.drain()
        self.close()

    def send(self, topic, records):
        """Takes records for a topic, dictionaries as in the API, and returns at once unless `window` requests are kept."""
        body = pointsman_packed.pack(records) if self._packed else json.dumps({"records": records}).encode()
        sent = Sent(topic, body)
        with self._changed:
            self._changed.wait_for(lambda: self._error or len(self._unanswered) < self._window)
            if self._error:
                raise self._error
            sent.sequence = self._next
            self._next += 1
            self._unanswered.append(sent)
            self._changed.notify_all()
        return sent

    def drain(self, timeout=None):
        """Waits until everything is answered; False when the time was over first."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._unanswered, timeout)

    def close(self):
        """Sends no more; what is unanswered stays so, and raises Stopped."""
        with self._changed:
            self._stop(Stopped("the client was closed"))

    # The methods below run in the threads of the connections.

    def _work(self):
        connection = None
        while True:
            # One after another, so that they mostly arrive in order; a request that does not is refused and sent again.
            with self._sending:
                sent = self._pick()
                if sent is None:
                    return
                connection = self._send(connection, sent)
            answer = connection and self._receive(connection)
            if answer is None:
                # The request may have been taken; sending the same number again finds out.
                connection = None
                pause = self._backoff(sent)
            else:
                with self._changed:
                    pause = self._handle(sent, *answer)
            time.sleep(pause)
            with self._changed:
                sent._busy = False
                self._settle()
                self._changed.notify_all()

    def _pick(self):
        """Waits for a request to send; None when there will be no more."""
        with self._changed:
            self._changed.wait_for(lambda: self._error or self._sendable())
            if self._error:
                return None
            sent = self._sendable()
            sent._busy, sent._early = True, False
            return sent

    def _sendable(self):
        if self._resync:
            return None
        for place, sent in enumerate(self._unanswered):
            if sent._refusal or (place > 0 and sent._alone):
                return None
            if not sent._busy:
                return sent
            if sent._early:
                return None
        return None

    def _connect(self):
        if isinstance(self._target, tuple):
            return http.client.HTTPConnection(*self._target, timeout=self._timeout)
        connection = http.client.HTTPConnection("localhost", timeout=self._timeout)
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.settimeout(self._timeout)
        connection.sock.connect(self._target)
        connection.auto_open = False
        return connection

    def _send(self, connection, sent):
        headers = self._headers | {"Pointsman-Epoch": str(self._epoch), "Pointsman-Sequence": str(sent.sequence)}
        try:
            connection = connection or self._connect()
            connection.request("POST", sent.path, sent.body, headers)
            return connection
        except (OSError, http.client.HTTPException):
            return None

    @staticmethod
    def _receive(connection):
        try:
            reply = connection.getresponse()
            packed = reply.getheader("Content-Type") == pointsman_packed.CONTENT_TYPE
            return reply.status, (pointsman_packed.unpack if packed else json.loads)(reply.read())
        except (OSError, http.client.HTTPException, ValueError):
            return None

    def _handle(self, sent, status, answer):
        """What an answer means for its request, and how long to wait before anything else."""
        if self._error:
            return 0.0
        code, expected = answer.get("code"), answer.get("expected")
        if status in _OUTCOMES:
            return self._outcomes(sent, answer)
        if code == "resync":
            self._resync = True
            return 0.0
        if code in ("sequence_conflict", "sequence_blocked"):
            if expected > sent.sequence:
                self._answer(sent, error=Forgotten(answer["detail"]))
                return 0.0
            # A request before it is still on its way, or has to be sent again, which its own thread does.
            sent._alone, sent._early = code == "sequence_blocked", True
            return _SHORT_PAUSE
        if status == 409:
            self._stop(Stopped(f"{code}: {answer.get('detail')}"))
        elif status in _LATER:
            return self._backoff(sent)
        else:
            sent._refusal = Refused(f"{status} {code}: {answer.get('detail')}")
        return 0.0

    def _outcomes(self, sent, answer):
        lost = [record for record in answer["records"] if record["outcome"] in ("failed", "unknown")]
        if not lost:
            self._answer(sent, reply=answer)
            return 0.0
        # Nothing later is taken while it has such a record.
        sent._alone = True
        sent._losses += 1
        if sent._losses >= self._attempts:
            self._stop(Stopped(f"sequence {sent.sequence} was lost {sent._losses} times: {lost[0]['error']['message']}"))
        return self._backoff(sent)

    def _settle(self):
        """A refused request's number was not used, so nothing after it was taken. And a sidecar that knows nothing of this
        client cannot know which of the numbers were answered by another one, so that they will not come. Once everything
        before is answered and nothing is on its way, what is left begins a new epoch: a straggler of the old one cannot be
        taken for it."""
        if self._error or any(sent._busy for sent in self._unanswered):
            return
        refused = self._unanswered[0] if self._unanswered and self._unanswered[0]._refusal else None
        if refused:
            self._answer(refused, error=refused._refusal)
        if refused or self._resync:
            self._epoch += 1
            self._resync = False
            for sequence, sent in enumerate(self._unanswered, start=1):
                sent.sequence, sent._alone, sent._refusal = sequence, False, None
            self._next = len(self._unanswered) + 1

    def _answer(self, sent, reply=None, error=None):
        self._unanswered.remove(sent)
        sent._reply, sent._error = reply, error
        sent._answered.set()

    def _stop(self, error):
        self._error = self._error or error
        for sent in list(self._unanswered):
            self._answer(sent, error=self._error)
        self._changed.notify_all()

    @staticmethod
    def _backoff(sent):
        sent._tries += 1
        return min(_PAUSE * 2 ** min(sent._tries - 1, 10), _LONGEST_PAUSE)


def main():
    options = argparse.ArgumentParser(description="Sends each line of standard input as the value of a record.")
    options.add_argument("--socket", help="the sidecar's Unix socket")
    options.add_argument("--http", help="its TCP address, host:port")
    options.add_argument("--topic", required=True)
    options.add_argument("--client", required=True, help="Pointsman-Client")
    options.add_argument("--batch", type=int, default=100, help="records in a request")
    options.add_argument("--connections", type=int, default=4)
    options.add_argument("--packed", action="store_true", help="send packed records instead of JSON")
    given = options.parse_args()
    if bool(given.socket) == bool(given.http):
        options.error("one of --socket and --http is needed")
    target = given.socket or (given.http.rsplit(":", 1)[0], int(given.http.rsplit(":", 1)[1]))
    acked, sent, batch = 0, collections.deque(), []
    with Client(target, given.client, connections=given.connections, packed=given.packed) as client:
        for line in sys.stdin:
            batch.append({"value": line.rstrip("\n")})
            if len(batch) == given.batch:
                sent.append(client.send(given.topic, batch))
                batch = []
            while sent and sent[0]._answered.is_set():
                acked += count(sent.popleft().wait())
        if batch:
            sent.append(client.send(given.topic, batch))
        acked += sum(count(request.wait()) for request in sent)
    print(f"{acked} records acked")


def count(reply):
    rejected = [record["error"]["message"] for record in reply["records"] if record["outcome"] != "acked"]
    for message in rejected:
        print(f"rejected: {message}", file=sys.stderr)
    return len(reply["records"]) - len(rejected)


if __name__ == "__main__":
    main()
