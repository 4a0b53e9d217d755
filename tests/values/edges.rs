//! What stands around values: names, encodings, folders and ends of ranges.

use crate::folder::Folder;
use dataflow::Topic;
use std::sync::Arc;

const STREAM: &str = "CREATE STREAM given (id BIGINT, at TIMESTAMP, amount DOUBLE, note TEXT, WATERMARK FOR at AS at)";

fn rows(folder: &Folder) -> String {
    folder.done(&["query", "SELECT id, amount, note FROM given", "--csv"]).out
}

/// The messages of the topic, as they are.
fn messages(folder: &Folder) -> Vec<String> {
    let topics = connector_local::Topics::open(folder.path().join("topics"), Arc::new(tests::machine::Machine));
    let topic = topics.expect("the topics open").topic("given").expect("the topics can be read").expect("it is there");
    let mut log = topic.open(0, None).expect("the partition opens");
    let messages = log.read(100, 1 << 20).expect("the partition can be read");
    messages.iter().map(|message| String::from_utf8_lossy(&message.payload).into_owned()).collect()
}

#[test]
fn names_match_alike_in_every_way_in() {
    let lines = "{\"ID\":1,\"At\":\"2024-01-01T00:00:00Z\",\"Amount\":5.5}\n\
                 {\"id\":2,\"at\":\"2024-01-01T00:00:01Z\",\"AMOUNT\":1,\"amount\":2}\n\
                 {\"id\":3,\"at\":\"2024-01-01T00:00:02Z\",\"AMOUNT\":1,\"Amount\":2}\n";
    let expected = "id,amount,note\n1,5.5,\n2,2.0,\n";
    let folder = Folder::new(&format!("{STREAM} HISTORY FILES 'rows.jsonl' ON BAD ROW SKIP;"));
    folder.write("rows.jsonl", lines);
    assert_eq!(rows(&folder), expected);
    let folder = Folder::new(&format!("{STREAM} LIVE given ON BAD ROW SKIP;"));
    folder.write("rows.jsonl", lines);
    folder.done(&["publish", "given", "rows.jsonl"]);
    assert_eq!(rows(&folder), expected);
    let folder = Folder::new(&format!("{STREAM} HISTORY FILES 'rows.csv';"));
    folder.write("rows.csv", "ID,At,Amount,Note\n1,2024-01-01,5.5,\n");
    assert_eq!(rows(&folder), "id,amount,note\n1,5.5,\n");
    folder.write("rows.csv", "ID,At,Amount,AMOUNT,Note\n1,2024-01-01,5.5,1,\n");
    let ran = folder.run(&["check"]);
    assert!(ran.code == 1 && ran.err.contains("\"Amount\" and \"AMOUNT\" are both column \"amount\""), "{}", ran.err);
}

#[test]
fn lines_of_json_are_published_as_they_are() {
    let lines = "{\"id\":1,\"at\":\"2024-01-01T00:00:00Z\",\"amount\":\"1e5\",\"tags\":[1, 2],\"big\":12345678901234567890}\n\
                 {\"at\":\"2024-01-01T00:00:01Z\",\"user\":null}\n{\"at\":\"2024-01-01T00:00:02Z\",\"user\":{\"id\":7}}\n";
    let folder = Folder::new(&format!("{STREAM} LIVE given;"));
    folder.write("rows.jsonl", format!("\n{}", lines.replace('\n', "  \r\n")));
    folder.done(&["publish", "given", "rows.jsonl"]);
    assert_eq!(messages(&folder), lines.lines().collect::<Vec<_>>());
    // What nothing declares in CSV stays as it is written.
    folder.write("rows.csv", "id;at;amount;note;zip;big;ok\n4;2024-01-02;1,5;;00123;12345678901234567890;true\n");
    let ran = folder.run(&["publish", "given", "rows.csv"]);
    assert!(ran.code == 1 && ran.err.contains("column \"amount\" is \"1,5\", expected DOUBLE"), "{}", ran.err);
    folder.write("rows.csv", "id;at;amount;note;zip;big;ok\n4;2024-01-02;nan;;00123;12345678901234567890;true\n");
    folder.done(&["publish", "given", "rows.csv"]);
    let expected = "\"amount\":\"NaN\",\"note\":null,\"zip\":\"00123\",\"big\":12345678901234567890,\"ok\":true}";
    let message = messages(&folder).pop().expect("it is there");
    assert!(message.ends_with(expected), "{message}");
}

#[test]
fn broken_csv_is_bad_row_by_row() {
    let folder = Folder::new(&format!(
        "{STREAM} HISTORY FILES 'rows.csv' ON BAD ROW DEAD LETTER TO lake.bad;\nINSERT INTO lake.good SELECT id, note FROM given;"
    ));
    let good = |id: i64, note: &str| format!("{id},2024-01-01 00:00:0{id},1,{note}\n");
    let text = [
        good(1, "\"a\nb\""),
        "\n".into(),
        good(2, "\"x\"y"),
        good(3, "\"a\\\"b\""),
        good(4, "fine"),
        good(5, "\"open"),
        good(6, "last"),
    ];
    folder.write("rows.csv", format!("id,at,amount,note\n{}", text.concat()));
    assert_eq!(rows(&folder), "id,amount,note\n1,1.0,\"a\nb\"\n4,1.0,fine\n6,1.0,last\n");
    folder.write("pipelines/all.sql", format!("{STREAM} HISTORY FILES 'rows.csv';"));
    let ran = folder.run(&["query", "SELECT id FROM given"]);
    assert!(ran.code == 1 && ran.err.contains("line 5: text follows the closing quote of value 4"), "{}", ran.err);
}

#[test]
fn encodings_are_named() {
    let folder = Folder::new(&format!("{STREAM} HISTORY FILES 'rows.tsv' ENCODING 'latin1';"));
    folder.write("rows.tsv", b"id\tat\tamount\tnote\n1\t2024-01-01\t1\tcaf\xe9\n");
    assert_eq!(rows(&folder), "id,amount,note\n1,1.0,café\n");
    folder.write("pipelines/all.sql", format!("{STREAM} HISTORY FILES 'rows.tsv' ENCODING 'ebcdic';"));
    let ran = folder.run(&["check"]);
    assert!(ran.err.contains("the encoding 'ebcdic' is not known") && ran.err.contains("'latin1'"), "{}", ran.err);
    folder.write("pipelines/all.sql", format!("{STREAM} HISTORY FILES 'rows.tsv' ON BAD ROW FAIL;"));
    let ran = folder.run(&["query", "SELECT id FROM given"]);
    assert!(ran.code == 1 && ran.err.contains("line 2: it is not UTF-8"), "{}", ran.err);
    folder.write("pipelines/all.sql", format!("{STREAM} LIVE given;"));
    folder.done(&["publish", "given", "rows.tsv", "--encoding", "latin1"]);
    assert_eq!(rows(&folder), "id,amount,note\n1,1.0,café\n");
}

#[test]
fn files_of_a_folder_are_one_stream() {
    let sql = "CREATE STREAM given (id BIGINT, at TIMESTAMP, amount DOUBLE, note TEXT, dt DATE, WATERMARK FOR at AS at)\n  \
               HISTORY FILES 'data/*/*.csv';";
    let folder = Folder::new(sql);
    folder.write("data/dt=2024-01-01/a.csv", "id,at,amount\n1,2024-01-01 10:00,1\n");
    folder.write("data/dt=2024-01-02/a.csv", "at;id;note;other\n2024-01-02 10:00;2;x;y\n");
    folder.write("data/dt=2024-01-03/a.csv", "");
    let told = folder.done(&["query", "SELECT id, amount, note, dt FROM given", "--csv"]).out;
    assert_eq!(told, "id,amount,note,dt\n1,1.0,,2024-01-01\n2,,x,2024-01-02\n");
}

#[test]
fn times_have_text_over_their_whole_range() {
    let folder = Folder::new(&format!("{STREAM} HISTORY FILES 'rows.jsonl';"));
    folder.write("rows.jsonl", "{\"id\":1,\"at\":\"2024-01-01\",\"note\":\"290309-12-22 (BC) 00:00:00\"}\n{\"id\":2,\"at\":\"2024-01-02\",\"note\":\"294247-01-10 04:00:54.775806\"}\n");
    let select = "SELECT id, note::TIMESTAMP AS t, note::TIMESTAMP::DATE AS d FROM given";
    let times = "1,290309-12-22 (BC) 00:00:00,290309-12-22 (BC)\n2,294247-01-10 04:00:54.775806,294247-01-10\n";
    assert_eq!(folder.done(&["query", select, "--csv"]).out, format!("id,t,d\n{times}"));
    for arguments in [&["query", select, "--json"][..], &["query", select]] {
        let told = folder.done(arguments).out;
        assert!(
            told.contains("290309-12-22 (BC)") && told.contains("294247-01-10") && !told.contains("ERROR"),
            "{told}"
        );
    }
}

#[test]
fn stored_uuids_lists_structs_and_maps_have_duckdbs_text() {
    use arrow::array::{
        ArrayRef, FixedSizeBinaryArray, IntervalDayTimeArray, ListArray, RecordBatch, StringArray, StructArray,
        Time64MicrosecondArray, TimestampMicrosecondArray,
    };
    use arrow::buffer::OffsetBuffer;
    use arrow::datatypes::{DataType, Field, IntervalDayTime};
    let texts: ArrayRef = Arc::new(StringArray::from(vec![Some("a,b"), None, Some(""), Some("x y")]));
    let of_list = Arc::new(Field::new("item", DataType::Utf8, true));
    let list = ListArray::new(of_list, OffsetBuffer::from_lengths([4]), texts, None);
    let name: ArrayRef = Arc::new(StringArray::from(vec!["it's"]));
    let object = StructArray::from(vec![(Arc::new(Field::new("name", DataType::Utf8, true)), name)]);
    let uuid = FixedSizeBinaryArray::try_from_iter(std::iter::once([0xabu8; 16])).expect("16 bytes");
    let columns: [(&str, ArrayRef); 6] = [
        ("at", Arc::new(TimestampMicrosecondArray::from(vec![1_704_067_200_000_000]))),
        ("l", Arc::new(list)),
        ("s", Arc::new(object)),
        ("u", Arc::new(uuid)),
        ("t", Arc::new(Time64MicrosecondArray::from(vec![36_000_500_000]))),
        ("p", Arc::new(IntervalDayTimeArray::from(vec![IntervalDayTime::new(2, 0)]))),
    ];
    let rows = RecordBatch::try_from_iter(columns).expect("the columns fit");
    let declared = |more: &str| {
        format!(
            "CREATE STREAM given (at TIMESTAMP, l TEXT, s TEXT, u TEXT, t TEXT{more}, WATERMARK FOR at AS at)\n  HISTORY FILES 'rows.parquet';"
        )
    };
    let folder = Folder::new(&declared(""));
    let file = std::fs::File::create(folder.path().join("rows.parquet")).expect("the file can be made");
    let mut writer = parquet::arrow::ArrowWriter::try_new(file, rows.schema(), None).expect("it can be written");
    writer.write(&rows).expect("it can be written");
    writer.close().expect("it can be written");
    let told = folder.done(&["query", "SELECT l, s, u, t FROM given", "--csv"]).out;
    let uuid = "abababab-abab-abab-abab-abababababab";
    assert_eq!(told, format!("l,s,u,t\n\"['a,b', NULL, '', x y]\",{{'name': 'it\\'s'}},{uuid},10:00:00.5\n"));
    folder.write("pipelines/all.sql", declared(", p TEXT"));
    let ran = folder.run(&["check"]);
    assert!(ran.code == 1 && ran.err.contains("\"p\" is INTERVAL") && ran.err.contains("months"), "{}", ran.err);
    folder.write("pipelines/all.sql", "CREATE STREAM given (at TIMESTAMP, WATERMARK FOR at AS at) LIVE given;");
    let ran = folder.run(&["publish", "given", "rows.parquet"]);
    let parts = ["column \"p\" of ", " is INTERVAL, which no message can hold", "months"];
    assert!(ran.code == 1 && parts.iter().all(|part| ran.err.contains(part)), "{}", ran.err);
}

#[test]
fn a_field_with_a_dot_in_its_name_is_read_where_nothing_is_declared() {
    let folder = Folder::new("CREATE STREAM given (WATERMARK FOR at AS at) HISTORY FILES 'rows.jsonl';");
    let row = |id: u32, rest: &str| format!("{{\"id\":{id},\"at\":\"2024-01-0{id} 00:00:00\",{rest}}}\n");
    let (flat, nested) = ("\"q.r\":7", "\"q\":{\"r\":8}");
    for (rows, expected) in [(flat, "7"), (nested, "8")] {
        folder.write("rows.jsonl", &row(1, rows));
        let ran = folder.done(&["query", "SELECT \"q.r\" AS x FROM given", "--csv"]);
        assert_eq!(ran.out, format!("x\n{expected}\n"), "{rows}");
    }
    // Two columns of one name, in one object and in two, and in an object within one that has a dot itself.
    for rows in [
        row(1, &format!("{flat},{nested}")),
        row(1, flat) + &row(2, nested),
        row(1, "\"a\":{\"b.c\":1}"),
        row(1, "\"a.b\":{\"c\":1}"),
    ] {
        folder.write("rows.jsonl", &rows);
        let ran = folder.run(&["check"]);
        assert!(ran.code == 1 && ran.err.contains("which are two columns: declare those"), "{rows}{}", ran.err);
    }
}

#[test]
fn a_field_with_a_dot_in_its_name_is_not_taken_for_a_field_of_an_object() {
    let stream = |columns: &str| {
        format!(
            "CREATE STREAM given (id BIGINT, at TIMESTAMP, {columns}, WATERMARK FOR at AS at) HISTORY FILES 'rows.jsonl';"
        )
    };
    let line = "{\"id\":1,\"at\":\"2024-01-01\",\"q.r\":\"dot\",\"q\":{\"r\":\"nest\"}}\n";
    for (columns, expected) in [("note TEXT FROM \"q.r\"", "dot"), ("note TEXT FROM q.r", "nest")] {
        let folder = Folder::new(&stream(columns));
        folder.write("rows.jsonl", line);
        assert_eq!(folder.done(&["query", "SELECT note FROM given", "--csv"]).out, format!("note\n{expected}\n"));
    }
    let folder = Folder::new(&stream("note TEXT FROM \"q.r\", other TEXT FROM q.r"));
    folder.write("rows.jsonl", line);
    let ran = folder.run(&["check"]);
    assert!(ran.code == 1 && ran.err.contains("columns \"note\" and \"other\" are both \"q.r\""), "{}", ran.err);
}
