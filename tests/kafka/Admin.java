import java.io.BufferedOutputStream;
import java.io.BufferedReader;
import java.io.FileDescriptor;
import java.io.FileOutputStream;
import java.io.FileReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.io.Reader;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Base64;
import java.util.Collection;
import java.util.Collections;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Properties;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.function.Predicate;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.apache.kafka.clients.CommonClientConfigs;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.NewPartitionReassignment;
import org.apache.kafka.clients.admin.NewPartitions;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.ElectionType;
import org.apache.kafka.common.KafkaFuture;
import org.apache.kafka.common.Node;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.TopicPartitionInfo;
import org.apache.kafka.common.acl.AccessControlEntry;
import org.apache.kafka.common.acl.AclBinding;
import org.apache.kafka.common.acl.AclOperation;
import org.apache.kafka.common.acl.AclPermissionType;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.resource.PatternType;
import org.apache.kafka.common.resource.ResourcePattern;
import org.apache.kafka.common.resource.ResourceType;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/**
 * Does to a cluster what tests ask for, one command a line on standard input, so that they pay for one JVM only. It is
 * the Java client throughout: what librdkafka wrote is checked by something that shares no code with it.
 *
 * <pre>java -cp 'target/kafka/libs/*' tests/kafka/Admin.java BOOTSTRAP [CLIENT_PROPERTIES_FILE]</pre>
 *
 * Fields are separated by tabs:
 * <pre>
 * ready BROKERS                            waits until this many brokers are up
 * create TOPIC PARTITIONS AT [NAME=VALUE…] with as many replicas as the brokers' default says, or with one: AT is
 *                                          "all" or "one"
 * delete TOPIC
 * add-partitions TOPIC TOTAL
 * deny-write TOPIC USER                    by an ACL; allow-write removes it again
 * allow-write TOPIC USER
 * set-config TOPIC NAME VALUE
 * hide-configs TOPIC USER                  the user may write to the topic, and not see how it is configured
 * describe TOPIC                           adds "partitions":[{"partition":0,"leader":1,"replicas":[1],"isr":[1]}…]
 * move-leaders TOPIC                       to each partition's next replica, all at once; adds "changed":2, how many
 *                                          partitions had a leader before and have another one now
 * produce TOPIC KEY VALUE                  base64, or "-" for null; to the partition that the Java client picks, which
 *                                          is in the answer with the offset
 * read TOPIC                               from the first record to those there now, a line each, before the answer:
 *                                          {"partition":0,"offset":0,"timestamp":1,"key":"…","value":null,"headers":[["a","…"]]}
 * </pre>
 *
 * Each is answered by a line that begins with {"ok" or {"error". Bytes are base64, or null. A command that takes longer
 * than a minute has failed. At the end of the input the exit code is 1 if any did.
 */
public final class Admin implements AutoCloseable {
    private static final Duration DEADLINE = Duration.ofSeconds(60);
    private static final long FIRST_PAUSE_MS = 20;
    /** Asking for the state of a thousand partitions keeps a broker from making them. */
    private static final long LONGEST_PAUSE_MS = 320;

    private final Properties client;
    private final PrintStream out;
    private final org.apache.kafka.clients.admin.Admin admin;
    /** Made by the first `produce`: most tests prove a producer of their own. */
    private KafkaProducer<byte[], byte[]> producer;

    public static void main(String[] args) throws Exception {
        // Logging goes to System.out, and the answers must have their stream for themselves.
        PrintStream out = new PrintStream(
                new BufferedOutputStream(new FileOutputStream(FileDescriptor.out), 1 << 16), false, StandardCharsets.UTF_8);
        System.setOut(System.err);

        // The end of the input is seen only between commands. If the tests are killed during one, nobody wants its answer.
        ProcessHandle.current().parent().ifPresent(
                parent -> parent.onExit().thenRun(() -> Runtime.getRuntime().halt(1)));

        Properties client = new Properties();
        if (args.length > 1) {
            try (Reader file = new FileReader(args[1], StandardCharsets.UTF_8)) {
                client.load(file);
            }
        }
        client.put(CommonClientConfigs.BOOTSTRAP_SERVERS_CONFIG, args[0]);
        // Tests start this together with the brokers: it should notice soon when they are up.
        client.putIfAbsent(CommonClientConfigs.RECONNECT_BACKOFF_MAX_MS_CONFIG, "100");
        // And it should fail soon, not after the producer's minute, when it gets a topic that does not exist.
        client.putIfAbsent("max.block.ms", "10000");

        boolean failed = false;
        try (Admin helper = new Admin(client, out);
                BufferedReader commands = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8))) {
            for (String line = commands.readLine(); line != null; line = commands.readLine()) {
                failed |= !helper.answer(line.split("\t", -1));
            }
        }
        System.exit(failed ? 1 : 0);
    }

    private Admin(Properties client, PrintStream out) {
        this.client = client;
        this.out = out;
        this.admin = org.apache.kafka.clients.admin.Admin.create(client);
    }

    /** Runs one command and prints its result; false if it failed. */
    private boolean answer(String[] command) {
        String answer;
        boolean done = true;
        try {
            answer = "{\"ok\":true" + run(command) + "}";
        } catch (Exception e) {
            done = false;
            // The client wraps the broker's message.
            Throwable cause = e instanceof ExecutionException && e.getCause() != null ? e.getCause() : e;
            answer = "{\"error\":" + quoted(cause.getClass().getSimpleName() + ": " + cause.getMessage()) + "}";
        }
        out.println(answer);
        out.flush();
        return done;
    }

    /** The rest of the answer, after "ok". */
    private String run(String[] command) throws Exception {
        String topic = command.length > 1 ? command[1] : "";
        return switch (command[0]) {
            case "ready" -> ready(Integer.parseInt(command[1]));
            case "create" -> create(topic, Integer.parseInt(command[2]), command[3], Arrays.asList(command).subList(4, command.length));
            case "delete" -> delete(topic);
            case "add-partitions" -> addPartitions(topic, Integer.parseInt(command[2]));
            case "deny-write" -> denyWrite(topic, command[2]);
            case "allow-write" -> allowWrite(topic, command[2]);
            case "set-config" -> setConfig(topic, command[2], command[3]);
            case "hide-configs" -> hideConfigs(topic, command[2]);
            case "describe" -> describe(topic);
            case "move-leaders" -> moveLeaders(topic);
            case "produce" -> produce(topic, bytes(command[2]), bytes(command[3]));
            case "read" -> read(topic);
            default -> throw new IllegalArgumentException("unknown command " + command[0]);
        };
    }

    private String ready(int brokers) throws Exception {
        until("there are " + brokers + " brokers", () -> nodes().size() == brokers);
        return "";
    }

    private String create(String topic, int partitions, String at, List<String> settings) throws Exception {
        Map<String, String> configs = new HashMap<>();
        for (String setting : settings) {
            String[] pair = setting.split("=", 2);
            configs.put(pair[0], pair[1]);
        }
        // The brokers' default is as many replicas as there are brokers.
        Optional<Short> replicas = at.equals("one") ? Optional.of((short) 1) : Optional.empty();
        NewTopic wanted = new NewTopic(topic, Optional.of(partitions), replicas).configs(configs);
        get(admin.createTopics(List.of(wanted)).all());
        brokersHave(topic, replicas.isPresent() ? partitions : partitions * nodes().size());
        return "";
    }

    private String delete(String topic) throws Exception {
        get(admin.deleteTopics(List.of(topic)).all());
        brokersHave(topic, 0);
        return "";
    }

    private String addPartitions(String topic, int total) throws Exception {
        get(admin.createPartitions(Map.of(topic, NewPartitions.increaseTo(total))).all());
        brokersHave(topic, total * nodes().size());
        return "";
    }

    private String denyWrite(String topic, String user) throws Exception {
        get(admin.createAcls(withoutWrite(topic, user)).all());
        return "";
    }

    private String setConfig(String topic, String name, String value) throws Exception {
        ConfigResource resource = new ConfigResource(ConfigResource.Type.TOPIC, topic);
        AlterConfigOp change = new AlterConfigOp(new ConfigEntry(name, value), AlterConfigOp.OpType.SET);
        get(admin.incrementalAlterConfigs(Map.of(resource, List.of(change))).all());
        return "";
    }

    private String hideConfigs(String topic, String user) throws Exception {
        ResourcePattern resource = new ResourcePattern(ResourceType.TOPIC, topic, PatternType.LITERAL);
        List<AclBinding> rules = Stream.of(AclOperation.WRITE, AclOperation.DESCRIBE_CONFIGS)
                .map(operation -> new AclBinding(resource, new AccessControlEntry(
                        "User:" + user,
                        "*",
                        operation,
                        operation == AclOperation.WRITE ? AclPermissionType.ALLOW : AclPermissionType.DENY)))
                .toList();
        get(admin.createAcls(rules).all());
        return "";
    }

    private String allowWrite(String topic, String user) throws Exception {
        get(admin.deleteAcls(withoutWrite(topic, user).stream().map(AclBinding::toFilter).toList()).all());
        return "";
    }

    /** Where there is any ACL, only what an ACL allows is allowed: so the user may see the topic, and not write to it. */
    private static List<AclBinding> withoutWrite(String topic, String user) {
        ResourcePattern resource = new ResourcePattern(ResourceType.TOPIC, topic, PatternType.LITERAL);
        String principal = "User:" + user;
        return List.of(
                new AclBinding(
                        resource, new AccessControlEntry(principal, "*", AclOperation.WRITE, AclPermissionType.DENY)),
                new AclBinding(
                        resource, new AccessControlEntry(principal, "*", AclOperation.DESCRIBE, AclPermissionType.ALLOW)));
    }

    /**
     * The controller answers before the brokers have heard; a test that goes on at once would now and then meet one
     * that does not know its topic. A broker updates its metadata before it makes or removes its replicas, so when the
     * replicas are right on all of them, the metadata is too (almost every topic here is replicated to every broker;
     * of another one each broker knows the partitions that it has).
     */
    private void brokersHave(String topic, int replicas) throws Exception {
        List<Integer> brokers = nodes().stream().map(Node::id).toList();
        until("the brokers have " + replicas + " replicas of partitions of " + topic, () -> {
            long there = get(admin.describeLogDirs(brokers).allDescriptions()).values().stream()
                    .flatMap(folders -> folders.values().stream())
                    .flatMap(folder -> folder.replicaInfos().keySet().stream())
                    .filter(replica -> replica.topic().equals(topic))
                    .count();
            return there == replicas;
        });
    }

    private String describe(String topic) throws Exception {
        return partitions(topic).stream()
                .map(Admin::partition)
                .collect(Collectors.joining(",", ",\"partitions\":[", "]"));
    }

    private List<TopicPartitionInfo> partitions(String topic) throws Exception {
        return get(admin.describeTopics(List.of(topic)).allTopicNames()).get(topic).partitions();
    }

    private static String partition(TopicPartitionInfo info) {
        return "{\"partition\":" + info.partition() + ",\"leader\":" + (info.leader() == null ? "null" : info.leader().id())
                + ",\"replicas\":" + ids(info.replicas()) + ",\"isr\":" + ids(info.isr()) + "}";
    }

    private static String ids(List<Node> nodes) {
        return nodes.stream().map(Node::idString).collect(Collectors.joining(",", "[", "]"));
    }

    /** The replicas stay where they are and get another order, of which the first is to lead. So no data has to move. */
    private String moveLeaders(String topic) throws Exception {
        List<TopicPartitionInfo> before = partitions(topic);
        Map<Integer, Integer> next = new HashMap<>();
        Map<TopicPartition, Optional<NewPartitionReassignment>> rotated = new HashMap<>();
        for (TopicPartitionInfo info : before) {
            List<Integer> order = new ArrayList<>(info.replicas().stream().map(Node::id).toList());
            Collections.rotate(order, -1);
            next.put(info.partition(), order.get(0));
            rotated.put(new TopicPartition(topic, info.partition()), Optional.of(new NewPartitionReassignment(order)));
        }
        Predicate<TopicPartitionInfo> isLed = info -> info.leader() != null;
        Predicate<TopicPartitionInfo> hasMoved = isLed.and(info -> info.leader().id() == next.get(info.partition()));
        get(admin.alterPartitionReassignments(rotated).all());
        until("each partition of " + topic + " is led by its next replica", () -> {
            // Where the next replica leads already, or is not in sync yet, this is an error of that partition only.
            get(admin.electLeaders(ElectionType.PREFERRED, rotated.keySet()).partitions());
            return partitions(topic).stream().allMatch(hasMoved);
        });
        return ",\"changed\":" + before.stream().filter(isLed.and(hasMoved.negate())).count();
    }

    private String produce(String topic, byte[] key, byte[] value) throws Exception {
        if (producer == null) {
            producer = new KafkaProducer<>(client, new ByteArraySerializer(), new ByteArraySerializer());
        }
        RecordMetadata written = producer.send(new ProducerRecord<>(topic, key, value))
                .get(DEADLINE.toMillis(), TimeUnit.MILLISECONDS);
        return ",\"partition\":" + written.partition() + ",\"offset\":" + written.offset();
    }

    private String read(String topic) throws Exception {
        Properties settings = new Properties();
        settings.putAll(client);
        settings.put("allow.auto.create.topics", "false");
        settings.put("enable.auto.commit", "false");
        long count = 0;
        long deadline = System.nanoTime() + DEADLINE.toNanos();
        try (KafkaConsumer<byte[], byte[]> consumer =
                new KafkaConsumer<>(settings, new ByteArrayDeserializer(), new ByteArrayDeserializer())) {
            // The admin client is asked: for an unknown topic, a consumer answers with an empty list, or waits.
            List<TopicPartition> partitions =
                    partitions(topic).stream().map(info -> new TopicPartition(topic, info.partition())).toList();
            consumer.assign(partitions);
            consumer.seekToBeginning(partitions);
            Map<TopicPartition, Long> ends = consumer.endOffsets(partitions, DEADLINE);
            // Positions, not counted records: compaction and transaction markers leave holes.
            while (partitions.stream().anyMatch(partition -> consumer.position(partition) < ends.get(partition))) {
                if (System.nanoTime() > deadline) {
                    throw new IllegalStateException("the end of " + topic + " was not reached in " + DEADLINE);
                }
                for (ConsumerRecord<byte[], byte[]> record : consumer.poll(Duration.ofMillis(100))) {
                    if (record.offset() < ends.get(new TopicPartition(topic, record.partition()))) {
                        out.println(line(record));
                        count++;
                    }
                }
            }
        }
        return ",\"records\":" + count;
    }

    private static String line(ConsumerRecord<byte[], byte[]> record) {
        StringBuilder line = new StringBuilder();
        line.append("{\"partition\":").append(record.partition())
                .append(",\"offset\":").append(record.offset())
                .append(",\"timestamp\":").append(record.timestamp())
                .append(",\"key\":").append(base64(record.key()))
                .append(",\"value\":").append(base64(record.value()))
                .append(",\"headers\":[");
        String separator = "";
        for (Header header : record.headers()) {
            line.append(separator).append('[').append(quoted(header.key())).append(',').append(base64(header.value())).append(']');
            separator = ",";
        }
        return line.append("]}").toString();
    }

    private Collection<Node> nodes() throws Exception {
        return get(admin.describeCluster().nodes());
    }

    private interface Check {
        boolean holds() throws Exception;
    }

    private static void until(String what, Check check) throws Exception {
        long deadline = System.nanoTime() + DEADLINE.toNanos();
        for (long pause = FIRST_PAUSE_MS; !check.holds(); pause = Math.min(2 * pause, LONGEST_PAUSE_MS)) {
            if (System.nanoTime() > deadline) {
                throw new IllegalStateException("not seen in " + DEADLINE + ": " + what);
            }
            Thread.sleep(pause);
        }
    }

    private static <T> T get(KafkaFuture<T> future) throws Exception {
        return future.get(DEADLINE.toMillis(), TimeUnit.MILLISECONDS);
    }

    private static byte[] bytes(String field) {
        return field.equals("-") ? null : Base64.getDecoder().decode(field);
    }

    private static String base64(byte[] bytes) {
        return bytes == null ? "null" : '"' + Base64.getEncoder().encodeToString(bytes) + '"';
    }

    private static String quoted(String text) {
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

    @Override
    public void close() {
        if (producer != null) {
            producer.close(Duration.ofSeconds(1));
        }
        admin.close(Duration.ofSeconds(1));
    }
}
