import com.google.gson.Gson;
import com.google.gson.GsonBuilder;
import dev.pointsman.v1.End;
import dev.pointsman.v1.Outcome;
import io.grpc.Status;
import java.nio.charset.StandardCharsets;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.stream.Collectors;

/** What became of the records. */
final class Report {
    private static final Gson JSON = new GsonBuilder().serializeNulls().create();

    volatile int sent;
    int told;
    private final Map<String, Object> fields = new LinkedHashMap<>();
    private final Map<String, Integer> kinds = new TreeMap<>();
    private final Map<String, Integer> codes = new TreeMap<>();
    private final long begun = System.nanoTime();
    private Map<String, Object> last;
    private boolean inOrder = true;
    private int repeats;
    private boolean areSame = true;

    Report(String mode) {
        add("client", "grpc-java").add("version", io.grpc.ManagedChannel.class.getPackage().getImplementationVersion());
        add("mode", mode).add("status", "OK").add("reason", null).add("message", "");
    }

    Report add(String name, Object value) {
        fields.put(name, value);
        return this;
    }

    /** Notes the outcomes of an answer, whose indexes have to go on from `first`. */
    void outcomes(List<Outcome> outcomes, int first) {
        for (int at = 0; at < outcomes.size(); at++) {
            Outcome outcome = outcomes.get(at);
            inOrder &= outcome.getIndex() == first + at;
            kinds.merge(outcome.getKind().name(), 1, Integer::sum);
            if (outcome.hasError()) {
                codes.merge(outcome.getError().getCode(), 1, Integer::sum);
            }
        }
        told += outcomes.size();
    }

    /** The outcomes of a request, whichever stream told them. */
    static String withoutIndex(List<Outcome> outcomes) {
        return outcomes.stream()
                .map(outcome -> outcome.toBuilder().clearIndex().build().toString())
                .collect(Collectors.joining());
    }

    /** Notes the answer to a request with a number, which may have had one before. */
    void repeated(boolean isRepeat, boolean isSame) {
        repeats += isRepeat ? 1 : 0;
        areSame &= isSame;
    }

    /** Notes the end of a stream. */
    void end(End end) {
        last = new LinkedHashMap<>();
        last.put("reason", end.getReason().name());
        last.put("count", end.getCount());
        last.put("code", end.hasError() ? end.getError().getCode() : null);
    }

    boolean hasEnd() {
        return last != null;
    }

    /** Notes a status other than OK. */
    void status(Status status, String reason) {
        add("status", status.getCode().name()).add("reason", reason).add("message", status.getDescription());
    }

    /** Prints the report. */
    void print() {
        add("sent", sent).add("outcomes", kinds).add("codes", codes).add("in_order", inOrder).add("end", last);
        add("repeats", repeats).add("are_same", areSame).add("took_ms", (System.nanoTime() - begun) / 1_000_000);
        System.out.writeBytes((JSON.toJson(fields) + "\n").getBytes(StandardCharsets.UTF_8));
        System.out.flush();
    }
}
