import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.FileDescriptor;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.PrintStream;
import java.net.URI;
import java.net.URLEncoder;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.time.Instant;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.TreeMap;
import org.apache.avro.Schema;
import org.apache.avro.generic.GenericDatumReader;
import org.apache.avro.io.BinaryDecoder;
import org.apache.avro.io.DecoderFactory;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;

/**
 * Reads a topic with Apache Avro, and prints a line of JSON for each record.
 *
 * <p>Nothing of it comes from Confluent: the prefix is taken off by hand, and the schema is asked for over HTTP. A value that is
 * not used up by its schema ends the program. ../README.md says how it is run.
 */
public final class ReadAvro {
    private static final ObjectMapper JSON = new ObjectMapper();
    /** A zero byte, then the schema's id: four bytes, the highest first. */
    private static final int PREFIX_BYTES = 5;

    private final HttpClient http =
            HttpClient.newBuilder().connectTimeout(Duration.ofSeconds(10)).build();
    private final Map<Integer, Schema> schemas = new HashMap<>();
    private final Map<String, String> given;

    private ReadAvro(Map<String, String> given) {
        this.given = given;
    }

    public static void main(String[] args) throws Exception {
        // Logging goes to System.out, and the lines must have their stream for themselves.
        PrintStream out = new PrintStream(new FileOutputStream(FileDescriptor.out), true, StandardCharsets.UTF_8);
        System.setOut(System.err);
        Map<String, String> given = new TreeMap<>();
        for (String argument : args) {
            String[] parts = argument.split("=", 2);
            given.put(parts[0], parts[1]);
        }
        new ReadAvro(given).read(out);
    }

    private void read(PrintStream out) throws Exception {
        int count = Integer.parseInt(given.get("count"));
        Instant end = Instant.now().plusSeconds(Long.parseLong(given.getOrDefault("deadline_s", "60")));
        int read = 0;
        try (KafkaConsumer<byte[], byte[]> consumer = consumer()) {
            List<TopicPartition> partitions = consumer.partitionsFor(given.get("topic")).stream()
                    .map(partition -> new TopicPartition(partition.topic(), partition.partition()))
                    .toList();
            consumer.assign(partitions);
            consumer.seekToBeginning(partitions);
            while (read < count) {
                if (Instant.now().isAfter(end)) {
                    throw new IOException(given.get("topic") + " had " + read + " of " + count + " records in time");
                }
                for (ConsumerRecord<byte[], byte[]> record : consumer.poll(Duration.ofMillis(200))) {
                    if (read < count) {
                        out.println(line(record));
                        read++;
                    }
                }
            }
        }
    }

    private KafkaConsumer<byte[], byte[]> consumer() {
        Properties settings = new Properties();
        settings.put("bootstrap.servers", given.get("bootstrap"));
        settings.put("enable.auto.commit", "false");
        return new KafkaConsumer<>(settings, new ByteArrayDeserializer(), new ByteArrayDeserializer());
    }

    private String line(ConsumerRecord<byte[], byte[]> record) throws IOException, InterruptedException {
        var line = JSON.createObjectNode();
        line.put("partition", record.partition());
        line.put("offset", record.offset());
        line.put("key", record.key() == null ? null : new String(record.key(), StandardCharsets.UTF_8));
        if (record.value() == null) {
            line.putNull("value");
            line.putNull("schema_id");
        } else {
            ByteBuffer value = ByteBuffer.wrap(record.value());
            if (value.remaining() < PREFIX_BYTES || value.get() != 0) {
                throw new IOException("record " + record.offset() + " does not begin with a zero byte and an id");
            }
            int id = value.getInt();
            line.set("value", JSON.readTree(decode(value, schema(id), record.offset())));
            line.put("schema_id", id);
        }
        return JSON.writeValueAsString(line);
    }

    /** The value as Avro prints it, which is JSON. */
    private static String decode(ByteBuffer value, Schema schema, long offset) throws IOException {
        BinaryDecoder decoder =
                DecoderFactory.get().binaryDecoder(value.array(), value.position(), value.remaining(), null);
        Object decoded = new GenericDatumReader<>(schema).read(null, decoder);
        if (!decoder.isEnd()) {
            throw new IOException("record " + offset + " has bytes after what its schema describes");
        }
        return decoded instanceof CharSequence ? JSON.writeValueAsString(decoded.toString()) : decoded.toString();
    }

    private Schema schema(int id) throws IOException, InterruptedException {
        Schema known = schemas.get(id);
        if (known == null) {
            known = parse(new Schema.Parser(), ask("/schemas/ids/" + id));
            schemas.put(id, known);
        }
        return known;
    }

    /** A parser knows the types of what it has parsed, so what a schema refers to comes first. */
    private Schema parse(Schema.Parser parser, JsonNode answer) throws IOException, InterruptedException {
        for (JsonNode reference : answer.path("references")) {
            String subject = URLEncoder.encode(reference.get("subject").asText(), StandardCharsets.UTF_8);
            parse(parser, ask("/subjects/" + subject + "/versions/" + reference.get("version").asInt()));
        }
        return parser.parse(answer.get("schema").asText());
    }

    private JsonNode ask(String path) throws IOException, InterruptedException {
        URI uri = URI.create(given.get("registry") + path);
        HttpRequest request = HttpRequest.newBuilder(uri)
                .timeout(Duration.ofSeconds(10))
                .header("Accept", "application/vnd.schemaregistry.v1+json, application/json")
                .build();
        HttpResponse<String> answer = http.send(request, HttpResponse.BodyHandlers.ofString());
        if (answer.statusCode() != 200) {
            throw new IOException(uri + ": " + answer.statusCode() + " " + answer.body());
        }
        return JSON.readTree(answer.body());
    }
}
