import java.io.PrintWriter;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.LockSupport;
import org.apache.pulsar.client.api.Message;
import org.apache.pulsar.client.api.MessageId;
import org.apache.pulsar.client.api.Producer;
import org.apache.pulsar.client.api.PulsarClient;
import org.apache.pulsar.client.api.Reader;
import org.apache.pulsar.client.api.Schema;

/**
 * One measurement: messages at a rate, and when the action of each is seen.
 *
 * <p>Messages are put slowly until an action is seen, so whoever decides is there; then come the warm-up, a second at
 * the measured rate that does not count, the messages that do, and a second of others after them.
 */
final class Run implements AutoCloseable {
    private static final long SECOND = 1_000_000;
    private static final long BEGIN_WITHIN = 90 * SECOND;
    private static final long PATIENCE = 20 * SECOND;
    private static final int ACCOUNTS = 1000;
    private static final byte[] SUBJECT = "\"subject\":".getBytes(StandardCharsets.UTF_8);

    private final Producer<byte[]>[] producers;
    private final Producer<byte[]> changes;
    private final Reader<byte[]> actions;
    private final int rate;
    private final Thread watcher = new Thread(this::watch);

    // Those of messages are written by this thread alone, those of actions by the watcher, which locks for them.
    private long[] sent = new long[1 << 16];
    private int count;
    private int accounts;
    private final Object lock = new Object();
    private long[] seen = new long[1 << 16];
    private int[] times = new int[1 << 16];
    private long answered;
    private int first;
    private int end;
    private volatile boolean stop;

    Run(PulsarClient client, String namespace, int partitions, int rate) throws Exception {
        this.rate = rate;
        producers = Traffic.producers(client, namespace + "messages", partitions);
        changes = Traffic.producers(client, namespace + "accounts", 1)[0];
        actions = client.newReader(Schema.BYTES).topic(namespace + "actions").startMessageId(MessageId.earliest).create();
        watcher.setDaemon(true);
    }

    String measure(int warmUpRate, long warmUpMs, long measuredMs) throws Exception {
        for (int user = 0; user < ACCOUNTS; user++) {
            change(user);
        }
        changes.flush();
        watcher.start();
        begin();
        publish(warmUpRate, warmUpMs * 1000);
        for (long until = Stamp.now() + PATIENCE; missing(0, count) > 2 * rate && Stamp.now() < until; ) {
            publish(rate, SECOND / 10);
        }
        publish(rate, SECOND);
        first = count;
        publish(rate, measuredMs * 1000);
        end = count;
        publish(rate, SECOND);
        for (Producer<byte[]> producer : producers) {
            producer.flush();
        }
        for (long until = Stamp.now() + PATIENCE; missing(first, end) > 0 && Stamp.now() < until; ) {
            LockSupport.parkNanos(10_000_000);
        }
        stop = true;
        watcher.join();
        return count + " messages, " + (end - first) + " measured, " + missing(first, end) + " without an action";
    }

    /** A line for each message that counts: {@code measured ID SENT SEEN TIMES}, SEEN being -1 where it never was. */
    void write(PrintWriter lines) {
        synchronized (lock) {
            grow(end);
            for (int id = first; id < end; id++) {
                lines.println("measured " + id + " " + sent[id] + " " + (times[id] == 0 ? -1 : seen[id]) + " " + times[id]);
            }
        }
    }

    long sent() {
        return count;
    }

    long accounts() {
        return accounts;
    }

    private void begin() throws Exception {
        long until = Stamp.now() + BEGIN_WITHIN;
        while (answered() == 0) {
            if (Stamp.now() > until) {
                throw new IllegalStateException("no action was seen for " + count + " messages");
            }
            for (int partition = 0; partition < producers.length; partition++) {
                publishOne();
            }
            LockSupport.parkNanos(100_000_000);
        }
    }

    /** Puts messages at a rate for so many microseconds, and a change of an account at every full minute. */
    private void publish(int perSecond, long micros) {
        long begun = Stamp.now();
        long messages = micros * perSecond / SECOND;
        for (long number = 0; number < messages; number++) {
            long due = begun + number * SECOND / perSecond;
            for (long now = Stamp.now(); now < due; now = Stamp.now()) {
                LockSupport.parkNanos((due - now) * 1000);
            }
            publishOne();
        }
    }

    private long minute = Stamp.now() / (60 * SECOND);

    private void publishOne() {
        if (count == sent.length) {
            sent = Arrays.copyOf(sent, 2 * count);
        }
        long at = Stamp.now();
        sent[count] = at;
        producers[count % producers.length].sendAsync(Traffic.message(count, at)).exceptionally(Run::fail);
        count++;
        if (at / (60 * SECOND) != minute) {
            minute = at / (60 * SECOND);
            change((int) (minute % ACCOUNTS));
        }
    }

    private void change(int user) {
        long at = Stamp.now();
        String json = "{\"user_id\":" + user + ",\"level\":1,\"changed_at\":\"" + Stamp.text(at) + "\",\"micros\":" + at + "}";
        changes.sendAsync(json.getBytes(StandardCharsets.UTF_8)).exceptionally(Run::fail);
        accounts++;
    }

    static <T> T fail(Throwable error) {
        error.printStackTrace();
        Runtime.getRuntime().halt(1);
        return null;
    }

    private void watch() {
        try {
            while (!stop) {
                Message<byte[]> message = actions.readNext(100, TimeUnit.MILLISECONDS);
                if (message != null) {
                    long at = Stamp.now();
                    see((int) Stamp.number(message.getData(), SUBJECT), at);
                }
            }
        } catch (Exception error) {
            fail(error);
        }
    }

    private void see(int id, long at) {
        synchronized (lock) {
            if (id < 0) {
                throw new IllegalStateException("an action has no subject");
            }
            grow(id + 1);
            if (times[id]++ == 0) {
                seen[id] = at;
            }
            answered++;
        }
    }

    private void grow(int count) {
        if (count > seen.length) {
            int length = Math.max(count, 2 * seen.length);
            seen = Arrays.copyOf(seen, length);
            times = Arrays.copyOf(times, length);
        }
    }

    private long answered() {
        synchronized (lock) {
            return answered;
        }
    }

    private int missing(int from, int to) {
        synchronized (lock) {
            grow(to);
            int missing = 0;
            for (int id = from; id < to; id++) {
                missing += times[id] == 0 ? 1 : 0;
            }
            return missing;
        }
    }

    @Override
    public void close() throws Exception {
        stop = true;
        actions.close();
        changes.close();
        for (Producer<byte[]> producer : producers) {
            producer.close();
        }
    }
}
