import java.util.List;
import java.util.Map;
import org.apache.pulsar.client.api.Producer;
import org.apache.pulsar.client.api.PulsarClient;
import org.apache.pulsar.client.api.Schema;
import org.apache.pulsar.client.api.schema.SchemaDefinition;

/** Publishes with the schemas of the Java client: Avro in two versions, JSON, and integers. */
public class JavaSchemas {
    public static class Place {
        public double latitude;
        public List<String> names;
    }

    public static class One {
        public long id;
        public String text;
        public Place place;
        public Map<String, Integer> counts;
        public byte[] raw;
    }

    /** The same messages later: a number has become a larger one, and a field has come. */
    public static class Two {
        public long id;
        public String text;
        public Boolean good;
    }

    public static void main(String[] arguments) throws Exception {
        try (PulsarClient client = PulsarClient.builder().serviceUrl(arguments[0]).build()) {
            Schema<One> one = Schema.AVRO(SchemaDefinition.<One>builder().withPojo(One.class).build());
            try (Producer<One> producer = client.newProducer(one).topic(arguments[1]).create()) {
                for (int number = 0; number < 20; number++) {
                    One message = new One();
                    message.id = number;
                    message.text = number % 2 == 0 ? "grüß \"dich\" " + number : null;
                    message.place = new Place();
                    message.place.latitude = number / 4.0;
                    message.place.names = List.of("a", "b" + number);
                    message.counts = Map.of("k", number);
                    message.raw = new byte[] {'x', (byte) number};
                    producer.sendAsync(message);
                }
                producer.flush();
            }
            Schema<Two> two = Schema.AVRO(SchemaDefinition.<Two>builder().withPojo(Two.class).build());
            try (Producer<Two> producer = client.newProducer(two).topic(arguments[1]).create()) {
                Two message = new Two();
                message.id = 20;
                message.good = true;
                producer.send(message);
            }
            try (Producer<byte[]> producer = client.newProducer(Schema.BYTES).topic(arguments[1]).create()) {
                producer.send("{\"id\":21}".getBytes());
            }
            try (Producer<Two> producer = client.newProducer(Schema.JSON(Two.class)).topic(arguments[2]).create()) {
                Two message = new Two();
                message.id = 1;
                message.text = "json";
                producer.send(message);
            }
            try (Producer<Integer> producer = client.newProducer(Schema.INT32).topic(arguments[3]).create()) {
                producer.send(7);
            }
        }
    }
}
