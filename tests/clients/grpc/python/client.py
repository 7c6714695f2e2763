"""Produces over gRPC through grpcio. ../README.md has the arguments, the records and the report."""

import itertools
import sys
import threading
import time
from pathlib import Path

import grpc
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_status import rpc_status

from pointsman.v1 import ingest_pb2 as pb
from pointsman.v1 import ingest_pb2_grpc
from report import Options, Report

# The records are those of Kafka's clients.
sys.path.insert(0, str(Path(__file__).parents[2] / "python"))
import common  # noqa: E402


def channel(options):
    """A connection to the sidecar."""
    settings = []
    if options.target.startswith("unix:"):
        # By itself the library names the socket's path as the authority, which is no host.
        settings.append(("grpc.default_authority", "localhost"))
    compression = grpc.Compression.Gzip if options.compression == "gzip" else None
    return grpc.insecure_channel(options.target, options=settings, compression=compression)


def calls(options, connection):
    """The stub, and what every call has."""
    given = {"metadata": [("authorization", f"Bearer {options.token}")] if options.token else []}
    if options.deadline_ms:
        given["timeout"] = options.deadline_ms / 1000
    return ingest_pb2_grpc.IngestServiceStub(connection), given


def record(options, n):
    """Record n. A null key or value is a field that is not set."""
    return pb.Record(
        key=common.key(n),
        value=common.value(n),
        headers=[pb.Header(name=name, value=value) for name, value in common.headers(n)],
        timestamp=common.timestamp(n),
        partition=options.partition(n),
    )


def request(options, kind, sequence, numbers):
    """A request of either kind."""
    number = pb.Number(client=options.client, epoch=1, sequence=sequence) if options.client else None
    return kind(topic=options.topic, records=[record(options, n) for n in numbers], number=number)


def produce(options, report, connection):
    """One request after another."""
    stub, given = calls(options, connection)
    for sequence, numbers in enumerate(options.requests(), start=1):
        message = request(options, pb.ProduceRequest, sequence, numbers)
        report.sent += len(numbers)
        report.outcomes(stub.Produce(message, **given), first=0)


def stream(options, report, connection):
    """Requests and outcomes at the same time, until the message that ends the stream."""
    stub, given = calls(options, connection)
    ended, stopped = threading.Event(), threading.Event()
    if options.until == "stdin":
        threading.Thread(target=lambda: (sys.stdin.read(), stopped.set()), daemon=True).start()

    def messages():
        begun = time.monotonic()
        for sequence, numbers in enumerate(options.requests(), start=1):
            if options.rate:
                time.sleep(max(0.0, begun + numbers[0] / options.rate - time.monotonic()))
            if ended.is_set() or stopped.is_set():
                return
            report.sent += len(numbers)
            yield request(options, pb.StreamRequest, sequence, numbers)
        if options.until:
            (ended if options.until == "end" else stopped).wait()

    for answer in stub.Stream(messages(), **given):
        if answer.WhichOneof("kind") == "end":
            report.end(answer.end)
            ended.set()
        else:
            report.outcomes(answer.outcomes, first=report.told)


def cut(options, report, connection):
    """Numbered requests in a stream. Its connection is lost twice, and each time requests that have answers are sent again."""
    answered = {}
    for attempt in itertools.count(1):
        stub, given = calls(options, connection)
        first, here = max(1, len(answered) - 4), 0
        numbered = itertools.islice(enumerate(options.requests(), start=1), first - 1, None)
        for answer in stub.Stream((request(options, pb.StreamRequest, *one) for one in numbered), **given):
            if answer.WhichOneof("kind") == "end":
                report.end(answer.end)
                report.fields |= {"connections": attempt, "answered": len(answered)}
                return
            told = [(outcome.kind, outcome.partition, outcome.offset) for outcome in answer.outcomes.outcomes]
            before = answered.setdefault(answer.outcomes.sequence, told)
            report.repeated(is_repeat=before is not told, is_same=before == told)
            here += 1
            if attempt <= 2 and here == options.cut_after:
                break
        # Requests are on their way, and nobody will hear of their outcomes by this connection.
        connection.close()
        connection = channel(options)


def cancel(options, report, connection):
    """A call that is cancelled when standard input ends."""
    stub, given = calls(options, connection)
    call = stub.Produce.future(request(options, pb.ProduceRequest, 1, range(options.records)), **given)
    report.sent += options.records
    sys.stdin.read()
    call.cancel()
    try:
        call.result()
    except grpc.FutureCancelledError:
        report.status(call.code().name, call.details(), None)


def health(options, report, connection):
    """What the library for health checks hears."""
    stub = health_pb2_grpc.HealthStub(connection)
    for service in ("", "pointsman.v1.IngestService"):
        answer = stub.Check(health_pb2.HealthCheckRequest(service=service), metadata=calls(options, connection)[1]["metadata"])
        report.fields["health"][service] = health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)


def reason(error):
    """The sidecar's own code of an error, which is the reason of its google.rpc.ErrorInfo."""
    status = rpc_status.from_call(error)
    for detail in status.details if status else []:
        info = error_details_pb2.ErrorInfo()
        if detail.Unpack(info) and info.domain == "pointsman":
            return info.reason
    return None


def main():
    options = Options(sys.argv[1:])
    report = Report("grpcio", grpc.__version__, options.mode)
    modes = {"produce": produce, "stream": stream, "cut": cut, "cancel": cancel, "health": health}
    try:
        modes[options.mode](options, report, channel(options))
    except grpc.RpcError as error:
        report.status(error.code().name, error.details(), reason(error))
    report.finish()


main()
