"""Produces through kcat, a program of its own that is librdkafka on the command line. ../README.md says how it is run."""

import re
import subprocess
import sys
import threading

import common
from common import Options, Report, key, value

KEY_ENDS = b"\t"
# kcat gives all records the same headers and no timestamp. It can take what is empty as null, but then for keys and values alike.
LEAVES_OUT = ["headers", "timestamp", "tombstone"]
DELIVERED = re.compile(r"Message delivered to partition \d+ \(offset (-?\d+)\)")
FAILED = re.compile(r"(?:Delivery failed for message|Failed to produce message.*?): (.*)")
# Of ERROR lines the last tells most; the others are librdkafka's log.
ERROR = re.compile(r"ERROR: (.*)")


def command(options):
    """kcat's command line."""
    settings = {
        "security.protocol": options.security_protocol(),
        "sasl.mechanism": "PLAIN" if options.user else None,
        "sasl.username": options.user,
        "sasl.password": options.password,
        "ssl.ca.location": options.ca,
        "compression.type": options.compression,
        "enable.idempotence": None if options.idempotent is None else str(options.idempotent).lower(),
        "acks": options.acks,
        "linger.ms": options.linger_ms,
        "batch.size": options.batch_bytes,
        # It waits as long as librdkafka does for each record. That is five minutes, unless it is told.
        "delivery.timeout.ms": options.delivery_timeout_ms or int(options.deadline_s * 2000 / 3),
    }
    settings = common.without_none(settings) | options.config
    words = ["kcat", "-P", "-b", options.bootstrap, "-t", options.topic, "-K", KEY_ENDS.decode(), "-v", "-v"]
    return words + [word for name, text in settings.items() for word in ("-X", f"{name}={text}")]


def line(n):
    """Record n as kcat reads it: a line without the end of a key has no key."""
    text = value(n) or ('{"n":%d,"text":"%s"}' % (n, common.TEXT)).encode()
    return text + b"\n" if key(n) is None else key(n) + KEY_ENDS + text + b"\n"


def main():
    options = Options(sys.argv[1:])
    if options.mode != "send":
        sys.exit(f"kcat has no mode {options.mode}: use mode=send")
    version = subprocess.run(["kcat", "-V"], capture_output=True, text=True, check=True).stdout
    report = Report(options, "kcat", re.search(r"Version (\S+)", version)[1], LEAVES_OUT)
    kcat = subprocess.Popen(command(options), stdin=subprocess.PIPE, stderr=subprocess.PIPE)
    report.at_end(kcat.kill)

    def give():
        try:
            for n in options.numbers():
                report.hand_over(n)
                kcat.stdin.write(line(n))
                report.handed_over(n)
            kcat.stdin.close()
        except BrokenPipeError:
            # It has ended, and its last lines say why.
            pass

    # It says what became of some record, not of which one: any that waits stands for it.
    writer = threading.Thread(target=give, daemon=True)
    writer.start()
    answered = 0
    for said in kcat.stderr:
        said = said.decode(errors="replace").strip()
        if delivered := DELIVERED.search(said):
            report.ack(answered, int(delivered[1]))
            answered += 1
        elif failed := FAILED.search(said):
            report.fail(answered, "delivery failed", failed[1])
            answered += 1
        elif error := ERROR.search(said):
            report.client_error("kcat", error[1])
    kcat.wait()
    writer.join()
    report.finish()


main()
