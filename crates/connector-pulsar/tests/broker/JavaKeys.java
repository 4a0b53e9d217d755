import java.nio.charset.StandardCharsets;
import java.util.HexFormat;
import org.apache.pulsar.client.api.HashingScheme;
import org.apache.pulsar.client.api.MessageIdAdv;
import org.apache.pulsar.client.api.MessageRoutingMode;
import org.apache.pulsar.client.api.Producer;
import org.apache.pulsar.client.api.PulsarClient;
import org.apache.pulsar.client.api.TypedMessageBuilder;

/** Sends keys with the Java client, and prints the partitions that they land in. */
public class JavaKeys {
    public static void main(String[] arguments) throws Exception {
        String[] texts = {"", "a", "hello", "polygenelubricants", "\uD83D\uDE00 non-BMP", "\u00e9t\u00e9", "key-1", "key-2"};
        byte[][] bytes = {{}, {0}, {-1, -2, 3}, "hello".getBytes(StandardCharsets.UTF_8)};
        try (PulsarClient client = PulsarClient.builder().serviceUrl(arguments[0]).build()) {
            for (int topic = 1; topic < arguments.length; topic++) {
                for (HashingScheme hashing : new HashingScheme[] {null, HashingScheme.Murmur3_32Hash}) {
                    var builder = client.newProducer().topic(arguments[topic]).enableBatching(false);
                    if (hashing != null) {
                        builder.hashingScheme(hashing);
                    }
                    try (Producer<byte[]> producer = builder.create()) {
                        String prefix = "key " + arguments[topic] + (hashing == null ? " java" : " murmur");
                        for (String text : texts) {
                            String digits = HexFormat.of().formatHex(text.getBytes(StandardCharsets.UTF_8));
                            send(producer.newMessage().key(text), prefix + " text x" + digits);
                        }
                        for (byte[] key : bytes) {
                            send(producer.newMessage().keyBytes(key), prefix + " bytes x" + HexFormat.of().formatHex(key));
                        }
                    }
                }
            }
        }
        System.exit(0);
    }

    private static void send(TypedMessageBuilder<byte[]> message, String line) throws Exception {
        MessageIdAdv id = (MessageIdAdv) message.value(new byte[0]).send();
        System.out.println(line + " " + id.getPartitionIndex());
    }
}
