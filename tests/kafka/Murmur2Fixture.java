import java.io.FileDescriptor;
import java.io.FileOutputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.Base64;
import java.util.Random;
import org.apache.kafka.clients.producer.internals.BuiltInPartitioner;
import org.apache.kafka.common.utils.AppInfoParser;
import org.apache.kafka.common.utils.Utils;

/**
 * Writes keys with the partitions that the Java client picks for them: key-hash must agree with them.
 *
 * <pre>java -cp 'target/kafka/libs/*' tests/kafka/Murmur2Fixture.java > tests/fixtures/murmur2.tsv</pre>
 */
public final class Murmur2Fixture {
    /** A seed that never changes, and java.util.Random's fixed algorithm: the same file on every machine. */
    private static final long SEED = 2026L;
    private static final int[] PARTITION_COUNTS = {3, 12, 100, 1000};
    /** murmur2 reads four bytes at a time and then a tail of 0 to 3: short keys are where it goes wrong. */
    private static final int SHORT = 16;
    private static final int LONGEST = 64;
    private static final int EACH_SHORT_LENGTH = 400;
    private static final int ANY_LENGTH = 3_000;
    private static final int TEXTS = 1_000;

    public static void main(String[] args) {
        // The logging library would warn on standard output, in the middle of the file.
        PrintStream out = new PrintStream(new FileOutputStream(FileDescriptor.out), false, StandardCharsets.UTF_8);
        System.setOut(System.err);
        out.printf("# key in base64, murmur2 (signed), partition of 3, 12, 100, 1000;"
                + " made by tests/kafka/Murmur2Fixture.java with kafka-clients %s, seed %d%n", AppInfoParser.getVersion(), SEED);

        Random random = new Random(SEED);
        out.println(line(new byte[0]));
        for (int value = 0; value < 256; value++) {
            out.println(line(new byte[] {(byte) value}));
        }
        for (int length = 2; length <= SHORT; length++) {
            for (int i = 0; i < EACH_SHORT_LENGTH; i++) {
                out.println(line(bytes(random, length)));
            }
        }
        for (int i = 0; i < ANY_LENGTH; i++) {
            out.println(line(bytes(random, i % (LONGEST + 1))));
        }
        for (int i = 0; i < TEXTS; i++) {
            out.println(line(text(random).getBytes(StandardCharsets.UTF_8)));
        }
        // Nothing but the extremes of a signed byte: where a port that widens bytes differently shows.
        for (int length = 1; length <= LONGEST; length++) {
            for (byte filler : new byte[] {0, 0x7f, (byte) 0x80, (byte) 0xff}) {
                byte[] key = new byte[length];
                Arrays.fill(key, filler);
                out.println(line(key));
            }
        }
        out.flush();
    }

    private static byte[] bytes(Random random, int length) {
        byte[] key = new byte[length];
        random.nextBytes(key);
        return key;
    }

    /** A key as people write them, or characters of one to four bytes in UTF-8. */
    private static String text(Random random) {
        if (random.nextBoolean()) {
            return "tenant-" + random.nextInt(1_000_000);
        }
        StringBuilder text = new StringBuilder();
        int[] alphabetStarts = {'a', 0xe0, 0x3b1, 0x4e00, 0x1f600};
        for (int i = random.nextInt(10); i >= 0; i--) {
            text.appendCodePoint(alphabetStarts[random.nextInt(alphabetStarts.length)] + random.nextInt(20));
        }
        return text.toString();
    }

    private static String line(byte[] key) {
        StringBuilder line = new StringBuilder(Base64.getEncoder().encodeToString(key));
        line.append('\t').append(Utils.murmur2(key));
        for (int partitions : PARTITION_COUNTS) {
            line.append('\t').append(BuiltInPartitioner.partitionForKey(key, partitions));
        }
        return line.toString();
    }
}
