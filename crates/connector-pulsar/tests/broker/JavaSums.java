import java.security.MessageDigest;
import java.util.HexFormat;
import java.util.concurrent.TimeUnit;
import org.apache.pulsar.client.api.Message;
import org.apache.pulsar.client.api.MessageId;
import org.apache.pulsar.client.api.PulsarClient;
import org.apache.pulsar.client.api.Reader;

/** Prints the number, key, size and checksum of each message of a topic, which may be large. */
public class JavaSums {
    public static void main(String[] arguments) throws Exception {
        try (PulsarClient client = PulsarClient.builder().serviceUrl(arguments[0]).build();
                Reader<byte[]> reader =
                        client.newReader().topic(arguments[1]).startMessageId(MessageId.earliest).create()) {
            for (int read = 0; read < Integer.parseInt(arguments[2]); read++) {
                Message<byte[]> message = reader.readNext(120, TimeUnit.SECONDS);
                byte[] digest = MessageDigest.getInstance("SHA-256").digest(message.getData());
                String sum = HexFormat.of().formatHex(digest);
                String number = message.getProperty("number");
                System.out.println("sum " + number + " " + message.getKey() + " " + message.getData().length + " " + sum);
            }
            if (reader.hasMessageAvailable()) {
                throw new IllegalStateException("there are more messages");
            }
        }
    }
}
