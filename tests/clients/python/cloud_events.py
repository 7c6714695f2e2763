"""Sends CloudEvents to the sidecar by CloudEvents' own library, and reads by it what stands in Kafka.

`send SOCKET TOPIC` prints the events that were sent and the sidecar's replies. `read` takes the records of a topic on
standard input, `[{"key","value","headers"}]` with values in base64, and prints the events that the library reads.
cloud_events.mjs does the same.
"""

import base64
import json
import socket
import sys
from datetime import datetime, timezone
from http.client import HTTPConnection

from cloudevents.core.bindings import http, kafka
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent
from cloudevents.v1.conversion import to_binary, to_structured
from cloudevents.v1.http import CloudEvent as OldEvent

TIME = datetime(2026, 1, 31, 23, 59, 59, 500_000, timezone.utc)


class UnixConnection(HTTPConnection):
    """HTTP over the sidecar's Unix socket."""

    def __init__(self, path):
        super().__init__("localhost")
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self.path)


def events(mode):
    """Events with each kind of data, with and without a key."""

    def event(number, data, **more):
        attributes = {"id": f"python-{mode}-{number}", "source": "/shop", "type": "order.placed", "time": TIME, **more}
        return CloudEvent(attributes, data)

    return [
        event(0, {"total": 12.5, "of": ["ä", None]}, datacontenttype="application/json", partitionkey="order-7"),
        event(1, bytes(range(256)), datacontenttype="application/octet-stream", partitionkey="Käufer 7 % \"x\""),
        event(2, "much <wow/>", datacontenttype="text/plain; charset=utf-8", subject="Euro € 😀", note="a%20b"),
        event(3, None, dataschema="https://example.com/schema"),
    ]


def old_events(mode):
    """The same by the interface of the library's version 1, which encodes nothing in headers."""
    attributes = {"source": "/shop", "type": "order.placed", "time": TIME.isoformat()}
    return [
        OldEvent({**attributes, "id": f"python-old-{mode}-0", "datacontenttype": "application/json", "partitionkey": "k"}, {"a": 1}),
        OldEvent({**attributes, "id": f"python-old-{mode}-1", "subject": "two words"}, {"b": [2]}),
    ]


def plain(event):
    """An event in the form in which the test compares it."""
    attributes = {name: value for name, value in dict(event.get_attributes()).items() if value is not None}
    if isinstance(time := attributes["time"], str):
        attributes["time"] = datetime.fromisoformat(time)
    attributes["time"] = int(attributes["time"].timestamp() * 1000)
    # Without a type, data is JSON.
    attributes.setdefault("datacontenttype", "application/json")
    data = event.get_data()
    return {"attributes": attributes, "data": data if not isinstance(data, bytes) else {"base64": _base64(data)}}


def _base64(data):
    return base64.b64encode(data).decode()


def send(path, topic):
    connection = UnixConnection(path)

    def post(headers, body, sent):
        connection.request("POST", f"/v1/topics/{topic}/records", body, headers)
        reply = connection.getresponse()
        print(json.dumps({"events": [plain(event) for event in sent], "status": reply.status, "reply": json.load(reply)}))

    for event in events("binary"):
        message = http.to_binary_event(event)
        post(message.headers, message.body, [event])
    for event in events("structured"):
        message = http.to_structured_event(event)
        post(message.headers, message.body, [event])
    batch = events("batch")
    body = b", ".join(JSONFormat().write(event) for event in batch)
    post({"Content-Type": "application/cloudevents-batch+json"}, b"[" + body + b"]", batch)
    for event in old_events("binary"):
        post(*to_binary(event), [event])
    for event in old_events("structured"):
        post(*to_structured(event), [event])


def read():
    for record in json.load(sys.stdin):
        headers = {name: base64.b64decode(value) for name, value in record["headers"]}
        key, value = (base64.b64decode(part) if part is not None else None for part in (record["key"], record["value"]))
        print(json.dumps(plain(kafka.from_kafka_event(kafka.KafkaMessage(headers, key, value)))))


send(*sys.argv[2:]) if sys.argv[1] == "send" else read()
