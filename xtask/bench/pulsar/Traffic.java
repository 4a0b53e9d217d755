import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintWriter;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.concurrent.TimeUnit;
import org.apache.pulsar.client.api.MessageId;
import org.apache.pulsar.client.api.Producer;
import org.apache.pulsar.client.api.PulsarClient;
import org.apache.pulsar.client.api.Reader;
import org.apache.pulsar.client.api.Schema;

/**
 * Puts messages on topics and watches for actions, for whoever decides: {@code Traffic SERVICE}.
 *
 * <p>A line on the standard input is a request, and a line on the standard output its answer:
 *
 * <pre>
 * run NAMESPACE PARTITIONS RATE WARM_UP_RATE WARM_UP_MS MEASURED_MS LOGS FILE   runs one measurement, see Run; PARTITIONS are
 *     those of the topic of messages, and LOGS is logs or none
 * fill NAMESPACE PARTITIONS COUNT   puts so many messages on that topic
 * </pre>
 */
public class Traffic {
    public static void main(String[] arguments) throws Exception {
        PulsarClient client = PulsarClient.builder().serviceUrl(arguments[0]).build();
        BufferedReader requests = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = requests.readLine(); line != null; line = requests.readLine()) {
            try {
                System.out.println("ok " + answer(client, line.split(" ", 9)));
            } catch (Exception error) {
                error.printStackTrace();
                System.out.println("error " + error);
            }
        }
        Runtime.getRuntime().halt(0);
    }

    private static String answer(PulsarClient client, String[] request) throws Exception {
        String namespace = "persistent://" + request[1] + "/";
        if (request[0].equals("fill")) {
            return fill(client, namespace, Integer.parseInt(request[2]), Long.parseLong(request[3]));
        }
        Path file = Path.of(request[8]);
        try (Run run = new Run(client, namespace, Integer.parseInt(request[2]), Integer.parseInt(request[3]))) {
            String told = run.measure(
                    Integer.parseInt(request[4]), Long.parseLong(request[5]), Long.parseLong(request[6]));
            try (PrintWriter lines = new PrintWriter(Files.newBufferedWriter(file))) {
                run.write(lines);
                if (request[7].equals("logs")) {
                    log(client, namespace, "messages", run.sent(), lines);
                    log(client, namespace, "accounts", run.accounts(), lines);
                }
            }
            return told;
        }
    }

    /** The producers of the partitions of a topic: batches of at most a millisecond. */
    @SuppressWarnings("unchecked")
    static Producer<byte[]>[] producers(PulsarClient client, String topic, int partitions) throws Exception {
        Producer<byte[]>[] producers = new Producer[partitions];
        for (int partition = 0; partition < partitions; partition++) {
            producers[partition] = client.newProducer(Schema.BYTES).topic(topic + "-partition-" + partition)
                    .batchingMaxPublishDelay(1, TimeUnit.MILLISECONDS).blockIfQueueFull(true).create();
        }
        return producers;
    }

    static byte[] message(long id, long at) {
        long user = id * 7919 % 1000;
        String json = "{\"id\":" + id + ",\"user_id\":" + user + ",\"text_len\":" + id % 200 + ",\"sent_at\":\""
                + Stamp.text(at) + "\",\"micros\":" + at + "}";
        return json.getBytes(StandardCharsets.UTF_8);
    }

    private static String fill(PulsarClient client, String namespace, int partitions, long count) throws Exception {
        Producer<byte[]>[] producers = producers(client, namespace + "messages", partitions);
        for (long id = 0; id < count; id++) {
            producers[(int) (id % partitions)].sendAsync(message(id, Stamp.now())).exceptionally(Run::fail);
        }
        for (Producer<byte[]> producer : producers) {
            producer.flush();
            producer.close();
        }
        return "filled";
    }

    /** Writes a line for each message of a topic: {@code TOPIC PARTITION MICROS ID ARRIVAL_MS}, in the log's sequence. */
    private static void log(PulsarClient client, String namespace, String topic, long count, PrintWriter lines)
            throws Exception {
        byte[] id = "\"id\":".getBytes(StandardCharsets.UTF_8);
        byte[] micros = "\"micros\":".getBytes(StandardCharsets.UTF_8);
        try (Reader<byte[]> reader = client.newReader(Schema.BYTES).topic(namespace + topic)
                .startMessageId(MessageId.earliest).create()) {
            for (long number = 0; number < count; number++) {
                var message = reader.readNext(30, TimeUnit.SECONDS);
                if (message == null) {
                    throw new IllegalStateException(topic + " has " + number + " of " + count + " messages");
                }
                String name = message.getTopicName();
                byte[] data = message.getData();
                long arrival = message.getBrokerPublishTime().orElseThrow();
                lines.println(topic + " " + name.substring(name.lastIndexOf('-') + 1) + " "
                        + Stamp.number(data, micros) + " " + Stamp.number(data, id) + " " + arrival);
            }
        }
    }
}
