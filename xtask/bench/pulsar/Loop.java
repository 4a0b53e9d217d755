import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.util.ArrayDeque;
import java.util.HashMap;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.TimeUnit;
import org.apache.pulsar.client.api.Consumer;
import org.apache.pulsar.client.api.ConsumerBuilder;
import org.apache.pulsar.client.api.Message;
import org.apache.pulsar.client.api.Producer;
import org.apache.pulsar.client.api.ProducerBuilder;
import org.apache.pulsar.client.api.PulsarClient;
import org.apache.pulsar.client.api.PulsarClientException;
import org.apache.pulsar.client.api.Schema;
import org.apache.pulsar.client.api.SubscriptionInitialPosition;
import org.apache.pulsar.client.api.SubscriptionType;

/**
 * Consumes, decides and produces, with the official client: {@code Loop SERVICE NAMESPACE RULE BATCH_MS}.
 *
 * <p>It decides with what it has seen when a message comes, and waits for nothing.
 */
public class Loop {
    private static final long MINUTE = 60_000_000;
    private static final ObjectMapper JSON = new ObjectMapper();

    private final Map<Long, ArrayDeque<Long>> minutes = new HashMap<>();
    private final Map<Long, Long> levels = new ConcurrentHashMap<>();
    private final String rule;

    private Loop(String rule) {
        this.rule = rule;
    }

    public static void main(String[] arguments) throws Exception {
        Loop loop = new Loop(arguments[2]);
        int batchMs = Integer.parseInt(arguments[3]);
        try (PulsarClient client = PulsarClient.builder().serviceUrl(arguments[0]).build()) {
            loop.run(client, "persistent://" + arguments[1] + "/", batchMs);
        }
    }

    private void run(PulsarClient client, String namespace, int batchMs) throws PulsarClientException {
        ProducerBuilder<byte[]> builder = client.newProducer(Schema.BYTES).topic(namespace + "actions");
        builder.blockIfQueueFull(true).enableBatching(batchMs > 0);
        if (batchMs > 0) {
            builder.batchingMaxPublishDelay(batchMs, TimeUnit.MILLISECONDS);
        }
        Producer<byte[]> producer = builder.create();
        if (rule.equals("as-of")) {
            consumer(client, namespace + "accounts").messageListener(this::learn).subscribe();
        }
        Consumer<byte[]> consumer = consumer(client, namespace + "messages").subscribe();
        System.err.println("the loop runs");
        while (true) {
            Message<byte[]> message = consumer.receive();
            JsonNode row = parse(message);
            producer.newMessage().key(row.get("id").asText()).value(decide(row)).sendAsync()
                    .thenAccept(id -> consumer.acknowledgeAsync(message))
                    .exceptionally(error -> {
                        error.printStackTrace();
                        Runtime.getRuntime().halt(1);
                        return null;
                    });
        }
    }

    private static ConsumerBuilder<byte[]> consumer(PulsarClient client, String topic) {
        return client.newConsumer(Schema.BYTES).topic(topic).subscriptionName("loop")
                .subscriptionType(SubscriptionType.Exclusive)
                .subscriptionInitialPosition(SubscriptionInitialPosition.Earliest);
    }

    private void learn(Consumer<byte[]> consumer, Message<byte[]> message) {
        JsonNode account = parse(message);
        levels.put(account.get("user_id").asLong(), account.get("level").asLong());
        consumer.acknowledgeAsync(message);
    }

    private static JsonNode parse(Message<byte[]> message) {
        try {
            return JSON.readTree(message.getData());
        } catch (java.io.IOException error) {
            throw new java.io.UncheckedIOException(error);
        }
    }

    private byte[] decide(JsonNode row) throws PulsarClientException {
        ObjectNode action = JSON.createObjectNode();
        action.put("decision", "act").put("subject", row.get("id").asLong());
        action.put("rule", "any").put("action", row.get("text_len").asLong() >= 0 ? "look" : "none");
        action.put("user_id", row.get("user_id").asLong()).put("text_len", row.get("text_len").asLong());
        action.put("sent_at", row.get("sent_at").asText());
        long user = row.get("user_id").asLong();
        if (rule.equals("window")) {
            action.put("n", count(user, row.get("micros").asLong()));
        } else if (rule.equals("as-of")) {
            action.put("level", levels.get(user));
        }
        try {
            return JSON.writeValueAsBytes(action);
        } catch (java.io.IOException error) {
            throw new PulsarClientException(error);
        }
    }

    /** How many messages of a user came in the minute up to a moment. */
    private int count(long user, long at) {
        ArrayDeque<Long> minute = minutes.computeIfAbsent(user, absent -> new ArrayDeque<>());
        minute.addLast(at);
        while (minute.peekFirst() < at - MINUTE) {
            minute.removeFirst();
        }
        return minute.size();
    }
}
