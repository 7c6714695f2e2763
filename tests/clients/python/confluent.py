"""Produces through librdkafka, by confluent-kafka. ../README.md says how it is run."""

import sys
import time

import confluent_kafka
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition

import common
from common import Options, Report, headers, key, timestamp, value


def client_settings(options, report):
    """What producers and consumers have in common."""
    return common.without_none(
        {
            "bootstrap.servers": options.bootstrap,
            "security.protocol": options.security_protocol(),
            "sasl.mechanism": "PLAIN" if options.user else None,
            "sasl.username": options.user,
            "sasl.password": options.password,
            "ssl.ca.location": options.ca,
            "error_cb": lambda error: report.client_error(error.name(), error.str()),
        }
    )


def producer_settings(options, report):
    """The producer's settings."""
    idempotent = None if options.idempotent is None else str(options.idempotent).lower()
    settings = {
        "compression.type": options.compression,
        "enable.idempotence": idempotent,
        "acks": options.acks,
        "linger.ms": options.linger_ms,
        "batch.size": options.batch_bytes,
        "delivery.timeout.ms": options.delivery_timeout_ms,
    }
    return client_settings(options, report) | common.without_none(settings) | options.config


def send(options, report, *, one):
    """Sends the records; with `one`, waits for each before the next."""
    producer = Producer(producer_settings(options, report))

    def hand_over(n):
        def delivered(error, message):
            if error is None:
                report.ack(n, message.offset())
            else:
                report.fail(n, error.name(), error.str())

        report.hand_over(n)
        while True:
            try:
                producer.produce(
                    options.topic, value(n), key(n), on_delivery=delivered, timestamp=timestamp(n), headers=headers(n)
                )
                report.handed_over(n)
                return
            except BufferError:
                # The queue is full: it empties while delivery reports are served.
                producer.poll(0.1)
            except KafkaException as refused:
                report.fail(n, refused.args[0].name(), refused.args[0].str())
                return

    for n in options.numbers():
        # Delivery reports are served only in calls such as this one.
        while (wait := report.until_due_s(n)) > 0:
            producer.poll(wait)
        hand_over(n)
        producer.poll(0)
        while one and report.unanswered():
            producer.poll(0.1)
    producer.flush(report.left_s())


def transaction(options, report):
    """Tries to begin a transaction, and says how that ends."""
    settings = producer_settings(options, report) | {"transactional.id": f"transaction-{options.topic}"}
    # A call that blocks should end, and say why, before the deadline ends it.
    blocks_s = options.deadline_s * 2 / 3
    try:
        producer = Producer(settings)
        producer.init_transactions(blocks_s)
        producer.begin_transaction()
        producer.produce(options.topic, value(0), key(0))
        producer.commit_transaction(blocks_s)
    except KafkaException as refused:
        report.finish(committed=False, code=refused.args[0].name(), message=refused.args[0].str())
    report.finish(committed=True, code=None, message=None)


def consume(options, report):
    """Tries to read the topic, and says how that ends: with a first record, an error, or at the deadline."""
    settings = client_settings(options, report)
    settings |= {"group.id": f"group-{options.topic}", "auto.offset.reset": "earliest"}
    consumer = Consumer(settings | options.config)
    if options.by == "group":
        consumer.subscribe([options.topic])
    else:
        consumer.assign([TopicPartition(options.topic, 0, 0)])
    # Some errors reach only the callback, again and again: they count once nothing else has come for a while.
    patience = time.monotonic() + options.deadline_s / 2
    while report.left_s() > 0.5:
        message = consumer.poll(0.2)
        if message is None:
            if report.error and time.monotonic() > patience:
                break
        elif message.error() is None:
            report.finish(received=1, code=None, message=None)
        elif message.error().code() != KafkaError._PARTITION_EOF:
            report.finish(received=0, code=message.error().name(), message=message.error().str())
    error = report.error or {"code": "deadline", "message": "neither a record nor an error came in time"}
    report.finish(received=0, **error)


def main():
    options = Options(sys.argv[1:])
    version = f"{confluent_kafka.libversion()[0]}, confluent-kafka {confluent_kafka.__version__}"
    report = Report(options, "librdkafka", version)
    if options.mode == "transaction":
        transaction(options, report)
    elif options.mode == "consume":
        consume(options, report)
    else:
        send(options, report, one=options.mode == "one")
    report.finish()


main()
