import java.util.Arrays;
import java.util.Map;
import java.util.TreeMap;
import java.util.stream.Collectors;

/** The arguments NAME=VALUE, with their defaults. */
final class Options {
    final String target;
    final String topic;
    final String mode;
    final int records;
    final int perCall;
    final String client;
    final int rejectEach;
    final String until;
    final double rate;
    final int cutAfter;
    final long deadlineMs;
    final String token;
    final String compression;

    Options(String[] args) {
        Map<String, String> given = Arrays.stream(args)
                .map(argument -> argument.split("=", 2))
                .collect(Collectors.toMap(pair -> pair[0], pair -> pair[1], (a, b) -> b, TreeMap::new));
        target = given.remove("target");
        topic = take(given, "topic", "");
        mode = take(given, "mode", "produce");
        records = Integer.parseInt(take(given, "records", "20000"));
        perCall = Integer.parseInt(take(given, "per_call", "500"));
        client = given.remove("client");
        rejectEach = Integer.parseInt(take(given, "reject_each", "0"));
        until = given.remove("until");
        rate = Double.parseDouble(take(given, "rate", "0"));
        cutAfter = Integer.parseInt(take(given, "cut_after", "10"));
        deadlineMs = Long.parseLong(take(given, "deadline_ms", "0"));
        token = given.remove("token");
        String named = take(given, "compression", "none");
        compression = named.equals("none") ? null : named;
        if (!given.isEmpty()) {
            throw new IllegalArgumentException("unknown arguments " + given.keySet());
        }
    }

    private static String take(Map<String, String> given, String name, String fallback) {
        String value = given.remove(name);
        return value == null ? fallback : value;
    }

    /** How many requests there are. */
    int requests() {
        return (records + perCall - 1) / perCall;
    }
}
