import com.sun.management.OperatingSystemMXBean;
import java.lang.management.ManagementFactory;
import org.apache.pulsar.client.api.Message;
import org.apache.pulsar.client.api.MessageId;
import org.apache.pulsar.client.api.PulsarClient;
import org.apache.pulsar.client.api.Reader;
import org.apache.pulsar.client.api.Schema;

/**
 * Reads a backlog with the official client's reader: {@code Backlog SERVICE TOPIC WARM_UP COUNT}.
 *
 * <p>Prints the microseconds of CPU and of time that the messages after the warm-up's took, each read from the
 * beginning of the topic, and the bytes in them.
 */
public class Backlog {
    public static void main(String[] arguments) throws Exception {
        OperatingSystemMXBean system = (OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean();
        try (PulsarClient client = PulsarClient.builder().serviceUrl(arguments[0]).build()) {
            read(client, arguments[1], Long.parseLong(arguments[2]));
            long cpu = system.getProcessCpuTime();
            long begun = System.nanoTime();
            long bytes = read(client, arguments[1], Long.parseLong(arguments[3]));
            long took = System.nanoTime() - begun;
            System.out.println("read " + (system.getProcessCpuTime() - cpu) / 1000 + " " + took / 1000 + " " + bytes);
        }
    }

    private static long read(PulsarClient client, String topic, long count) throws Exception {
        long bytes = 0;
        try (Reader<byte[]> reader = client.newReader(Schema.BYTES).topic(topic).receiverQueueSize(1000)
                .startMessageId(MessageId.earliest).create()) {
            for (long number = 0; number < count; number++) {
                Message<byte[]> message = reader.readNext();
                bytes += message.getData().length;
            }
        }
        return bytes;
    }
}
