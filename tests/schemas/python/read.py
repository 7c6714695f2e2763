"""Reads a topic with Confluent's own deserializers, and prints a line of JSON for each record. ../README.md says how it is run."""

import json
import os
import sys
import tempfile
import time

import grpc_tools
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.schema_registry import SchemaRegistryClient, dual_schema_id_deserializer
from confluent_kafka.schema_registry.avro import AvroDeserializer
from confluent_kafka.schema_registry.json_schema import JSONDeserializer
from confluent_kafka.schema_registry.protobuf import ProtobufDeserializer
from confluent_kafka.schema_registry.serde import SchemaId
from confluent_kafka.serialization import MessageField, SerializationContext
from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message_factory
from grpc_tools import protoc


class ById:
    """Avro and JSON: the library fetches the schema that the record names, and decodes or checks by it."""

    def __init__(self, deserializer, registry):
        self.seen = None
        # As the library does by itself, with a note of the schema.
        conf = {"schema.id.deserializer": self._note}
        if deserializer is AvroDeserializer:
            self._deserialize = AvroDeserializer(registry, conf=conf)
        else:
            self._deserialize = JSONDeserializer(None, schema_registry_client=registry, conf=conf)

    def __call__(self, data, context):
        return self._deserialize(data, context)

    def _note(self, data, context, schema_id):
        payload = dual_schema_id_deserializer(data, context, schema_id)
        self.seen = schema_id
        return payload


class Protobuf:
    """Protobuf: the class of the message that the record names is made here, from the text that the registry has.

    The library could fetch the schema, too, as a descriptor in base64. Not every registry can answer that, and the message is the
    same: the library decodes it as the class that it is given.
    """

    def __init__(self, registry):
        self.seen = None
        self._registry = registry
        self._deserializers = {}

    def __call__(self, data, context):
        self.seen = SchemaId("PROTOBUF")
        dual_schema_id_deserializer(data, context, self.seen)
        # The one message that is named by no number is the first.
        place = tuple(self.seen.message_indexes or [0])
        if (self.seen.id, place) not in self._deserializers:
            message = self._message(self._registry.get_schema(self.seen.id), place)
            self._deserializers[self.seen.id, place] = ProtobufDeserializer(message, {"use.deprecated.format": False})
        message = self._deserializers[self.seen.id, place](data, context)
        return json_format.MessageToDict(
            message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
        )

    def _message(self, schema, place):
        """The class of the message at this place of a schema's file."""
        files = self._compile(schema)
        pool = descriptor_pool.DescriptorPool()
        for file in files.file:
            pool.Add(file)
        # What a file imports stands before it.
        file = files.file[-1]
        message = file.message_type[place[0]]
        name = f"{file.package}.{message.name}" if file.package else message.name
        for number in place[1:]:
            message = message.nested_type[number]
            name = f"{name}.{message.name}"
        return message_factory.GetMessageClass(pool.FindMessageTypeByName(name))

    def _compile(self, schema):
        with tempfile.TemporaryDirectory() as folder:
            self._lay_out(folder, "the_schema.proto", schema)
            out = os.path.join(folder, "descriptors")
            well_known = os.path.join(os.path.dirname(grpc_tools.__file__), "_proto")
            code = protoc.main(
                ["protoc", f"-I{folder}", f"-I{well_known}", "--include_imports", f"--descriptor_set_out={out}"]
                + ["the_schema.proto"]
            )
            if code != 0:
                sys.exit(f"protoc does not take the schema:\n{schema.schema_str}")
            with open(out, "rb") as descriptors:
                return descriptor_pb2.FileDescriptorSet.FromString(descriptors.read())

    def _lay_out(self, folder, name, schema):
        path = os.path.join(folder, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as file:
            file.write(schema.schema_str)
        for reference in schema.references or []:
            referenced = self._registry.get_version(reference.subject, reference.version)
            self._lay_out(folder, reference.name, referenced.schema)


def records(given, count, deadline_s):
    """The first records of a topic, from all of its partitions."""
    consumer = Consumer(
        {
            "bootstrap.servers": given["bootstrap"],
            # It must be there, and is not used: nothing is committed.
            "group.id": "readers",
            "enable.auto.commit": False,
        }
    )
    topic = given["topic"]
    end = time.monotonic() + deadline_s
    partitions = consumer.list_topics(topic, deadline_s).topics[topic].partitions
    consumer.assign([TopicPartition(topic, partition, 0) for partition in partitions])
    read = 0
    while read < count:
        record = consumer.poll(0.2)
        if record is not None:
            if record.error():
                sys.exit(f"{topic}: {record.error()}")
            read += 1
            yield record
        elif time.monotonic() > end:
            sys.exit(f"{topic} had {read} of {count} records after {deadline_s} s")
    consumer.close()


def main():
    given = dict(argument.split("=", 1) for argument in sys.argv[1:])
    registry = SchemaRegistryClient({"url": given["registry"]})
    deserialize = {
        "avro": lambda: ById(AvroDeserializer, registry),
        "json": lambda: ById(JSONDeserializer, registry),
        "protobuf": lambda: Protobuf(registry),
    }[given["format"]]()
    for record in records(given, int(given["count"]), float(given.get("deadline_s", 60))):
        context = SerializationContext(record.topic(), MessageField.VALUE, headers=record.headers() or [])
        deserialize.seen = None
        value = None if record.value() is None else deserialize(record.value(), context)
        seen = deserialize.seen
        line = {
            "partition": record.partition(),
            "offset": record.offset(),
            "key": None if record.key() is None else record.key().decode(),
            "value": value,
            "schema_id": seen and seen.id,
            "schema_guid": str(seen.guid) if seen and seen.guid else None,
            "subjects": [found.subject for found in registry.get_schema_versions(seen.id)] if seen and seen.id else [],
        }
        print(json.dumps(line, default=str), flush=True)


main()
