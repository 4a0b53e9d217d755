import java.util.List;
import java.util.function.Consumer;
import org.apache.pulsar.client.api.Message;
import org.apache.pulsar.client.api.MessageId;
import org.apache.pulsar.client.api.PulsarClient;
import org.apache.pulsar.client.api.Reader;
import org.apache.pulsar.client.api.Schema;
import org.apache.pulsar.client.api.schema.GenericRecord;

/** Reads the first messages of an output with a class of its own, and with the schema that the topic has. */
public class JavaReads {
    public static class Row {
        public Long id;
        public String at;
        public Double score;
        public List<Integer> tags;
    }

    static <T> void read(PulsarClient client, Schema<T> schema, String topic, Consumer<T> print) throws Exception {
        try (Reader<T> reader =
                client.newReader(schema).topic(topic).startMessageId(MessageId.earliest).create()) {
            for (int count = 0; count < 3; count++) {
                Message<T> message = reader.readNext();
                print.accept(message.getValue());
            }
        }
    }

    static Object field(GenericRecord row, String name) {
        return row.getField(name);
    }

    public static void main(String[] arguments) throws Exception {
        try (PulsarClient client = PulsarClient.builder().serviceUrl(arguments[0]).build()) {
            read(client, Schema.JSON(Row.class), arguments[1], row ->
                    System.out.println("typed " + row.id + " " + row.at + " " + row.score + " " + row.tags));
            read(client, Schema.AUTO_CONSUME(), arguments[1], row ->
                    System.out.println("generic " + field(row, "id") + " " + field(row, "at") + " "
                            + field(row, "score")));
        }
    }
}
