import java.util.Optional;
import org.apache.pulsar.metadata.api.MetadataStoreConfig;
import org.apache.pulsar.metadata.api.extended.MetadataStoreExtended;

/** Removes what belongs to the sessions of a broker that was killed, as a metadata service does when they expire. */
public class EndSessions {
    public static void main(String[] arguments) throws Exception {
        String url = "rocksdb://" + arguments[0];
        try (var store = MetadataStoreExtended.create(url, MetadataStoreConfig.builder().build())) {
            end(store, "");
        }
    }

    private static void end(MetadataStoreExtended store, String parent) {
        for (String name : store.getChildren(parent.isEmpty() ? "/" : parent).join()) {
            String path = parent + "/" + name;
            end(store, path);
            var found = store.get(path).join();
            if (found.isPresent() && found.get().getStat().isEphemeral()) {
                store.delete(path, Optional.empty()).join();
            }
        }
    }
}
