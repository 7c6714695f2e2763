import com.google.protobuf.Any;
import com.google.protobuf.ByteString;
import com.google.protobuf.InvalidProtocolBufferException;
import com.google.rpc.ErrorInfo;
import dev.pointsman.v1.Header;
import dev.pointsman.v1.IngestServiceGrpc;
import dev.pointsman.v1.Number;
import dev.pointsman.v1.ProduceRequest;
import dev.pointsman.v1.Record;
import dev.pointsman.v1.StreamRequest;
import dev.pointsman.v1.StreamResponse;
import io.grpc.ManagedChannel;
import io.grpc.Metadata;
import io.grpc.StatusRuntimeException;
import io.grpc.netty.shaded.io.grpc.netty.NettyChannelBuilder;
import io.grpc.netty.shaded.io.netty.channel.ChannelOption;
import io.grpc.netty.shaded.io.netty.channel.epoll.EpollDomainSocketChannel;
import io.grpc.netty.shaded.io.netty.channel.epoll.EpollEventLoopGroup;
import io.grpc.netty.shaded.io.netty.channel.unix.DomainSocketAddress;
import io.grpc.protobuf.StatusProto;
import io.grpc.stub.AbstractStub;
import io.grpc.stub.ClientCallStreamObserver;
import io.grpc.stub.ClientResponseObserver;
import io.grpc.stub.MetadataUtils;
import java.nio.charset.StandardCharsets;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.stream.IntStream;

/** Produces over gRPC through grpc-java. ../README.md has the arguments, the records and the report. */
public final class Client {
    private static final long FIRST_TIMESTAMP_MS = 1_700_000_000_000L;
    /** As it stands in JSON: 40 characters, some of which a careless program would break. */
    private static final String TEXT = "forty letters with ä and a \\\"quoted\\\" part";

    private final Options options;
    private final Report report;

    private Client(Options options, Report report) {
        this.options = options;
        this.report = report;
    }

    public static void main(String[] args) throws Exception {
        Options options = new Options(args);
        Report report = new Report(options.mode);
        Client client = new Client(options, report);
        try {
            switch (options.mode) {
                case "produce" -> client.produce();
                case "stream" -> client.stream();
                case "cut" -> client.cut();
                default -> throw new IllegalArgumentException("no mode " + options.mode + " in this language");
            }
        } catch (StatusRuntimeException e) {
            report.status(e.getStatus(), reason(e));
        }
        report.print();
        System.exit(0);
    }

    /** A connection to the sidecar. */
    private ManagedChannel channel() {
        if (!options.target.startsWith("unix:")) {
            return NettyChannelBuilder.forTarget(options.target).usePlaintext().build();
        }
        // Without overrideAuthority the socket's path would be the authority, which is no host.
        return NettyChannelBuilder.forAddress(new DomainSocketAddress(options.target.substring("unix:".length())))
                .eventLoopGroup(new EpollEventLoopGroup(1))
                .channelType(EpollDomainSocketChannel.class, DomainSocketAddress.class)
                .overrideAuthority("localhost")
                // Else the library warns that this kind of socket has no such option.
                .withOption(ChannelOption.SO_KEEPALIVE, null)
                .usePlaintext()
                .build();
    }

    /** The stub, with what every call has. */
    private <S extends AbstractStub<S>> S with(S stub) {
        if (options.token != null) {
            Metadata metadata = new Metadata();
            metadata.put(Metadata.Key.of("authorization", Metadata.ASCII_STRING_MARSHALLER), "Bearer " + options.token);
            stub = stub.withInterceptors(MetadataUtils.newAttachHeadersInterceptor(metadata));
        }
        if (options.compression != null) {
            stub = stub.withCompression(options.compression);
        }
        return options.deadlineMs == 0 ? stub : stub.withDeadlineAfter(options.deadlineMs, TimeUnit.MILLISECONDS);
    }

    private static ByteString bytes(String text) {
        return ByteString.copyFrom(text, StandardCharsets.UTF_8);
    }

    private static Header header(String name, String value) {
        return Header.newBuilder().setName(name).setValue(bytes(value)).build();
    }

    /** Record n. A null key or value is a field that is not set. */
    private Record record(int n) {
        Record.Builder record = Record.newBuilder()
                .setTimestamp(FIRST_TIMESTAMP_MS + n)
                .addHeaders(header("n", String.valueOf(n)))
                .addHeaders(header("twice", "a"))
                .addHeaders(header("twice", "b"))
                .addHeaders(header("empty", ""))
                .addHeaders(Header.newBuilder().setName("null"));
        boolean hasKey = n % 50 != 49;
        if (hasKey) {
            record.setKey(bytes(n % 51 == 50 ? "" : "k" + n % 97));
        }
        if (n % 60 != 59 || !hasKey) {
            record.setValue(bytes("{\"n\":" + n + ",\"text\":\"" + TEXT + "\"}"));
        }
        if (options.rejectEach > 0 && n % options.rejectEach == options.rejectEach - 1) {
            // There is no such partition.
            record.setPartition(1_000_000);
        }
        return record.build();
    }

    /** The records of a request, whose first one has sequence 1. */
    private List<Record> records(int sequence) {
        int first = (sequence - 1) * options.perCall;
        return IntStream.range(first, Math.min(first + options.perCall, options.records)).mapToObj(this::record).toList();
    }

    private Number number(int sequence) {
        return Number.newBuilder().setClient(options.client).setEpoch(1).setSequence(sequence).build();
    }

    private StreamRequest request(int sequence) {
        StreamRequest.Builder request = StreamRequest.newBuilder().setTopic(options.topic).addAllRecords(records(sequence));
        if (options.client != null) {
            request.setNumber(number(sequence));
        }
        return request.build();
    }

    /** One request after another. */
    private void produce() {
        var stub = IngestServiceGrpc.newBlockingStub(channel());
        for (int sequence = 1; sequence <= options.requests(); sequence++) {
            ProduceRequest.Builder request =
                    ProduceRequest.newBuilder().setTopic(options.topic).addAllRecords(records(sequence));
            if (options.client != null) {
                request.setNumber(number(sequence));
            }
            report.sent += request.getRecordsCount();
            report.outcomes(with(stub).produce(request.build()).getOutcomesList(), 0);
        }
    }

    /** Requests and outcomes at the same time, until the message that ends the stream. */
    private void stream() throws Exception {
        Call call = new Call(with(IngestServiceGrpc.newStub(channel())));
        Thread sender = new Thread(() -> send(call, 1));
        sender.start();
        StreamResponse answer;
        while ((answer = call.next()) != null) {
            if (answer.hasEnd()) {
                report.end(answer.getEnd());
                call.ended();
            } else {
                report.outcomes(answer.getOutcomes().getOutcomesList(), report.told);
            }
        }
        sender.join();
    }

    private void send(Call call, int first) {
        long begun = System.nanoTime();
        try {
            Thread stdin = "stdin".equals(options.until) ? readToTheEnd() : null;
            for (int sequence = first; sequence <= options.requests(); sequence++) {
                if (options.rate > 0) {
                    long due = begun + (long) ((sequence - 1L) * options.perCall * 1e9 / options.rate);
                    TimeUnit.NANOSECONDS.sleep(due - System.nanoTime());
                }
                if (!call.awaitReady() || (stdin != null && !stdin.isAlive())) {
                    break;
                }
                StreamRequest request = request(sequence);
                report.sent += request.getRecordsCount();
                call.send(request);
            }
            if (stdin != null) {
                stdin.join();
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
        if (!"end".equals(options.until)) {
            call.halfClose();
        }
    }

    private static Thread readToTheEnd() {
        Thread thread = new Thread(() -> {
            try {
                System.in.readAllBytes();
            } catch (java.io.IOException e) {
                // It has ended.
            }
        });
        thread.setDaemon(true);
        thread.start();
        return thread;
    }

    /** Numbered requests in a stream. Its connection is lost twice, and each time requests that have answers are sent again. */
    private void cut() throws Exception {
        Map<Long, String> answered = new HashMap<>();
        for (int attempt = 1; !report.hasEnd(); attempt++) {
            ManagedChannel channel = channel();
            Call call = new Call(with(IngestServiceGrpc.newStub(channel)));
            int first = Math.max(1, answered.size() - 4);
            Thread sender = new Thread(() -> send(call, first));
            sender.start();
            StreamResponse answer;
            for (int here = 1; (answer = call.next()) != null; here++) {
                if (answer.hasEnd()) {
                    report.end(answer.getEnd());
                    report.add("connections", attempt).add("answered", answered.size());
                    continue;
                }
                String told = Report.withoutIndex(answer.getOutcomes().getOutcomesList());
                String before = answered.put(answer.getOutcomes().getSequence(), told);
                report.repeated(before != null, before == null || before.equals(told));
                if (attempt <= 2 && here == options.cutAfter) {
                    // Requests are on their way, and nobody will hear of their outcomes by this connection.
                    call.ended();
                    channel.shutdownNow();
                    break;
                }
            }
            sender.join();
        }
    }

    /** The sidecar's own code of an error, which is the reason of its google.rpc.ErrorInfo. */
    private static String reason(StatusRuntimeException error) throws InvalidProtocolBufferException {
        com.google.rpc.Status status = StatusProto.fromThrowable(error);
        for (Any detail : status == null ? List.<Any>of() : status.getDetailsList()) {
            if (detail.is(ErrorInfo.class)) {
                ErrorInfo info = detail.unpack(ErrorInfo.class);
                return info.getDomain().equals("pointsman") ? info.getReason() : null;
            }
        }
        return null;
    }

    /** A stream, for a thread that sends and one that reads. */
    private static final class Call implements ClientResponseObserver<StreamRequest, StreamResponse> {
        private final LinkedBlockingQueue<Object> answers = new LinkedBlockingQueue<>();
        private static final Object END = new Object();
        private ClientCallStreamObserver<StreamRequest> requests;
        private boolean hasEnded;

        Call(IngestServiceGrpc.IngestServiceStub stub) {
            stub.stream(this);
        }

        @Override
        public void beforeStart(ClientCallStreamObserver<StreamRequest> stream) {
            requests = stream;
            stream.setOnReadyHandler(this::changed);
        }

        private synchronized void changed() {
            notifyAll();
        }

        /** What is sent while the call is not ready stays in memory, so this waits. False when the stream has ended. */
        synchronized boolean awaitReady() throws InterruptedException {
            while (!requests.isReady() && !hasEnded) {
                wait();
            }
            return !hasEnded;
        }

        synchronized void send(StreamRequest request) {
            if (!hasEnded) {
                requests.onNext(request);
            }
        }

        synchronized void halfClose() {
            if (!hasEnded) {
                requests.onCompleted();
            }
        }

        synchronized void ended() {
            hasEnded = true;
            notifyAll();
        }

        /** The next message, or null at the end. */
        StreamResponse next() throws InterruptedException {
            Object answer = answers.take();
            if (answer instanceof Throwable error) {
                throw io.grpc.Status.fromThrowable(error).asRuntimeException(io.grpc.Status.trailersFromThrowable(error));
            }
            return answer == END ? null : (StreamResponse) answer;
        }

        @Override
        public void onNext(StreamResponse answer) {
            answers.add(answer);
        }

        @Override
        public void onError(Throwable error) {
            ended();
            answers.add(error);
        }

        @Override
        public void onCompleted() {
            ended();
            answers.add(END);
        }
    }
}
