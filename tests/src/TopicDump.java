import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.BufferedWriter;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Base64;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.TreeMap;
import org.apache.pulsar.client.api.Message;
import org.apache.pulsar.client.api.MessageId;
import org.apache.pulsar.client.api.MessageIdAdv;
import org.apache.pulsar.client.api.PulsarClient;
import org.apache.pulsar.client.api.Reader;
import org.apache.pulsar.client.api.Schema;

/**
 * Writes what a Reader gets of each topic, partition by partition, to a file with a line of JSON for each message. It ends
 * with the last message that each partition had when its topic was begun with.
 *
 * <pre>TopicDump SERVICE-URL [TOPIC FILE]..</pre>
 */
public class TopicDump {
    private static final String PARTITION = "-partition-";
    private static final ObjectMapper JSON = new ObjectMapper();

    public static void main(String[] arguments) throws Exception {
        try (PulsarClient client = PulsarClient.builder().serviceUrl(arguments[0]).build()) {
            for (int at = 1; at < arguments.length; at += 2) {
                try (BufferedWriter file = Files.newBufferedWriter(Path.of(arguments[at + 1]))) {
                    dump(client, arguments[at], file);
                }
            }
            // Closing the client would take seconds more.
            System.exit(0);
        }
    }

    private static void dump(PulsarClient client, String topic, BufferedWriter file) throws Exception {
        Map<Integer, Reader<byte[]>> readers = new TreeMap<>();
        Map<Integer, MessageIdAdv> ends = new TreeMap<>();
        // A topic without partitions is listed as one itself.
        for (String name : client.getPartitionsForTopic(topic, false).get()) {
            int at = name.lastIndexOf(PARTITION);
            int partition = at < 0 ? 0 : Integer.parseInt(name.substring(at + PARTITION.length()));
            Reader<byte[]> reader =
                    client.newReader(Schema.BYTES).topic(name).startMessageId(MessageId.earliest).create();
            readers.put(partition, reader);
            ends.put(partition, (MessageIdAdv) reader.getLastMessageIds().get(0));
        }
        for (Map.Entry<Integer, Reader<byte[]>> reader : readers.entrySet()) {
            dump(reader.getKey(), reader.getValue(), ends.get(reader.getKey()), file);
        }
    }

    private static void dump(int partition, Reader<byte[]> reader, MessageIdAdv end, BufferedWriter file)
            throws Exception {
        // The end of a partition without messages has the entry -1.
        boolean goesOn = end.getEntryId() >= 0;
        // What lies at the end may be nothing that a reader gets, such as a marker.
        while (goesOn && reader.hasMessageAvailable()) {
            Message<byte[]> message = reader.readNext();
            MessageIdAdv id = (MessageIdAdv) message.getMessageId();
            int place = compare(id, end);
            if (place <= 0) {
                file.write(JSON.writeValueAsString(line(partition, id, message)));
                file.newLine();
            }
            goesOn = place < 0;
        }
    }

    private static int compare(MessageIdAdv one, MessageIdAdv other) {
        int ledger = Long.compare(one.getLedgerId(), other.getLedgerId());
        int entry = ledger != 0 ? ledger : Long.compare(one.getEntryId(), other.getEntryId());
        return entry != 0 ? entry : Integer.compare(one.getBatchIndex(), other.getBatchIndex());
    }

    private static Map<String, Object> line(int partition, MessageIdAdv id, Message<byte[]> message) {
        Map<String, Object> line = new LinkedHashMap<>();
        line.put("partition", partition);
        line.put("ledger", id.getLedgerId());
        line.put("entry", id.getEntryId());
        // It is -1 for a message that is in no batch.
        line.put("batch_index", id.getBatchIndex());
        line.put("index", message.getIndex().orElse(null));
        // Milliseconds since 1970; an event time of 0 is none.
        line.put("broker_publish_time", message.getBrokerPublishTime().orElse(null));
        line.put("publish_time", message.getPublishTime());
        line.put("event_time", message.getEventTime());
        line.put("producer", message.getProducerName());
        line.put("sequence", message.getSequenceId());
        line.put("key", message.getKey());
        line.put("key_is_base64", message.hasBase64EncodedKey());
        line.put("properties", message.getProperties());
        byte[] payload = message.getData();
        String text = new String(payload, StandardCharsets.UTF_8);
        boolean isText = Arrays.equals(text.getBytes(StandardCharsets.UTF_8), payload);
        line.put("payload", isText ? text : Base64.getEncoder().encodeToString(payload));
        line.put("payload_is_base64", !isText);
        return line;
    }
}
