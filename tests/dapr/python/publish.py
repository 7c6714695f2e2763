"""Publishes by Dapr's SDK for Python, which takes the sidecar's address from the environment: DAPR_RUNTIME_HOST,
DAPR_GRPC_PORT and DAPR_HTTP_PORT. `python publish.py grpc TOPIC`; ../README.md has what is published, and the report."""

import json
import sys
from importlib.metadata import version

from dapr.clients import BulkPublishEntry, DaprClient
from dapr.clients.exceptions import DaprGrpcError

PUBSUB = "kafka"
RAW = {"rawPayload": "true"}
OWN = {"specversion": "1.0", "id": "own-4", "source": "sdk", "type": "order", "data": {"n": 4}}


def main(topic):
    with DaprClient() as client:

        def publish(data, content_type, **metadata):
            client.publish_event(PUBSUB, topic, data, data_content_type=content_type, publish_metadata=metadata)

        publish(json.dumps({"n": 1}), "application/json")
        publish("ü 2", "text/plain")
        publish(bytes([0, 255]), "application/octet-stream")
        publish(json.dumps(OWN), "application/cloudevents+json")
        publish("raw 5", "text/plain", partitionKey="k5", **RAW)

        def bulk(*entries):
            told = client.publish_events(PUBSUB, topic, entries, RAW, "text/plain")
            return [failed.entry_id for failed in told.failed_entries]

        key = {"partitionKey": "bulk"}
        failed = bulk(*(BulkPublishEntry(f"bulk {n}", metadata=key) for n in range(6, 9)))
        assert failed == [], failed
        failed = bulk(
            BulkPublishEntry("bad", metadata={"partitionNumber": "x"}, entry_id="bad"),
            BulkPublishEntry("bulk 9", metadata=key, entry_id="good"),
        )
        try:
            client.publish_event(PUBSUB, "not/a/topic", "x")
            refused = None
        except DaprGrpcError as error:
            refused = error.details()
        about = client.get_metadata()
    print(
        json.dumps(
            {
                "version": version("dapr"),
                "failed": failed,
                "refused": refused,
                "components": [component.type for component in about.registered_components],
            }
        )
    )


main(sys.argv[2])
