import java.io.IOException;
import java.math.BigDecimal;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Instant;
import java.time.LocalDate;
import java.time.LocalDateTime;
import java.time.LocalTime;
import java.time.OffsetDateTime;
import java.time.ZoneOffset;
import java.time.temporal.ChronoUnit;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.UUID;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.apache.iceberg.DataFile;
import org.apache.iceberg.DeleteFile;
import org.apache.iceberg.FileFormat;
import org.apache.iceberg.PartitionData;
import org.apache.iceberg.PartitionSpec;
import org.apache.iceberg.RowDelta;
import org.apache.iceberg.Schema;
import org.apache.iceberg.StructLike;
import org.apache.iceberg.Table;
import org.apache.iceberg.catalog.Namespace;
import org.apache.iceberg.catalog.TableIdentifier;
import org.apache.iceberg.data.GenericAppenderFactory;
import org.apache.iceberg.data.GenericRecord;
import org.apache.iceberg.data.IcebergGenerics;
import org.apache.iceberg.data.Record;
import org.apache.iceberg.deletes.BaseDVFileWriter;
import org.apache.iceberg.deletes.DVFileWriter;
import org.apache.iceberg.deletes.EqualityDeleteWriter;
import org.apache.iceberg.deletes.PositionDelete;
import org.apache.iceberg.deletes.PositionDeleteIndex;
import org.apache.iceberg.deletes.PositionDeleteWriter;
import org.apache.iceberg.encryption.EncryptedFiles;
import org.apache.iceberg.encryption.EncryptedOutputFile;
import org.apache.iceberg.encryption.EncryptionKeyMetadata;
import org.apache.iceberg.io.CloseableIterable;
import org.apache.iceberg.io.DataWriter;
import org.apache.iceberg.io.OutputFileFactory;
import org.apache.iceberg.jdbc.JdbcCatalog;
import org.apache.iceberg.types.Type;
import org.apache.iceberg.types.Types;

/** Writes tables with deletes of every kind into a warehouse, and their rows, as Iceberg's own reader has them, into files. */
public class JavaTables {
    private static final Type LONG = Types.LongType.get();
    private static final Type TEXT = Types.StringType.get();

    private final JdbcCatalog catalog = new JdbcCatalog();
    private final Path rows;
    private int files = 0;

    private JavaTables(Path warehouse, Path rows) throws IOException {
        this.rows = Files.createDirectories(rows);
        catalog.initialize("riverrun", Map.of(
            "uri", "jdbc:sqlite:" + warehouse.resolve("catalog.db"),
            "jdbc.schema-version", "V1",
            "warehouse", "file://" + warehouse));
        if (!catalog.namespaceExists(Namespace.of("java"))) {
            catalog.createNamespace(Namespace.of("java"));
        }
    }

    public static void main(String[] arguments) throws Exception {
        JavaTables tables = new JavaTables(Path.of(arguments[0]), Path.of(arguments[1]));
        if (arguments.length > 2) {
            // Tables that others have changed since.
            for (int i = 2; i < arguments.length; i++) {
                tables.dump(tables.catalog.loadTable(TableIdentifier.of("java", arguments[i])));
            }
            return;
        }
        tables.positions();
        tables.everyKeyType();
        tables.severalKeys();
        tables.oneCommit();
        tables.partitions();
        tables.evolvedSpec();
        tables.evolvedSchema();
        tables.vectors();
        tables.vectorsAfterPositions();
        tables.allDeleted();
        tables.nestedKey();
        tables.everyType();
    }

    private void positions() throws IOException {
        Table table = table("positions", 2, PartitionSpec.unpartitioned(), optional(1, "id", LONG), optional(2, "text", TEXT),
            optional(3, "at", Types.TimestampType.withoutZone()));
        // Files of many row groups.
        table.updateProperties().set("write.parquet.row-group-size-bytes", "4096")
            .set("write.parquet.row-group-check-min-record-count", "100")
            .set("write.parquet.row-group-check-max-record-count", "100").commit();
        DataFile first = append(table, numbered(table, 0, 5_000));
        DataFile second = append(table, numbered(table, 5_000, 5_100));
        commit(table, positions(table, null, Map.of(
            first, longs(IntStream.of(0, 5, 999, 1_000, 4_999)), second, List.of(0L, 99L))));
        commit(table, positions(table, null, Map.of(first, longs(IntStream.concat(IntStream.of(5, 7), IntStream.range(2_000, 3_500))))));
        append(table, numbered(table, 5_100, 5_110));
        dump(table);
    }

    private void everyKeyType() throws IOException {
        LocalDateTime time = LocalDateTime.of(2024, 5, 6, 7, 8, 9);
        Map<String, Type> types = new HashMap<>();
        Map<String, List<Object>> keys = new HashMap<>();
        key(types, keys, Types.BooleanType.get(), true, false, false);
        key(types, keys, Types.IntegerType.get(), 1, 2, -3);
        key(types, keys, LONG, 1L, 1L << 40, -3L);
        key(types, keys, Types.FloatType.get(), Float.NaN, 0.5f, -0.0f);
        key(types, keys, Types.DoubleType.get(), 0.0, -0.0, Double.NaN);
        key(types, keys, Types.DecimalType.of(9, 2), new BigDecimal("1.50"), new BigDecimal("-1.50"), new BigDecimal("0.00"));
        key(types, keys, Types.DecimalType.of(30, 5), new BigDecimal("123456789012345678901.50000"),
            new BigDecimal("-1.50000"), new BigDecimal("0.00000"));
        key(types, keys, Types.DateType.get(), LocalDate.of(2024, 1, 1), LocalDate.of(1969, 12, 31), LocalDate.of(1970, 1, 1));
        key(types, keys, Types.TimeType.get(), LocalTime.of(1, 2, 3), LocalTime.of(23, 59, 59), LocalTime.of(0, 0, 1));
        key(types, keys, Types.TimestampType.withoutZone(), time, time.plusNanos(1_000), time.minusYears(80));
        key(types, keys, Types.TimestampType.withZone(), time.atOffset(ZoneOffset.UTC), time.plusNanos(1_000).atOffset(ZoneOffset.UTC),
            time.minusYears(80).atOffset(ZoneOffset.UTC));
        key(types, keys, TEXT, "a", "", "ä");
        // Java compares bounds of others by their signs, and leaves out deletes that apply.
        key(types, keys, Types.UUIDType.get(), new UUID(1, 2), new UUID(1, -2), new UUID(0, 0));
        key(types, keys, Types.FixedType.ofLength(3), new byte[] {1, 2, 3}, new byte[] {-1, 0, 0}, new byte[3]);
        key(types, keys, Types.BinaryType.get(), ByteBuffer.wrap(new byte[] {1}), ByteBuffer.wrap(new byte[] {1, 0}),
            ByteBuffer.wrap(new byte[0]));
        for (String name : types.keySet()) {
            Table table = table("key_" + name, 2, PartitionSpec.unpartitioned(), optional(1, "id", LONG),
                optional(2, "k", types.get(name)));
            List<Object> values = new ArrayList<>(keys.get(name));
            values.add(null);
            append(table, keyed(table, 0, values));
            // The first one and NULL.
            commit(table, equality(table, null, List.of(keyed(table, 0, values).get(0), keyed(table, 0, values).get(3)), 2));
            append(table, keyed(table, 10, values));
            commit(table, equality(table, null, keyed(table, 0, values).subList(1, 2), 2));
            dump(table);
        }
    }

    private void severalKeys() throws IOException {
        Table table = table("several_keys", 2, PartitionSpec.unpartitioned(), optional(1, "id", LONG),
            optional(2, "n", Types.IntegerType.get()), optional(3, "text", TEXT));
        List<Record> all = new ArrayList<>();
        for (int id = 0; id < 40; id++) {
            all.add(record(table, (long) id, id % 4 == 0 ? null : id % 5, id % 7 == 0 ? null : "t" + id % 3));
        }
        append(table, all);
        commit(table, equality(table, null, List.of(record(table, 0L, 1, "t1"), record(table, 0L, null, "t2"),
            record(table, 0L, null, null)), 2, 3));
        commit(table, equality(table, null, List.of(record(table, 0L, null, "t0")), 3));
        commit(table, equality(table, null, List.of(record(table, 11L, null, null), record(table, 13L, null, null)), 1));
        append(table, List.of(record(table, 11L, 1, "t1"), record(table, 100L, null, null)));
        commit(table, equality(table, null, List.of(record(table, 100L, null, null)), 1));
        append(table, List.of(record(table, 100L, null, "again")));
        dump(table);
    }

    /** Rows and deletes of one commit: those by position apply to its own files, those by value do not. */
    private void oneCommit() throws IOException {
        Table table = table("one_commit", 2, PartitionSpec.unpartitioned(), optional(1, "id", LONG), optional(2, "text", TEXT));
        append(table, numbered(table, 0, 10));
        for (int round = 1; round < 4; round++) {
            DataFile file = data(table, null, numbered(table, 0, 5 + round));
            commit(table, table.newRowDelta().addRows(file)
                .addDeletes(equality(table, null, numbered(table, 0, 5), 1))
                .addDeletes(positions(table, null, Map.of(file, List.of((long) round)))));
        }
        dump(table);
    }

    private void partitions() throws IOException {
        Schema schema = new Schema(optional(1, "id", LONG), optional(2, "site", TEXT), optional(3, "at", Types.TimestampType.withoutZone()));
        PartitionSpec spec = PartitionSpec.builderFor(schema).identity("site").day("at").build();
        Table table = catalog.createTable(TableIdentifier.of("java", "partitions"), schema, spec, Map.of("format-version", "2"));
        Map<String, StructLike> places = new HashMap<>();
        for (String site : Arrays.asList("a", "b", null)) {
            for (int day = 0; day < 2; day++) {
                PartitionData place = new PartitionData(spec.partitionType());
                place.set(0, site);
                place.set(1, 19_000 + day);
                places.put(site + day, place);
                List<Record> all = new ArrayList<>();
                for (long id = 0; id < 10; id++) {
                    all.add(record(table, id, site, LocalDate.ofEpochDay(19_000 + day).atTime((int) id, 0)));
                }
                table.newAppend().appendFile(data(table, place, all)).commit();
            }
        }
        // The same ids are in all partitions.
        commit(table, equality(table, places.get("a0"), List.of(record(table, 1L, null, null), record(table, 2L, null, null)), 1));
        commit(table, equality(table, places.get("null1"), List.of(record(table, 3L, null, null)), 1));
        for (DataFile file : filesOf(table)) {
            if (file.partition().get(0, String.class) != null && file.partition().get(1, Integer.class) == 19_001) {
                commit(table, positions(table, file.partition(), Map.of(file, List.of(4L, 5L))));
            }
        }
        dump(table);
    }

    private void evolvedSpec() throws IOException {
        Table table = table("evolved_spec", 2, PartitionSpec.unpartitioned(), optional(1, "id", LONG), optional(2, "site", TEXT));
        PartitionSpec all = table.spec();
        append(table, List.of(record(table, 1L, "a"), record(table, 2L, "b"), record(table, 3L, "a")));
        table.updateSpec().addField("site").commit();
        for (String site : List.of("a", "b")) {
            PartitionData place = new PartitionData(table.spec().partitionType());
            place.set(0, site);
            table.newAppend().appendFile(data(table, place, List.of(record(table, 1L, site), record(table, 2L, site), record(table, 4L, site)))).commit();
        }
        PartitionData ofA = new PartitionData(table.spec().partitionType());
        ofA.set(0, "a");
        // Of files of site a under the new spec alone.
        commit(table, equality(table, ofA, List.of(record(table, 2L, null)), 1));
        // Of all files, whatever their spec.
        commit(table, equality(table, all, null, List.of(record(table, 1L, null)), 1));
        table.updateSpec().removeField("site").addField(org.apache.iceberg.expressions.Expressions.bucket("id", 4)).commit();
        PartitionData bucket = new PartitionData(table.spec().partitionType());
        bucket.set(bucket.size() - 1, 2);
        table.newAppend().appendFile(data(table, bucket, List.of(record(table, 1L, "c"), record(table, 4L, "c")))).commit();
        dump(table);
    }

    private void evolvedSchema() throws IOException {
        Table table = table("evolved_schema", 2, PartitionSpec.unpartitioned(), optional(1, "id", Types.IntegerType.get()),
            optional(2, "x", Types.FloatType.get()));
        append(table, List.of(record(table, 1, 0.5f), record(table, 2, 1.5f), record(table, 3, null)));
        commit(table, equality(table, null, List.of(record(table, 1, 0f)), 1));
        table.updateSchema().renameColumn("id", "number").updateColumn("id", Types.LongType.get())
            .updateColumn("x", Types.DoubleType.get()).addColumn("late", TEXT).commit();
        table.refresh();
        append(table, List.of(record(table, 1L, 0.5, "new"), record(table, 1L << 40, 1.5, null), record(table, 4L, 2.5, "late")));
        // Widened since the first file was written.
        commit(table, equality(table, null, List.of(record(table, 0L, 1.5, null)), 2));
        // The rows of the first file have none.
        int late = table.schema().findField("late").fieldId();
        commit(table, equality(table, null, List.of(record(table, 3L, null, null)), 1, late));
        table.updateSchema().renameColumn("late", "later").moveFirst("late").commit();
        table.refresh();
        append(table, List.of(record(table, "x", 5L, 3.5)));
        commit(table, equality(table, null, List.of(record(table, "late", 0L, null)), late));
        dump(table);
    }

    private void vectors() throws IOException {
        Table table = table("vectors", 3, PartitionSpec.unpartitioned(), optional(1, "id", LONG), optional(2, "text", TEXT));
        DataFile first = append(table, numbered(table, 0, 200_000));
        DataFile second = append(table, numbered(table, 200_000, 200_010));
        // Two vectors in one file: runs, bits and single rows.
        IntStream some = IntStream.concat(IntStream.range(10, 4_000), IntStream.range(70_000, 140_000).filter(row -> row % 2 == 0));
        vectors(table, Map.of(first, longs(some), second, List.of(0L, 9L)));
        append(table, numbered(table, 0, 10));
        // The vector of a file is replaced by one with more rows.
        vectors(table, Map.of(first, List.of(0L, 5_000L, 199_999L)));
        commit(table, equality(table, null, numbered(table, 200_003, 200_005), 1));
        dump(table);
    }

    private void vectorsAfterPositions() throws IOException {
        Table table = table("vectors_after_positions", 2, PartitionSpec.unpartitioned(), optional(1, "id", LONG), optional(2, "text", TEXT));
        DataFile first = append(table, numbered(table, 0, 100));
        DataFile second = append(table, numbered(table, 100, 200));
        commit(table, positions(table, null, Map.of(first, List.of(1L, 2L), second, List.of(3L, 4L))));
        table.updateProperties().set("format-version", "3").commit();
        // It has the rows of the deletes before it, which are not looked at any more.
        vectors(table, Map.of(first, List.of(1L, 2L, 50L)));
        dump(table);
    }

    private void allDeleted() throws IOException {
        Table table = table("all_deleted", 2, PartitionSpec.unpartitioned(), optional(1, "id", LONG), optional(2, "text", TEXT));
        DataFile file = append(table, numbered(table, 0, 20_000));
        commit(table, positions(table, null, Map.of(file, longs(IntStream.range(0, 20_000)))));
        dump(table);
    }

    /** Deletes by a column inside of another one. */
    private void nestedKey() throws IOException {
        Schema schema = new Schema(optional(1, "id", LONG),
            optional(2, "of", Types.StructType.of(optional(3, "inner", LONG))));
        Table table = catalog.createTable(TableIdentifier.of("java", "nested_key"), schema, PartitionSpec.unpartitioned(),
            Map.of("format-version", "2"));
        GenericRecord inner = GenericRecord.create(schema.findType("of").asStructType());
        inner.set(0, 7L);
        append(table, List.of(record(table, 1L, inner)));
        commit(table, equality(table, null, List.of(record(table, 1L, inner)), 3));
    }

    /** Columns of all types, those that are not known elsewhere yet among them. */
    private void everyType() throws IOException {
        LocalDateTime time = LocalDateTime.of(2024, 5, 6, 7, 8, 9, 10);
        Table nanos = table("nanos", 3, PartitionSpec.unpartitioned(), optional(1, "id", LONG),
            optional(2, "at", Types.TimestampNanoType.withoutZone()), optional(3, "instant", Types.TimestampNanoType.withZone()),
            optional(4, "texts", Types.ListType.ofOptional(5, TEXT)), optional(6, "numbers", Types.MapType.ofOptional(7, 8, TEXT, LONG)));
        append(nanos, List.of(record(nanos, 1L, time, time.atOffset(ZoneOffset.UTC), List.of("a"), Map.of("a", 1L)), record(nanos, 2L)));
        for (Type type : List.of(Types.VariantType.get(), Types.UnknownType.get(), Types.GeometryType.crs84(), Types.GeographyType.crs84())) {
            String name = type.typeId().name().toLowerCase();
            Table table = table(name, 3, PartitionSpec.unpartitioned(), optional(1, "id", LONG), optional(2, "other", type), optional(3, "text", TEXT));
            if (name.startsWith("geo")) {
                // The library has no rows of these yet.
                continue;
            }
            DataFile file = append(table, List.of(record(table, 1L, null, "a"), record(table, 2L, null, "b"), record(table, 3L, null, "c")));
            vectors(table, Map.of(file, List.of(1L)));
        }
    }

    private static Types.NestedField optional(int id, String name, Type type) {
        return Types.NestedField.optional(id, name, type);
    }

    private static void key(Map<String, Type> types, Map<String, List<Object>> keys, Type type, Object... values) {
        String name = type.toString().replaceAll("[^a-z0-9]+", "_").replaceAll("_$", "");
        types.put(name, type);
        keys.put(name, List.of(values));
    }

    private static List<Long> longs(IntStream numbers) {
        return numbers.mapToObj(Long::valueOf).collect(Collectors.toList());
    }

    private Table table(String name, int version, PartitionSpec spec, Types.NestedField... columns) {
        return catalog.createTable(TableIdentifier.of("java", name), new Schema(columns), spec,
            Map.of("format-version", String.valueOf(version)));
    }

    private static Record record(Table table, Object... values) {
        GenericRecord record = GenericRecord.create(table.schema());
        for (int column = 0; column < values.length; column++) {
            record.set(column, values[column]);
        }
        return record;
    }

    private static List<Record> numbered(Table table, int from, int to) {
        List<Record> all = new ArrayList<>();
        for (int id = from; id < to; id++) {
            Record record = record(table, (long) id, "row " + id);
            if (table.schema().columns().size() > 2) {
                record.set(2, LocalDateTime.of(2024, 1, 1, 0, 0).plusSeconds(id));
            }
            all.add(record);
        }
        return all;
    }

    private static List<Record> keyed(Table table, long from, List<Object> keys) {
        List<Record> all = new ArrayList<>();
        for (Object key : keys) {
            all.add(record(table, from + all.size(), key));
        }
        return all;
    }

    private EncryptedOutputFile file(Table table, String kind) {
        String place = table.locationProvider().newDataLocation(kind + "-" + files++ + ".parquet");
        return EncryptedFiles.encryptedOutput(table.io().newOutputFile(place), EncryptionKeyMetadata.EMPTY);
    }

    private static GenericAppenderFactory writers(Table table, PartitionSpec spec, int[] keys) {
        Schema ofKeys = keys == null ? null : table.schema().select(Arrays.stream(keys)
            .mapToObj(id -> table.schema().findColumnName(id)).collect(Collectors.toList()));
        return new GenericAppenderFactory(table.schema(), spec, keys, ofKeys, null).setAll(table.properties());
    }

    private DataFile append(Table table, List<Record> records) throws IOException {
        DataFile file = data(table, null, records);
        table.newAppend().appendFile(file).commit();
        return file;
    }

    private DataFile data(Table table, StructLike place, List<Record> records) throws IOException {
        DataWriter<Record> writer = writers(table, table.spec(), null).newDataWriter(file(table, "data"), FileFormat.PARQUET, place);
        try (writer) {
            records.forEach(writer::write);
        }
        return writer.toDataFile();
    }

    private DeleteFile equality(Table table, StructLike place, List<Record> keys, int... columns) throws IOException {
        return equality(table, table.spec(), place, keys, columns);
    }

    private DeleteFile equality(Table table, PartitionSpec spec, StructLike place, List<Record> keys, int... columns) throws IOException {
        GenericAppenderFactory writers = writers(table, spec, columns);
        EqualityDeleteWriter<Record> writer = writers.newEqDeleteWriter(file(table, "equality"), FileFormat.PARQUET, place);
        List<String> names = Arrays.stream(columns).mapToObj(id -> table.schema().findColumnName(id)).collect(Collectors.toList());
        Schema ofKeys = table.schema().select(names);
        try (writer) {
            for (Record key : keys) {
                GenericRecord record = GenericRecord.create(ofKeys);
                ofKeys.columns().forEach(column -> record.setField(column.name(), key.getField(column.name())));
                writer.write(record);
            }
        }
        return writer.toDeleteFile();
    }

    private DeleteFile positions(Table table, StructLike place, Map<DataFile, List<Long>> rows) throws IOException {
        PositionDeleteWriter<Record> writer =
            writers(table, table.spec(), null).newPosDeleteWriter(file(table, "positions"), FileFormat.PARQUET, place);
        List<DataFile> sorted = rows.keySet().stream()
            .sorted((one, other) -> one.location().compareTo(other.location())).collect(Collectors.toList());
        try (writer) {
            for (DataFile file : sorted) {
                for (long row : rows.get(file).stream().sorted().collect(Collectors.toList())) {
                    writer.write(PositionDelete.<Record>create().set(file.location(), row, null));
                }
            }
        }
        return writer.toDeleteFile();
    }

    /** Deletes rows by vectors, which take in those that were there. */
    private void vectors(Table table, Map<DataFile, List<Long>> rows) throws IOException {
        table.refresh();
        Map<String, DeleteFile> before = new HashMap<>();
        try (CloseableIterable<org.apache.iceberg.FileScanTask> tasks = table.newScan().planFiles()) {
            for (org.apache.iceberg.FileScanTask task : tasks) {
                task.deletes().stream().filter(delete -> delete.format() == FileFormat.PUFFIN)
                    .forEach(delete -> before.put(task.file().location(), delete));
            }
        }
        OutputFileFactory outputs = OutputFileFactory.builderFor(table, 1, ++files).format(FileFormat.PUFFIN).build();
        org.apache.iceberg.data.BaseDeleteLoader loader =
            new org.apache.iceberg.data.BaseDeleteLoader(delete -> table.io().newInputFile(delete.location()));
        DVFileWriter writer = new BaseDVFileWriter(outputs, path -> {
            DeleteFile delete = before.get(path);
            return delete == null ? (PositionDeleteIndex) null : loader.loadPositionDeletes(List.of(delete), path);
        });
        try (writer) {
            for (DataFile file : rows.keySet()) {
                rows.get(file).forEach(row -> writer.delete(file.location(), row, table.spec(), null));
            }
        }
        RowDelta delta = table.newRowDelta().validateFromSnapshot(table.currentSnapshot().snapshotId());
        writer.result().deleteFiles().forEach(delta::addDeletes);
        writer.result().rewrittenDeleteFiles().forEach(delta::removeDeletes);
        commit(table, delta);
    }

    private static void commit(Table table, DeleteFile delete) {
        commit(table, table.newRowDelta().addDeletes(delete));
    }

    private static void commit(Table table, RowDelta delta) {
        delta.commit();
        table.refresh();
    }

    private static List<DataFile> filesOf(Table table) throws IOException {
        List<DataFile> found = new ArrayList<>();
        try (CloseableIterable<org.apache.iceberg.FileScanTask> tasks = table.newScan().planFiles()) {
            tasks.forEach(task -> found.add(task.file().copy()));
        }
        return found;
    }

    private void dump(Table table) throws IOException {
        table.refresh();
        List<String> lines = new ArrayList<>();
        try (CloseableIterable<Record> records = IcebergGenerics.read(table).build()) {
            for (Record record : records) {
                // Where rows are deleted by their positions, records have those too.
                int columns = table.schema().columns().size();
                lines.add(IntStream.range(0, columns).mapToObj(column -> text(record.get(column))).collect(Collectors.joining("|")));
            }
        }
        Files.write(rows.resolve(table.name().substring(table.name().lastIndexOf('.') + 1)), lines);
    }

    private static String text(Object value) {
        if (value == null) {
            return "NULL";
        } else if (value instanceof byte[] bytes) {
            return HexFormat.of().formatHex(bytes);
        } else if (value instanceof ByteBuffer buffer) {
            byte[] bytes = new byte[buffer.remaining()];
            buffer.duplicate().get(bytes);
            return HexFormat.of().formatHex(bytes);
        } else if (value instanceof UUID uuid) {
            return uuid.toString().replace("-", "");
        } else if (value instanceof LocalDateTime time) {
            return text(time.atOffset(ZoneOffset.UTC));
        } else if (value instanceof OffsetDateTime time) {
            return String.valueOf(ChronoUnit.MICROS.between(Instant.EPOCH, time.toInstant()));
        } else if (value instanceof BigDecimal number) {
            return number.toPlainString();
        }
        return value.toString();
    }
}
