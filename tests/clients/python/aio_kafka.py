"""Produces through aiokafka. ../README.md says how it is run."""

import asyncio
import ssl
import sys

import aiokafka
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

import common
from common import Options, Report, headers, key, timestamp, value


def settings(options):
    """The producer's settings."""
    acks = int(options.acks) if options.acks in ("0", "1") else options.acks
    given = {
        "bootstrap_servers": options.bootstrap,
        "security_protocol": options.security_protocol(),
        "sasl_mechanism": "PLAIN" if options.user else None,
        "sasl_plain_username": options.user,
        "sasl_plain_password": options.password,
        "ssl_context": ssl.create_default_context(cafile=options.ca) if options.ca else None,
        "compression_type": None if options.compression == "none" else options.compression,
        "enable_idempotence": options.idempotent,
        "acks": acks,
        "linger_ms": options.linger_ms,
        "max_batch_size": options.batch_bytes,
        # It has no limit of its own for a delivery: this one ends each try.
        "request_timeout_ms": options.delivery_timeout_ms,
    }
    return common.without_none(given) | common.typed(options.config)


async def send(options, report, *, one):
    """Sends the records; with `one`, waits for each before the next."""
    producer = AIOKafkaProducer(**settings(options))
    await producer.start()

    def answered(n, sent):
        error = sent.exception()
        if error is None:
            report.ack(n, sent.result().offset)
        else:
            report.fail_with(n, error)

    for n in options.numbers():
        # A sleep that is not the loop's would stop the client, too.
        if (wait := report.until_due_s(n)) > 0:
            await asyncio.sleep(wait)
        report.hand_over(n)
        try:
            sent = await producer.send(
                options.topic, value(n), key(n), headers=headers(n), timestamp_ms=timestamp(n)
            )
        except (KafkaError, AssertionError, ValueError) as refused:
            report.fail_with(n, refused)
            continue
        sent.add_done_callback(lambda sent, n=n: answered(n, sent))
        report.handed_over(n)
        if one:
            await asyncio.wait([sent], timeout=report.left_s())
    await producer.flush()
    # Callbacks of the last answers run in the next turn of the loop.
    while report.unanswered() and report.left_s() > 0:
        await asyncio.sleep(0.001)
    await producer.stop()


def main():
    options = Options(sys.argv[1:])
    report = Report(options, "aiokafka", aiokafka.__version__)
    try:
        asyncio.run(send(options, report, one=options.mode == "one"))
    except KafkaError as error:
        report.client_error(type(error).__name__, error)
    report.finish()


main()
