import java.time.Instant;
import java.time.LocalDateTime;
import java.time.ZoneOffset;
import java.time.format.DateTimeFormatter;

/** Moments of this machine's clock, in microseconds since 1970. */
final class Stamp {
    private static final DateTimeFormatter TEXT = DateTimeFormatter.ofPattern("yyyy-MM-dd HH:mm:ss.SSSSSS");

    private Stamp() {}

    static long now() {
        Instant now = Instant.now();
        return now.getEpochSecond() * 1_000_000 + now.getNano() / 1000;
    }

    static String text(long micros) {
        long seconds = Math.floorDiv(micros, 1_000_000L);
        int nanos = (int) Math.floorMod(micros, 1_000_000L) * 1000;
        return LocalDateTime.ofEpochSecond(seconds, nanos, ZoneOffset.UTC).format(TEXT);
    }

    /** The number after a name in JSON that has it once, or -1. Quotes around the number do not matter. */
    static long number(byte[] json, byte[] name) {
        for (int at = 0; at + name.length < json.length; at++) {
            int same = 0;
            while (same < name.length && json[at + same] == name[same]) {
                same++;
            }
            if (same == name.length) {
                return digits(json, at + same);
            }
        }
        return -1;
    }

    private static long digits(byte[] json, int from) {
        int at = from;
        while (at < json.length && (json[at] < '0' || json[at] > '9')) {
            at++;
        }
        long number = 0;
        while (at < json.length && json[at] >= '0' && json[at] <= '9') {
            number = number * 10 + json[at++] - '0';
        }
        return number;
    }
}
