import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.lang.management.ManagementFactory;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.concurrent.ArrayBlockingQueue;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicIntegerArray;
import org.apache.kafka.clients.producer.Callback;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/**
 * Kafka's own Java producer with callers that wait for their records, as those of a sidecar wait for an answer: each
 * sends a batch, waits until all of it is acknowledged, and sends the next. One thread sends for all of them.
 *
 * <pre>java -cp 'target/kafka/libs/*' tests/throughput/Load.java BOOTSTRAP TOPIC PARTITIONS IN_FLIGHT RECORDS</pre>
 *
 * RECORDS is a file with a record a line: its key, a tab, its value. Each line of the input is a turn: callers, records
 * in a batch, seconds to warm up, seconds to measure. It is answered by a line of JSON.
 */
public final class Load {
    /** A record as it is stored. */
    private record Bytes(byte[] key, byte[] value) {}

    private final KafkaProducer<byte[], byte[]> producer;
    private final String topic;
    private final List<Bytes> records;
    private int next;
    /** Only the producer's own thread counts. */
    private volatile long acked;

    private Load(String bootstrap, String topic, String inFlight, List<Bytes> records) {
        this.producer = new KafkaProducer<>(
                Map.of(
                        "bootstrap.servers", bootstrap,
                        "acks", "all",
                        "enable.idempotence", "true",
                        "linger.ms", "0",
                        "batch.size", "1000000",
                        "buffer.memory", "67108864",
                        "max.in.flight.requests.per.connection", inFlight),
                new ByteArraySerializer(),
                new ByteArraySerializer());
        this.topic = topic;
        this.records = records;
    }

    public static void main(String[] args) throws Exception {
        PrintStream answers = System.out;
        // What libraries print is no answer.
        System.setOut(System.err);
        List<Bytes> records = new ArrayList<>();
        for (String line : Files.readAllLines(Path.of(args[4]))) {
            String[] pair = line.split("\t", 2);
            records.add(new Bytes(pair[0].getBytes(StandardCharsets.UTF_8), pair[1].getBytes(StandardCharsets.UTF_8)));
        }
        Load load = new Load(args[0], args[1], args[3], records);
        BufferedReader turns = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = turns.readLine(); line != null; line = turns.readLine()) {
            String[] turn = line.split(" ");
            answers.println(load.new Turn(Integer.parseInt(turn[0]), Integer.parseInt(turn[1]))
                    .run(Double.parseDouble(turn[2]), Double.parseDouble(turn[3])));
        }
        load.producer.close();
    }

    /** The callers of a turn. */
    private final class Turn {
        private final int callers;
        private final int batch;
        /** For each caller how many of its records are under way. */
        private final AtomicIntegerArray left;
        /** Callers whose records are all acknowledged. */
        private final BlockingQueue<Integer> ready;
        /** For each caller when it began to send, or 0. */
        private final long[] begun;
        private final Callback[] callbacks;

        Turn(int callers, int batch) {
            this.callers = callers;
            this.batch = batch;
            this.left = new AtomicIntegerArray(callers);
            this.ready = new ArrayBlockingQueue<>(callers);
            this.begun = new long[callers];
            this.callbacks = new Callback[callers];
            for (int caller = 0; caller < callers; caller++) {
                this.callbacks[caller] = callback(caller);
                ready.add(caller);
            }
        }

        @SuppressWarnings("NonAtomicOperationOnVolatileField")
        private Callback callback(Integer caller) {
            return (metadata, error) -> {
                if (error != null) {
                    System.err.println("a record was not acknowledged: " + error);
                    System.exit(1);
                }
                acked++;
                if (left.decrementAndGet(caller) == 0) {
                    ready.add(caller);
                }
            };
        }

        String run(double warmUp, double seconds) throws InterruptedException {
            sendFor(warmUp);
            long ackedBefore = acked;
            long cpuBefore = cpuNanos();
            long before = System.nanoTime();
            double[] latencies = sendFor(seconds);
            double took = (System.nanoTime() - before) / 1e9;
            double records = acked - ackedBefore;
            double cpu = (cpuNanos() - cpuBefore) / 1e9;
            producer.flush();
            Arrays.sort(latencies);
            return String.format(
                    Locale.ROOT,
                    "{\"records_per_second\":%.3f,\"cpu_seconds_per_million\":%.6f,\"p50_ms\":%s,\"p99_ms\":%s}",
                    records / took, cpu * 1e6 / records, at(latencies, 0.5), at(latencies, 0.99));
        }

        /** Returns the milliseconds that each batch took. */
        private double[] sendFor(double seconds) throws InterruptedException {
            long end = System.nanoTime() + (long) (seconds * 1e9);
            List<Integer> taken = new ArrayList<>(callers);
            double[] latencies = new double[1 << 16];
            int count = 0;
            while (true) {
                long left = end - System.nanoTime();
                if (left <= 0) {
                    return Arrays.copyOf(latencies, count);
                }
                Integer first = ready.poll(left, TimeUnit.NANOSECONDS);
                if (first == null) {
                    continue;
                }
                taken.add(first);
                ready.drainTo(taken);
                for (int caller : taken) {
                    if (begun[caller] != 0) {
                        if (count == latencies.length) {
                            latencies = Arrays.copyOf(latencies, 2 * count);
                        }
                        latencies[count++] = (System.nanoTime() - begun[caller]) / 1e6;
                    }
                    send(caller);
                }
                taken.clear();
            }
        }

        private void send(int caller) {
            begun[caller] = System.nanoTime();
            left.set(caller, batch);
            for (int sent = 0; sent < batch; sent++) {
                Bytes record = records.get(next);
                next = (next + 1) % records.size();
                producer.send(new ProducerRecord<>(topic, record.key, record.value), callbacks[caller]);
            }
        }
    }

    private static String at(double[] sorted, double share) {
        return sorted.length == 0 ? "null" : String.format(Locale.ROOT, "%.4f", sorted[(int) (sorted.length * share)]);
    }

    private static long cpuNanos() {
        return ((com.sun.management.OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean()).getProcessCpuTime();
    }
}
