import java.io.FileDescriptor;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.time.Instant;
import java.time.temporal.ChronoUnit;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.TreeMap;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.stream.Collectors;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.config.ConfigException;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.internals.RecordHeader;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;
import org.apache.kafka.common.utils.AppInfoParser;

/**
 * Produces through Kafka's own client in Java.
 *
 * <pre>java -cp 'target/kafka/libs/*' tests/clients/java/Client.java NAME=VALUE…</pre>
 *
 * ../README.md has the arguments, the records and the fields of the report. The programs in other languages do the same.
 *
 * Producers and consumers are not closed, since that may take long: the report ends the process.
 */
public final class Client {
    private static final long FIRST_TIMESTAMP_MS = 1_700_000_000_000L;
    /** As it stands in JSON: 40 characters, some of which a careless program would break. */
    private static final String TEXT = "forty letters with ä and a \\\"quoted\\\" part";

    private final Map<String, String> given;
    private final String topic;
    private final String mode;
    private final int records;
    private final Report report;

    public static void main(String[] args) {
        // Logging goes to System.out, and the report must have its stream for itself.
        PrintStream out = new PrintStream(new FileOutputStream(FileDescriptor.out), true, StandardCharsets.UTF_8);
        System.setOut(System.err);
        Client client = new Client(args, out);
        try {
            client.run();
        } catch (ConfigException e) {
            System.err.println(e.getMessage());
            Runtime.getRuntime().halt(1);
        } catch (RuntimeException e) {
            client.report.clientError(e);
            client.report.finish(client.mode.equals("transaction") ? answer("committed", false, e) : answer("received", 0, e));
        }
    }

    private Client(String[] args, PrintStream out) {
        given = Arrays.stream(args)
                .map(arg -> arg.split("=", 2))
                .collect(Collectors.toMap(pair -> pair[0], pair -> pair[1], (first, last) -> last, TreeMap::new));
        topic = take("topic", null);
        mode = take("mode", "send");
        records = Integer.parseInt(take("records", "20000"));
        boolean times = take("times", "no").equals("yes");
        report = new Report(out, mode, records, Double.parseDouble(take("deadline_s", "60")), times);
    }

    private String take(String name, String fallback) {
        String value = given.remove(name);
        return value == null ? fallback : value;
    }

    private void run() {
        switch (mode) {
            case "send", "one" -> send(mode.equals("one"));
            case "transaction" -> transaction();
            case "consume" -> consume();
            default -> throw new IllegalArgumentException("unknown mode " + mode);
        }
    }

    private void send(boolean one) {
        String rate = take("rate", null);
        AtomicBoolean ended = new AtomicBoolean();
        if (take("until", "").equals("stdin")) {
            onEndOfInput(() -> ended.set(true));
        }
        KafkaProducer<byte[], byte[]> producer = producer(new Properties());
        for (int n = 0; n < records && !ended.get(); n++) {
            if (rate != null) {
                report.waitUntilDue(n, Long.parseLong(rate));
            }
            int number = n;
            CountDownLatch answered = new CountDownLatch(1);
            report.handOver(n);
            try {
                producer.send(record(n), (metadata, error) -> {
                    if (error == null) {
                        report.ack(number, metadata.offset());
                    } else {
                        report.fail(number, error);
                    }
                    answered.countDown();
                });
                report.handedOver(n);
            } catch (RuntimeException refused) {
                report.fail(n, refused);
                continue;
            }
            if (one) {
                waitFor(answered);
            }
        }
        // The deadline's own thread ends a flush that lasts too long.
        producer.flush();
        report.finish("");
    }

    /** Acts once standard input has ended. */
    private static void onEndOfInput(Runnable act) {
        Thread reader = new Thread(() -> {
            try {
                System.in.transferTo(OutputStream.nullOutputStream());
            } catch (IOException e) {
                // It has ended, too.
            }
            act.run();
        });
        reader.setDaemon(true);
        reader.start();
    }

    private static void waitFor(CountDownLatch latch) {
        try {
            latch.await();
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }

    private void transaction() {
        Properties settings = new Properties();
        settings.put("transactional.id", "transaction-" + topic);
        try {
            KafkaProducer<byte[], byte[]> producer = producer(settings);
            producer.initTransactions();
            producer.beginTransaction();
            producer.send(record(0));
            producer.commitTransaction();
            report.finish(answer("committed", true, null));
        } catch (RuntimeException e) {
            report.finish(answer("committed", false, e));
        }
    }

    private void consume() {
        Properties settings = shared();
        settings.put("group.id", "group-" + topic);
        settings.put("auto.offset.reset", "earliest");
        boolean byGroup = take("by", "group").equals("group");
        addOwn(settings);
        try {
            KafkaConsumer<byte[], byte[]> consumer =
                    new KafkaConsumer<>(settings, new ByteArrayDeserializer(), new ByteArrayDeserializer());
            if (byGroup) {
                consumer.subscribe(List.of(topic));
            } else {
                TopicPartition first = new TopicPartition(topic, 0);
                consumer.assign(List.of(first));
                consumer.seek(first, 0);
            }
            // The deadline's own thread ends this.
            while (true) {
                ConsumerRecords<byte[], byte[]> polled = consumer.poll(Duration.ofMillis(200));
                if (!polled.isEmpty()) {
                    report.finish(answer("received", 1, null));
                }
            }
        } catch (RuntimeException e) {
            report.finish(answer("received", 0, e));
        }
    }

    private static String answer(String what, Object how, Throwable error) {
        return ",\"" + what + "\":" + how
                + ",\"code\":" + (error == null ? "null" : Report.quoted(error.getClass().getSimpleName()))
                + ",\"message\":" + (error == null ? "null" : Report.quoted(String.valueOf(error.getMessage())));
    }

    private KafkaProducer<byte[], byte[]> producer(Properties more) {
        Properties settings = shared();
        settings.putAll(more);
        put(settings, "compression.type", take("compression", null));
        String idempotent = take("idempotent", null);
        put(settings, "enable.idempotence", idempotent == null ? null : String.valueOf(idempotent.equals("yes")));
        put(settings, "acks", take("acks", null));
        String linger = take("linger_ms", null);
        put(settings, "linger.ms", linger);
        put(settings, "batch.size", take("batch_bytes", null));
        String delivery = take("delivery_timeout_ms", null);
        put(settings, "delivery.timeout.ms", delivery);
        if (delivery != null) {
            // The client refuses a delivery that is shorter than a request and the wait before it.
            long lingerMs = linger == null ? 5 : Long.parseLong(linger);
            long requestMs = Math.max(1, Math.min(30_000, Long.parseLong(delivery) - lingerMs));
            settings.put("request.timeout.ms", String.valueOf(requestMs));
        }
        // A call that blocks should end, and say why, before the deadline ends it.
        settings.put("max.block.ms", String.valueOf(Math.min(60_000, report.deadlineMs() * 2 / 3)));
        addOwn(settings);
        KafkaProducer<byte[], byte[]> producer =
                new KafkaProducer<>(settings, new ByteArraySerializer(), new ByteArraySerializer());
        report.clientIsMade();
        return producer;
    }

    /** What producers and consumers have in common. */
    private Properties shared() {
        Properties settings = new Properties();
        settings.put("bootstrap.servers", take("bootstrap", null));
        String user = take("user", null);
        String password = take("password", null);
        String ca = take("ca", null);
        if (user != null) {
            settings.put("sasl.mechanism", "PLAIN");
            settings.put("sasl.jaas.config", "org.apache.kafka.common.security.plain.PlainLoginModule required username=\""
                    + user + "\" password=\"" + password + "\";");
        }
        if (ca != null) {
            settings.put("ssl.truststore.type", "PEM");
            settings.put("ssl.truststore.location", ca);
        }
        if (user != null || ca != null) {
            settings.put("security.protocol", user == null ? "SSL" : ca == null ? "SASL_PLAINTEXT" : "SASL_SSL");
        }
        return settings;
    }

    /** Adds `config.NAME=VALUE`, which wins over everything. What is left then is an argument that nobody knows. */
    private void addOwn(Properties settings) {
        List<String> unknown = new ArrayList<>();
        given.forEach((name, value) -> {
            if (name.startsWith("config.")) {
                settings.put(name.substring("config.".length()), value);
            } else {
                unknown.add(name);
            }
        });
        if (!unknown.isEmpty()) {
            System.err.println("unknown arguments: " + unknown + ". tests/clients/README.md has those that are known");
            Runtime.getRuntime().halt(1);
        }
    }

    private static void put(Properties settings, String name, String value) {
        if (value != null) {
            settings.put(name, value);
        }
    }

    private ProducerRecord<byte[], byte[]> record(int n) {
        byte[] key = n % 50 == 49 ? null : n % 51 == 50 ? new byte[0] : bytes("k" + n % 97);
        // Some clients refuse a record without key and value, so none has neither.
        byte[] value = n % 60 == 59 && key != null ? null : bytes("{\"n\":" + n + ",\"text\":\"" + TEXT + "\"}");
        List<Header> headers = List.of(
                new RecordHeader("n", bytes(String.valueOf(n))),
                new RecordHeader("twice", bytes("a")),
                new RecordHeader("twice", bytes("b")),
                new RecordHeader("empty", new byte[0]),
                new RecordHeader("null", (byte[]) null));
        return new ProducerRecord<>(topic, null, FIRST_TIMESTAMP_MS + n, key, value, headers);
    }

    private static byte[] bytes(String text) {
        return text.getBytes(StandardCharsets.UTF_8);
    }

    /** What has become of the records. Its methods may be called from any thread. */
    private static final class Report {
        private static final int FAILURES_SHOWN = 20;

        private final PrintStream out;
        private final String mode;
        private final long deadlineNs;
        private final long begun = System.nanoTime();
        private volatile long progress = begun;
        /** When each record was handed over, and 0 once it has its answer. */
        private final long[] handedOverAt;
        private final long[] latenciesNs;
        /** When each record was handed over and answered, in microseconds since 1970; null unless that is asked for. */
        private final long[][] timesUs;
        private final List<String> failed = new ArrayList<>();
        private int sent;
        private int acked;
        private int failures;
        private int lastFailed = -1;
        private int negative;
        private int other;
        private String error = "null";
        private boolean printed;

        Report(PrintStream out, String mode, int records, double deadlineS, boolean times) {
            this.out = out;
            this.mode = mode;
            this.deadlineNs = (long) (deadlineS * 1e9);
            this.handedOverAt = new long[records];
            this.latenciesNs = new long[records];
            this.timesUs = times ? new long[records][2] : null;
            Thread watch = new Thread(this::watch);
            watch.setDaemon(true);
            watch.start();
        }

        long deadlineMs() {
            return deadlineNs / 1_000_000;
        }

        void waitUntilDue(int n, long rate) {
            sleepNs(begun + n * 1_000_000_000L / rate - System.nanoTime());
        }

        private static void sleepNs(long ns) {
            try {
                TimeUnit.NANOSECONDS.sleep(ns);
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
            }
        }

        synchronized void handOver(int n) {
            handedOverAt[n] = System.nanoTime();
            noteTime(n, 0);
            sent++;
        }

        /** The deadline begins here: on a busy machine, loading the client's classes alone takes seconds. */
        void clientIsMade() {
            progress = System.nanoTime();
        }

        /** The client's call has returned: the deadline begins anew, unless all that the call did was to fail. */
        synchronized void handedOver(int n) {
            if (n != lastFailed) {
                progress = System.nanoTime();
            }
        }

        synchronized void ack(int n, long offset) {
            if (answered(n)) {
                acked++;
                if (offset < 0) {
                    negative++;
                } else {
                    other++;
                }
            }
        }

        synchronized void fail(int n, Throwable why) {
            if (answered(n)) {
                failures++;
                lastFailed = n;
                if (failed.size() < FAILURES_SHOWN) {
                    failed.add("{\"n\":" + n + ",\"code\":" + quoted(why.getClass().getSimpleName())
                            + ",\"message\":" + quoted(String.valueOf(why.getMessage())) + "}");
                }
            }
        }

        private boolean answered(int n) {
            if (handedOverAt[n] == 0) {
                // Its callback has told the same before.
                return false;
            }
            latenciesNs[acked + failures] = System.nanoTime() - handedOverAt[n];
            handedOverAt[n] = 0;
            noteTime(n, 1);
            return true;
        }

        private void noteTime(int n, int which) {
            if (timesUs != null) {
                timesUs[n][which] = ChronoUnit.MICROS.between(Instant.EPOCH, Instant.now());
            }
        }

        synchronized void clientError(Throwable why) {
            error = "{\"code\":" + quoted(why.getClass().getSimpleName())
                    + ",\"message\":" + quoted(String.valueOf(why.getMessage())) + "}";
        }

        /** A client may block for ever, in a call or when it is closed. One that ends goes before this does. */
        private void watch() {
            for (long left = deadlineNs; left > 0; left = progress + deadlineNs - System.nanoTime()) {
                sleepNs(Math.min(left, 200_000_000));
            }
            String nothing = mode.equals("transaction") ? ",\"committed\":false" : ",\"received\":0";
            finish(nothing + ",\"code\":\"deadline\",\"message\":\"nothing came in time\"");
        }

        /** Prints the report and ends the process, whatever the client still does. `more` are fields of other modes. */
        synchronized void finish(String more) {
            if (printed) {
                return;
            }
            printed = true;
            boolean ofRecords = mode.equals("send") || mode.equals("one");
            out.println("{\"client\":\"java\",\"version\":" + quoted(AppInfoParser.getVersion()) + ",\"mode\":" + quoted(mode)
                    + ",\"leaves_out\":[]" + (ofRecords ? ofRecords() : more) + ",\"error\":" + error + "}");
            Runtime.getRuntime().halt(0);
        }

        private String ofRecords() {
            int answered = acked + failures;
            String percentiles = "";
            if (answered > 0) {
                boolean one = mode.equals("one");
                long[] sorted = Arrays.copyOf(latenciesNs, answered);
                Arrays.sort(sorted);
                for (int percent : new int[] {50, 99}) {
                    double at = sorted[(int) Math.min(answered - 1, (long) answered * percent / 100)];
                    percentiles += ",\"p" + percent + (one ? "_us\":" : "_ms\":") + at / (one ? 1e3 : 1e6);
                }
            }
            return ",\"sent\":" + sent + ",\"acked\":" + acked + ",\"failures\":" + failures
                    + ",\"failed\":[" + String.join(",", failed) + "]"
                    + ",\"unanswered\":" + (sent - answered)
                    + ",\"offsets\":{\"none\":0,\"negative\":" + negative + ",\"other\":" + other + "}"
                    + ",\"took_ms\":" + (System.nanoTime() - begun) / 1_000_000 + percentiles + times();
        }

        private String times() {
            if (timesUs == null) {
                return "";
            }
            // One without an answer has one time.
            return Arrays.stream(timesUs, 0, sent)
                    .map(pair -> pair[1] == 0 ? "[" + pair[0] + "]" : "[" + pair[0] + "," + pair[1] + "]")
                    .collect(Collectors.joining(",", ",\"times\":[", "]"));
        }

        static String quoted(String text) {
            StringBuilder quoted = new StringBuilder("\"");
            for (char c : text.toCharArray()) {
                if (c == '"' || c == '\\') {
                    quoted.append('\\').append(c);
                } else if (c < ' ') {
                    quoted.append(String.format("\\u%04x", (int) c));
                } else {
                    quoted.append(c);
                }
            }
            return quoted.append('"').toString();
        }
    }
}
