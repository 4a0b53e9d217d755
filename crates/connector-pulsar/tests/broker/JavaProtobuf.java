import com.google.protobuf.Any;
import com.google.protobuf.ByteString;
import com.google.protobuf.Field;
import com.google.protobuf.Method;
import com.google.protobuf.Option;
import com.google.protobuf.Timestamp;
import com.google.protobuf.Type;
import org.apache.pulsar.client.api.Producer;
import org.apache.pulsar.client.api.PulsarClient;
import org.apache.pulsar.client.api.Schema;

/** Publishes messages of Protobuf with the schemas of the Java client. */
public class JavaProtobuf {
    public static void main(String[] arguments) throws Exception {
        try (PulsarClient client = PulsarClient.builder().serviceUrl(arguments[0]).build()) {
            Schema<Type> ofType = Schema.PROTOBUF_NATIVE(Type.class);
            try (Producer<Type> producer = client.newProducer(ofType).topic(arguments[1]).create()) {
                for (int number = 0; number < 5; number++) {
                    Any value = Any.newBuilder().setTypeUrl("any").setValue(ByteString.copyFromUtf8("x")).build();
                    Field field = Field.newBuilder().setName("f" + number).setNumber(-number).setPacked(true)
                            .setKind(Field.Kind.TYPE_SINT64).setCardinalityValue(77)
                            .addOptions(Option.newBuilder().setName("o").setValue(value)).build();
                    producer.sendAsync(Type.newBuilder().setName("name " + number).addFields(field)
                            .addOneofs("a").addOneofs("b").build());
                }
                producer.send(Type.getDefaultInstance());
            }
            Schema<Timestamp> ofTimestamp = Schema.PROTOBUF(Timestamp.class);
            try (Producer<Timestamp> producer = client.newProducer(ofTimestamp).topic(arguments[2]).create()) {
                producer.send(Timestamp.newBuilder().setSeconds(Long.MIN_VALUE).build());
            }
            try (Producer<Method> producer =
                    client.newProducer(Schema.PROTOBUF(Method.class)).topic(arguments[3]).create()) {
                producer.send(Method.newBuilder().setName("m").build());
            }
        }
    }
}
