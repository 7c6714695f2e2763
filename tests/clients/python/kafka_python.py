"""Produces through kafka-python. ../README.md says how it is run."""

import sys

import kafka
from kafka import KafkaProducer
from kafka.errors import KafkaError

import common
from common import Options, Report, headers, key, timestamp, value


def settings(options):
    """The producer's settings."""
    acks = int(options.acks) if options.acks in ("0", "1") else options.acks
    # A call that blocks should end, and say why, before the deadline ends it.
    blocks_ms = min(60_000, int(options.deadline_s * 2000 / 3))
    given = {
        "bootstrap_servers": options.bootstrap,
        "security_protocol": options.security_protocol(),
        "sasl_mechanism": "PLAIN" if options.user else None,
        "sasl_plain_username": options.user,
        "sasl_plain_password": options.password,
        "ssl_cafile": options.ca,
        "compression_type": None if options.compression == "none" else options.compression,
        "enable_idempotence": options.idempotent,
        "acks": acks,
        "linger_ms": options.linger_ms,
        "batch_size": options.batch_bytes,
        "delivery_timeout_ms": options.delivery_timeout_ms,
        "max_block_ms": blocks_ms,
        "bootstrap_timeout_ms": min(30_000, blocks_ms),
    }
    return common.without_none(given) | common.typed(options.config)


def send(options, report, *, one):
    """Sends the records; with `one`, waits for each before the next."""
    producer = KafkaProducer(**settings(options))

    def hand_over(n):
        report.hand_over(n)
        try:
            sent = producer.send(
                options.topic, value(n), key(n), headers=headers(n, null=False), timestamp_ms=timestamp(n)
            )
        except (KafkaError, ValueError, TypeError) as refused:
            report.fail_with(n, refused)
            return
        sent.add_callback(lambda metadata: report.ack(n, metadata.offset))
        sent.add_errback(lambda error: report.fail_with(n, error))
        report.handed_over(n)

    for n in options.numbers():
        hand_over(n)
        if one:
            report.wait()
    report.wait()


def main():
    options = Options(sys.argv[1:])
    report = Report(options, "kafka-python", kafka.__version__, ["null header"])
    try:
        send(options, report, one=options.mode == "one")
    except KafkaError as error:
        report.client_error(type(error).__name__, error)
    report.finish()


main()
