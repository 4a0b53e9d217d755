import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.zip.CRC32;
import org.apache.pulsar.client.api.CompressionType;
import org.apache.pulsar.client.api.Message;
import org.apache.pulsar.client.api.MessageId;
import org.apache.pulsar.client.api.Producer;
import org.apache.pulsar.client.api.PulsarClient;
import org.apache.pulsar.client.api.Reader;

/** Writes messages of every compression, in batches, alone and in chunks, or prints those of a topic with their places. */
public class JavaBoth {
    static final byte[] LARGE = new byte[12_000_000];

    static void write(PulsarClient client, String topic) throws Exception {
        // Bytes that no compression makes smaller.
        new java.util.Random(7).nextBytes(LARGE);
        int number = 0;
        for (CompressionType compression : CompressionType.values()) {
            for (boolean batches : new boolean[] {true, false}) {
                var builder = client.newProducer().topic(topic).compressionType(compression).enableBatching(batches);
                if (batches) {
                    builder.batchingMaxPublishDelay(1, TimeUnit.SECONDS);
                } else {
                    builder.enableChunking(true);
                }
                try (Producer<byte[]> producer = builder.create()) {
                    List<CompletableFuture<MessageId>> sent = new ArrayList<>();
                    for (int at = 0; at < 12; at++) {
                        boolean large = !batches && at == 6
                                && (compression == CompressionType.NONE || compression == CompressionType.ZSTD);
                        byte[] bytes = large ? LARGE : ("message " + number).repeat(at * at).getBytes();
                        String key = "key " + number % 9;
                        print(number, key, bytes, -1);
                        sent.add(producer.newMessage().key(key).property("number", "" + number).value(bytes).sendAsync());
                        number++;
                    }
                    producer.flush();
                    for (CompletableFuture<MessageId> one : sent) {
                        one.get(60, TimeUnit.SECONDS);
                    }
                }
            }
        }
    }

    static void read(PulsarClient client, String topic, int partition, int count) throws Exception {
        try (Reader<byte[]> reader = client.newReader().topic(topic + "-partition-" + partition)
                .startMessageId(MessageId.earliest).create()) {
            for (int read = 0; read < count; read++) {
                Message<byte[]> message = reader.readNext(60, TimeUnit.SECONDS);
                if (message == null) {
                    throw new IllegalStateException("there are " + read + " messages, expected " + count);
                }
                print(Integer.parseInt(message.getProperty("number")), message.getKey(), message.getData(), partition);
            }
            if (reader.hasMessageAvailable()) {
                throw new IllegalStateException("there are more messages");
            }
        }
    }

    static void print(int number, String key, byte[] bytes, int partition) {
        CRC32 checksum = new CRC32();
        checksum.update(bytes);
        System.out.println("sum " + partition + " " + number + " " + key + " " + bytes.length + " " + checksum.getValue());
    }

    public static void main(String[] arguments) throws Exception {
        try (PulsarClient client = PulsarClient.builder().serviceUrl(arguments[0]).build()) {
            if (arguments.length == 2) {
                write(client, arguments[1]);
            }
            for (int partition = 0; partition + 2 < arguments.length; partition++) {
                read(client, arguments[1], partition, Integer.parseInt(arguments[partition + 2]));
            }
        }
        System.exit(0);
    }
}
