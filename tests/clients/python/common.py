"""What the Python programs share: arguments, records, and the report that each prints at its end.

../README.md has the arguments, the records and the fields of the report. The programs in other languages do the same.
"""

import json
import os
import sys
import threading
import time

FIRST_TIMESTAMP_MS = 1_700_000_000_000
# As it stands in JSON: 40 characters, some of which a careless program would break.
TEXT = 'forty letters with ä and a \\"quoted\\" part'
FAILURES_SHOWN = 20


class Options:
    """The arguments NAME=VALUE, with their defaults. What is not given is None and stays as the client has it."""

    def __init__(self, arguments):
        given = dict(argument.split("=", 1) for argument in arguments)
        self.bootstrap = given.pop("bootstrap")
        self.topic = given.pop("topic")
        self.mode = given.pop("mode", "send")
        self.records = int(given.pop("records", 20_000))
        self.compression = given.pop("compression", None)
        self.idempotent = _yes_or_no(given.pop("idempotent", None))
        self.acks = given.pop("acks", None)
        self.user = given.pop("user", None)
        self.password = given.pop("password", None)
        self.ca = given.pop("ca", None)
        self.linger_ms = _number(given.pop("linger_ms", None))
        self.batch_bytes = _number(given.pop("batch_bytes", None))
        self.delivery_timeout_ms = _number(given.pop("delivery_timeout_ms", None))
        self.rate = _number(given.pop("rate", None))
        self.deadline_s = float(given.pop("deadline_s", 60))
        self.until = {None: None, "stdin": "stdin"}[given.pop("until", None)]
        self.times = _yes_or_no(given.pop("times", None))
        self.by = given.pop("by", "group")
        self.config = {name[7:]: given.pop(name) for name in list(given) if name.startswith("config.")}
        if given:
            sys.exit(f"unknown arguments: {', '.join(given)}. tests/clients/README.md has those that are known")

    def numbers(self):
        """The numbers of the records to send; with `until=stdin` there are no more once standard input has ended."""
        ended = threading.Event()

        def read():
            sys.stdin.buffer.read()
            ended.set()

        if self.until:
            threading.Thread(target=read, daemon=True).start()
        for n in range(self.records):
            if ended.is_set():
                return
            yield n

    def security_protocol(self):
        """The protocol that user and ca come to, as all clients in Python name it; None for the client's default."""
        if self.user is None:
            return "SSL" if self.ca else None
        return "SASL_SSL" if self.ca else "SASL_PLAINTEXT"


def _number(text):
    return None if text is None else int(text)


def _yes_or_no(text):
    return {None: None, "yes": True, "no": False}[text]


def without_none(settings):
    """The settings that have a value."""
    return {name: value for name, value in settings.items() if value is not None}


def typed(config):
    """Values of `config.NAME=VALUE` for clients that want numbers as numbers: what reads as JSON is that, else a string."""
    values = {}
    for name, text in config.items():
        try:
            values[name] = json.loads(text)
        except ValueError:
            values[name] = text
    return values


def key(n):
    """The key of record n: None, empty or text."""
    if n % 50 == 49:
        return None
    return b"" if n % 51 == 50 else b"k%d" % (n % 97)


def value(n):
    """The value of record n, or None. Some clients refuse a record without key and value, so none has neither."""
    if n % 60 == 59 and key(n) is not None:
        return None
    return ('{"n":%d,"text":"%s"}' % (n, TEXT)).encode()


def headers(n, *, null=True):
    """The headers of record n; `null=False` for clients that cannot send one without a value."""
    all_headers = [("n", b"%d" % n), ("twice", b"a"), ("twice", b"b"), ("empty", b""), ("null", None)]
    return all_headers if null else all_headers[:-1]


def timestamp(n):
    """The timestamp of record n, in ms since 1970."""
    return FIRST_TIMESTAMP_MS + n


class Report:
    """What has become of the records. Its methods may be called from any thread."""

    def __init__(self, options, client, version, leaves_out=()):
        self.options = options
        self.fields = {"client": client, "version": version, "mode": options.mode, "leaves_out": list(leaves_out)}
        self.lock = threading.Lock()
        self.all_answered = threading.Condition(self.lock)
        self.begun = self.progress = time.monotonic()
        self.sent = self.acked = self.failures = 0
        self.handed_over_at = {}
        # When each record was handed over and answered, in microseconds since 1970.
        self.times = {}
        self.failed = []
        self.offsets = {"none": 0, "negative": 0, "other": 0}
        self.latencies = []
        self.last_failed = self.error = None
        self.printed = False
        self.last_act = lambda: None
        threading.Thread(target=self._watch, daemon=True).start()

    def until_due_s(self, n):
        """The seconds until record n may be handed over, by the rate that is asked for."""
        if not self.options.rate:
            return 0.0
        return max(0.0, self.begun + n / self.options.rate - time.monotonic())

    def hand_over(self, n):
        """Notes that record n is about to be given to the client; waits before that until it is due."""
        time.sleep(self.until_due_s(n))
        with self.lock:
            self.handed_over_at[n] = time.perf_counter()
            self._note_time(n)
            self.sent += 1

    def handed_over(self, n):
        """Begins the deadline anew once the client's call has returned, unless all that the call did was to fail."""
        if n != self.last_failed:
            self.progress = time.monotonic()

    def ack(self, n, offset):
        """Notes that record n was acknowledged, with the offset that the client shows."""
        with self.lock:
            if not self._answered(n):
                return
            self.acked += 1
            kind = "none" if offset is None else "negative" if offset < 0 else "other"
            self.offsets[kind] += 1

    def fail(self, n, code, message):
        """Notes that record n was not acknowledged, and why."""
        with self.lock:
            if not self._answered(n):
                return
            self.failures += 1
            self.last_failed = n
            if len(self.failed) < FAILURES_SHOWN:
                self.failed.append({"n": n, "code": str(code), "message": str(message)})

    def fail_with(self, n, error):
        """As `fail`, by an exception."""
        self.fail(n, type(error).__name__, error)

    def client_error(self, code, message):
        """Notes an error that is not one record's; the last one is shown."""
        self.error = {"code": str(code), "message": str(message)}

    def _answered(self, n):
        at = self.handed_over_at.pop(n, None)
        if at is None:
            self.error = {"code": "answered_twice", "message": f"record {n} was answered again, or was never sent"}
            return False
        self.latencies.append(time.perf_counter() - at)
        self._note_time(n)
        if not self.handed_over_at:
            self.all_answered.notify_all()
        return True

    def _note_time(self, n):
        if self.options.times:
            self.times.setdefault(n, []).append(time.time_ns() // 1_000)

    def at_end(self, act):
        """Names what is to be done just before the process ends."""
        self.last_act = act

    def unanswered(self):
        """How many records have no answer yet."""
        return len(self.handed_over_at)

    def left_s(self):
        """The seconds that are left until the deadline."""
        return max(0.0, self.progress + self.options.deadline_s - time.monotonic())

    def wait(self):
        """Waits until every record has its answer, or the deadline."""
        with self.lock:
            self.all_answered.wait_for(lambda: not self.handed_over_at, self.left_s())

    def _watch(self):
        # A client may block for ever, in a call or at the exit of the process. One that ends goes before this does.
        while self.left_s() > 0:
            time.sleep(min(self.left_s(), 0.2))
        # The main thread sees the same deadline: whoever comes first prints.
        nothing = {"transaction": {"committed": False}, "consume": {"received": 0}}.get(self.options.mode, {})
        self.finish(**nothing, code="deadline", message="nothing came in time")

    def finish(self, **more):
        """Prints the report and ends the process, whatever the client still does."""
        with self.lock:
            if self.printed:
                return
            self.printed = True
            fields = self.fields | (self._of_records() if self.options.mode in ("send", "one") else more)
            print(json.dumps(fields | {"error": self.error}), flush=True)
            self.last_act()
            os._exit(0)

    def _of_records(self):
        percentiles = {}
        times = {"times": list(self.times.values())} if self.options.times else {}
        if self.latencies:
            unit, factor, digits = ("us", 1e6, 1) if self.options.mode == "one" else ("ms", 1e3, 3)
            self.latencies.sort()
            for percent in (50, 99):
                at = self.latencies[min(len(self.latencies) - 1, len(self.latencies) * percent // 100)]
                percentiles[f"p{percent}_{unit}"] = round(at * factor, digits)
        return {
            "sent": self.sent,
            "acked": self.acked,
            "failures": self.failures,
            "failed": self.failed,
            "unanswered": len(self.handed_over_at),
            "offsets": self.offsets,
            "took_ms": round((time.monotonic() - self.begun) * 1e3),
            **percentiles,
            **times,
        }
