"""The arguments of the program, and what it reports."""

import json
import time
from collections import Counter

from pointsman.v1 import ingest_pb2 as pb


class Options:
    """The arguments NAME=VALUE, with their defaults."""

    def __init__(self, arguments):
        given = dict(argument.split("=", 1) for argument in arguments)
        self.target = given.pop("target")
        self.topic = given.pop("topic", "")
        self.mode = given.pop("mode", "produce")
        self.records = int(given.pop("records", 20_000))
        self.per_call = int(given.pop("per_call", 500))
        self.client = given.pop("client", None)
        self.reject_each = int(given.pop("reject_each", 0))
        self.until = given.pop("until", None)
        self.rate = float(given.pop("rate", 0))
        self.cut_after = int(given.pop("cut_after", 10))
        self.deadline_ms = int(given.pop("deadline_ms", 0))
        self.token = given.pop("token", None)
        self.compression = given.pop("compression", None)
        if given:
            raise SystemExit(f"unknown arguments {given}: ../README.md has those that are known")

    def requests(self):
        """The numbers of the records, a request's at a time."""
        for first in range(0, self.records, self.per_call):
            yield range(first, min(first + self.per_call, self.records))

    def partition(self, n):
        """A partition that is not there, for the records that are to be rejected."""
        return 1_000_000 if self.reject_each and n % self.reject_each == self.reject_each - 1 else None


class Report:
    """What became of the records."""

    def __init__(self, client, version, mode):
        self.fields = {"client": client, "version": version, "mode": mode, "status": "OK", "reason": None, "message": "", "health": {}}
        self.sent = self.told = self.repeats = 0
        self.kinds, self.codes = Counter(), Counter()
        self.in_order = self.are_same = True
        self.last = None
        self.begun = time.monotonic()

    def outcomes(self, answer, first):
        """Notes the outcomes of an answer, whose indexes have to go on from `first`."""
        for index, outcome in enumerate(answer.outcomes, start=first):
            self.in_order &= outcome.index == index
            self.kinds[pb.Outcome.Kind.Name(outcome.kind)] += 1
            if outcome.HasField("error"):
                self.codes[outcome.error.code] += 1
        self.told += len(answer.outcomes)

    def repeated(self, *, is_repeat, is_same):
        """Notes the answer to a request with a number, which may have had one before."""
        self.repeats += is_repeat
        self.are_same &= is_same

    def end(self, end):
        """Notes the end of a stream."""
        self.last = {"reason": pb.End.Reason.Name(end.reason), "count": end.count, "code": end.error.code or None}

    def status(self, code, message, reason):
        """Notes a status other than OK."""
        self.fields |= {"status": code, "message": message, "reason": reason}

    def finish(self):
        """Prints the report."""
        of_records = {
            "sent": self.sent,
            "outcomes": self.kinds,
            "codes": self.codes,
            "in_order": self.in_order,
            "end": self.last,
            "repeats": self.repeats,
            "are_same": self.are_same,
            "took_ms": round((time.monotonic() - self.begun) * 1000),
        }
        print(json.dumps(self.fields | of_records), flush=True)
