import com.google.protobuf.ByteString;
import dev.pointsman.v1.IngestServiceGrpc;
import dev.pointsman.v1.Outcome;
import dev.pointsman.v1.Record;
import io.grpc.ManagedChannel;
import io.grpc.netty.shaded.io.grpc.netty.NettyChannelBuilder;
import io.grpc.netty.shaded.io.netty.channel.ChannelOption;
import io.grpc.netty.shaded.io.netty.channel.epoll.EpollDomainSocketChannel;
import io.grpc.netty.shaded.io.netty.channel.epoll.EpollEventLoopGroup;
import io.grpc.netty.shaded.io.netty.channel.unix.DomainSocketAddress;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicReference;

/**
 * Sends each line of standard input as the value of a record, in numbered requests over a gRPC stream:
 *
 * <pre>seq 1000 | java -cp 'examples/clients/java/target/numbered-client.jar:examples/clients/java/target/libs/*' Main \
 *     --target unix:target/run/ingest.sock --topic numbers --client demo-java</pre>
 */
public final class Main {
    private static final AtomicInteger acked = new AtomicInteger();
    private static final AtomicReference<Throwable> firstError = new AtomicReference<>();

    public static void main(String[] args) throws Exception {
        Map<String, String> given = new TreeMap<>(Map.of("--batch", "100"));
        for (int at = 0; at + 1 < args.length; at += 2) {
            given.put(args[at], args[at + 1]);
        }
        if (!given.keySet().containsAll(List.of("--target", "--topic", "--client"))) {
            System.err.println("--target, --topic and --client are needed; --batch is 100 by default");
            System.exit(2);
        }
        ManagedChannel channel = connect(given.get("--target"));
        NumberedClient client = new NumberedClient(
                IngestServiceGrpc.newStub(channel),
                channel::resetConnectBackoff,
                new NumberedClient.Options(given.get("--client")));
        try (client) {
            sendLines(client, given.get("--topic"), Integer.parseInt(given.get("--batch")));
        } catch (NumberedClient.NotSentException e) {
            firstError.compareAndSet(null, e);
        }
        System.out.println(acked + " records acked");
        if (firstError.get() != null) {
            System.err.println(firstError.get().getMessage());
        }
        System.exit(firstError.get() == null ? 0 : 1);
    }

    /** A connection to host:port, or unix:PATH. */
    private static ManagedChannel connect(String target) {
        NettyChannelBuilder channel;
        if (target.startsWith("unix:")) {
            channel = NettyChannelBuilder.forAddress(new DomainSocketAddress(target.substring("unix:".length())))
                    .eventLoopGroup(new EpollEventLoopGroup(1))
                    .channelType(EpollDomainSocketChannel.class, DomainSocketAddress.class)
                    // Else the socket's path would be the authority, which is no host.
                    .overrideAuthority("localhost")
                    // Else the library warns that this kind of socket has no such option.
                    .withOption(ChannelOption.SO_KEEPALIVE, null);
        } else {
            channel = NettyChannelBuilder.forTarget(target);
        }
        // A connection whose other end is gone without a word is found out.
        return channel.keepAliveTime(30, TimeUnit.SECONDS).keepAliveTimeout(10, TimeUnit.SECONDS).usePlaintext().build();
    }

    private static void sendLines(NumberedClient client, String topic, int batch) throws Exception {
        BufferedReader lines = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        List<Record> records = new ArrayList<>();
        String line;
        while ((line = lines.readLine()) != null) {
            records.add(Record.newBuilder().setValue(ByteString.copyFromUtf8(line)).build());
            if (records.size() == batch) {
                client.send(topic, records).whenComplete(Main::count);
                records = new ArrayList<>();
            }
        }
        if (!records.isEmpty()) {
            client.send(topic, records).whenComplete(Main::count);
        }
    }

    private static void count(List<Outcome> outcomes, Throwable error) {
        if (error != null) {
            firstError.compareAndSet(null, error);
            return;
        }
        for (Outcome outcome : outcomes) {
            if (outcome.getKind() == Outcome.Kind.KIND_ACKED) {
                acked.incrementAndGet();
            } else {
                System.err.println("rejected: " + outcome.getError().getMessage());
            }
        }
    }
}
