import dev.pointsman.v1.End;
import dev.pointsman.v1.IngestServiceGrpc.IngestServiceStub;
import dev.pointsman.v1.Number;
import dev.pointsman.v1.Outcome;
import dev.pointsman.v1.Outcomes;
import dev.pointsman.v1.Record;
import dev.pointsman.v1.StreamRequest;
import dev.pointsman.v1.StreamResponse;
import io.grpc.Status;
import io.grpc.stub.ClientCallStreamObserver;
import io.grpc.stub.ClientResponseObserver;
import java.time.Instant;
import java.time.temporal.ChronoUnit;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;

/**
 * Sends records in numbered requests over a gRPC stream: they are written in the order sent, whatever happens on the way.
 *
 * <p>A request is kept until it has its answer. When the stream is lost, or the sidecar ends it, another stream begins with the
 * oldest request that has no answer; the sidecar writes nothing twice that it remembers.
 *
 * <p>Its methods may be called from any thread. All that is shared is read and changed with the client's lock held.
 */
public final class NumberedClient implements AutoCloseable {
    /** The pause after a failed try: the first one, and the longest. */
    private static final long FIRST_PAUSE_MS = 50;

    private static final long LONGEST_PAUSE_MS = 2_000;

    /** Why a request has no outcomes. */
    public static final class NotSentException extends Exception {
        /** What it means for the request. */
        public enum Kind {
            /** The sidecar does not take the request as it is. Nothing of it was written; later requests are still sent. */
            REFUSED,
            /** It was taken, but its outcomes are no longer remembered: its records may or may not be written. */
            FORGOTTEN,
            /**
             * The client sends no more: another client of its name has replaced it, the sidecar does not let it in, or a request
             * met too many losses.
             */
            STOPPED
        }

        public final Kind kind;

        NotSentException(Kind kind, String why) {
            super(kind.name().toLowerCase(java.util.Locale.ROOT) + ": " + why);
            this.kind = kind;
        }
    }

    /** How a client sends. */
    public static final class Options {
        final String name;
        /** The clock, so that a client that starts anew begins a later epoch. */
        public long epoch = ChronoUnit.MICROS.between(Instant.EPOCH, Instant.now());
        /**
         * How many requests without an answer are kept; with more, {@link #send} waits. At most the sidecar's
         * limits.client_window.
         */
        public int window = 64;
        /** How often a request with a failed or unknown record is sent before the client stops. */
        public int attempts = 100;

        /** With the defaults. Two clients that send at the same time need two names. */
        public Options(String name) {
            this.name = name;
        }
    }

    private static final class Sent {
        final String topic;
        final List<Record> records;
        final CompletableFuture<List<Outcome>> answer = new CompletableFuture<>();
        long sequence;
        int losses;

        Sent(String topic, List<Record> records, long sequence) {
            this.topic = topic;
            this.records = records;
            this.sequence = sequence;
        }
    }

    private final IngestServiceStub stub;
    private final Runnable beforeStream;
    private final Options options;
    private final Thread runner;
    /** The requests without an answer, the oldest first, without gaps in their sequences. */
    private final List<Sent> unanswered = new ArrayList<>();

    private long epoch;
    private long next = 1;
    /** The sidecar knows nothing of this client, which has to say where it goes on. */
    private boolean resume;

    private boolean closed;
    private NotSentException stopped;

    /**
     * Sends by this stub. What is to be done before each stream is {@code channel::resetConnectBackoff}: by itself the library
     * waits up to two minutes before it connects again.
     */
    public NumberedClient(IngestServiceStub stub, Runnable beforeStream, Options options) {
        this.stub = stub;
        this.beforeStream = beforeStream;
        this.options = options;
        epoch = options.epoch;
        runner = new Thread(this::run, "numbered-client");
        runner.setDaemon(true);
        runner.start();
    }

    /**
     * Takes records for a topic, and returns at once unless as many requests as the window has are without an answer. The answer is
     * an outcome for each record, acked or rejected, or a {@link NotSentException}. It comes in a thread of the library, which must
     * not be kept waiting.
     */
    public synchronized CompletableFuture<List<Outcome>> send(String topic, List<Record> records)
            throws NotSentException, InterruptedException {
        while (stopped == null && !closed && unanswered.size() >= options.window) {
            wait();
        }
        if (stopped != null) {
            throw stopped;
        }
        if (closed) {
            throw new NotSentException(NotSentException.Kind.STOPPED, "the client was closed");
        }
        Sent sent = new Sent(topic, records, next++);
        unanswered.add(sent);
        notifyAll();
        return sent.answer;
    }

    /** Waits until everything has its answer. */
    @Override
    public void close() throws InterruptedException {
        synchronized (this) {
            closed = true;
            notifyAll();
        }
        runner.join();
    }

    /** Opens one stream after another, for as long as there is something to send, and sends. Answers come in other threads. */
    private void run() {
        long pause = FIRST_PAUSE_MS;
        try {
            while (awaitWork()) {
                beforeStream.run();
                Stream stream = new Stream();
                stub.stream(stream);
                sendAll(stream);
                if (stream.hasAnswers) {
                    pause = FIRST_PAUSE_MS;
                }
                Thread.sleep(pause);
                pause = Math.min(2 * pause, LONGEST_PAUSE_MS);
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        } catch (RuntimeException e) {
            stop(e.toString());
            throw e;
        }
    }

    /** Waits for a request to send. False: there will be no more. */
    private synchronized boolean awaitWork() throws InterruptedException {
        while (unanswered.isEmpty() && !closed && stopped == null) {
            wait();
        }
        return stopped == null && !unanswered.isEmpty();
    }

    /** Sends one request after another, until the stream has ended. */
    private synchronized void sendAll(Stream stream) throws InterruptedException {
        long sequence = unanswered.isEmpty() ? next : unanswered.get(0).sequence;
        boolean isWhole = false;
        while (!stream.hasEnded) {
            if (!isWhole && sequence < next && stream.requests.isReady()) {
                stream.requests.onNext(request(sequence++));
            } else if (!isWhole && sequence == next && closed) {
                isWhole = true;
                stream.requests.onCompleted();
            } else {
                // What is sent while the stream is not ready would stay in memory.
                wait();
            }
        }
    }

    private StreamRequest request(long sequence) {
        Sent oldest = unanswered.get(0);
        Sent sent = unanswered.get((int) (sequence - oldest.sequence));
        Number number = Number.newBuilder()
                .setClient(options.name)
                .setEpoch(epoch)
                .setSequence(sequence)
                .setResume(resume && sent == oldest)
                .build();
        return StreamRequest.newBuilder().setTopic(sent.topic).addAllRecords(sent.records).setNumber(number).build();
    }

    /** One stream. Whatever it hears after its end is about requests that another stream sends. */
    private final class Stream implements ClientResponseObserver<StreamRequest, StreamResponse> {
        ClientCallStreamObserver<StreamRequest> requests;
        boolean hasEnded;
        boolean hasAnswers;

        @Override
        public void beforeStart(ClientCallStreamObserver<StreamRequest> requests) {
            this.requests = requests;
            requests.setOnReadyHandler(() -> {
                synchronized (NumberedClient.this) {
                    NumberedClient.this.notifyAll();
                }
            });
        }

        @Override
        public void onNext(StreamResponse response) {
            synchronized (NumberedClient.this) {
                if (hasEnded) {
                    return;
                }
                if (response.hasEnd()) {
                    handle(response.getEnd());
                    end();
                } else if (answered(response.getOutcomes())) {
                    hasAnswers = true;
                } else {
                    end();
                    requests.cancel("a record was lost", null);
                }
            }
        }

        @Override
        public void onError(Throwable error) {
            synchronized (NumberedClient.this) {
                if (!hasEnded) {
                    failed(Status.fromThrowable(error));
                    end();
                }
            }
        }

        @Override
        public void onCompleted() {
            synchronized (NumberedClient.this) {
                end();
            }
        }

        private void end() {
            hasEnded = true;
            NumberedClient.this.notifyAll();
        }
    }

    /**
     * Hands the outcomes of the oldest request to the caller. False if a record was lost: then the request has to be sent again,
     * before anything that comes after it.
     */
    private boolean answered(Outcomes told) {
        if (unanswered.isEmpty() || told.getSequence() != unanswered.get(0).sequence) {
            stop("the sidecar answered sequence " + told.getSequence() + " out of turn");
            return false;
        }
        resume = false;
        Sent sent = unanswered.get(0);
        for (Outcome outcome : told.getOutcomesList()) {
            if (outcome.getKind() != Outcome.Kind.KIND_ACKED && outcome.getKind() != Outcome.Kind.KIND_REJECTED) {
                sent.losses++;
                if (sent.losses >= options.attempts) {
                    stop("sequence " + sent.sequence + " was lost " + sent.losses + " times: "
                            + outcome.getError().getMessage());
                }
                return false;
            }
        }
        takeOldest().answer.complete(told.getOutcomesList());
        return true;
    }

    /** Does what the end of a stream asks for. All that was taken has its answer, so an error is about the oldest request. */
    private void handle(End end) {
        if (end.getReason() != End.Reason.REASON_ERROR || unanswered.isEmpty()) {
            // The next stream goes on.
            return;
        }
        String why = end.getError().getCode() + ": " + end.getError().getMessage();
        switch (end.getError().getCode()) {
            case "resync" -> resume = true;
            case "sequence_conflict" -> {
                long expected = end.getExpectedSequence();
                if (expected <= unanswered.get(0).sequence) {
                    // Those between were answered by another process, so they will not come.
                    beginEpoch();
                    return;
                }
                while (!unanswered.isEmpty() && unanswered.get(0).sequence < expected) {
                    fail(takeOldest(), NotSentException.Kind.FORGOTTEN, why);
                }
            }
            case "stale_epoch", "sequence_mismatch" -> stop(why);
            case "sequence_blocked", "busy", "kafka_unavailable", "routing_unavailable", "tenant_moving", "too_many_topics",
                    "request_timeout", "body_timeout", "stream_idle", "incomplete_body", "internal_error" -> {
                // Nothing of the request was taken, or nobody knows whether it was; the next stream finds out.
            }
            default -> {
                // Its number was not used. In a new epoch, nothing that is still on its way can be mistaken for one of those that
                // follow.
                fail(takeOldest(), NotSentException.Kind.REFUSED, why);
                beginEpoch();
            }
        }
    }

    /** Notes that a stream has no end: its connection was lost, or it was not opened. */
    private void failed(Status status) {
        switch (status.getCode()) {
            case UNAUTHENTICATED, PERMISSION_DENIED, UNIMPLEMENTED, INVALID_ARGUMENT, NOT_FOUND -> stop(status.toString());
            default -> {
                // The next stream goes on.
            }
        }
    }

    private Sent takeOldest() {
        notifyAll();
        return unanswered.remove(0);
    }

    private static void fail(Sent sent, NotSentException.Kind kind, String why) {
        sent.answer.completeExceptionally(new NotSentException(kind, why));
    }

    /** Gives new numbers, from 1, to all requests that are left. */
    private void beginEpoch() {
        epoch++;
        resume = false;
        next = 1;
        for (Sent sent : unanswered) {
            sent.sequence = next++;
        }
    }

    private synchronized void stop(String why) {
        if (stopped == null) {
            stopped = new NotSentException(NotSentException.Kind.STOPPED, why);
        }
        while (!unanswered.isEmpty()) {
            takeOldest().answer.completeExceptionally(stopped);
        }
    }
}
