//! Models: what `model check` says of a file, what `model add` writes, and columns of every type that models take.

use crate::folder::Folder;
use arrow::array::{
    ArrayRef, AsArray, Float32Builder, Float64Array, Int64Array, ListBuilder, RecordBatch, StringArray,
    TimestampMicrosecondArray,
};
use arrow::datatypes::Float64Type;
use dataflow::Scorer;
use model::{Model, OutputSelector};
use parquet::arrow::ArrowWriter;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;

#[test]
fn check_takes_the_model_of_a_new_project_and_names_the_output_of_its_sample_rows() {
    let folder = Folder::demo();
    let checked = folder.done(&["model", "check", "models/spam.onnx"]);
    assert!(checked.out.contains("CREATE MODEL spam FROM 'models/spam.onnx'\n"), "{}", checked.out);
    assert!(checked.out.ends_with("\n  OUTPUT probability OF 1;\n"), "{}", checked.out);
    let told: serde_json::Value =
        serde_json::from_str(&folder.done(&["model", "check", "models/spam.onnx", "--json"]).out).unwrap();
    assert_eq!(told["outputs"], serde_json::json!(["label", "probability OF 0", "probability OF 1"]), "{told}");
}

#[test]
fn check_refuses_a_model_none_of_whose_outputs_gives_the_scores_of_its_sample_rows() {
    let folder = Folder::demo();
    let mut bytes = std::fs::read(folder.path().join("models/spam.onnx")).unwrap();
    let text = b"\"scores\": [0.";
    let at = bytes.windows(text.len()).position(|part| part == text).unwrap() + text.len();
    bytes[at] = if bytes[at] < b'5' { b'9' } else { b'0' };
    folder.write_bytes("models/spam.onnx", &bytes);
    let checked = folder.run(&["model", "check", "models/spam.onnx"]);
    assert!(checked.code == 1 && checked.err.contains("sample row 0 scores"), "{}", checked.err);
}

/// What a command prints for people, where it has to fail.
fn refused(folder: &Folder, arguments: &[&str]) -> String {
    let ran = folder.run(arguments);
    assert_eq!(ran.code, 1, "riverrun {arguments:?}\n{}{}", ran.out, ran.err);
    // On a terminal of any width a message may be in several lines.
    ran.err.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A model of the usual exporters.
fn exported(name: &str) -> PathBuf {
    tests::root().join("crates/model/tests/exports").join(format!("{name}.onnx"))
}

#[test]
fn a_file_that_has_changed_since_the_first_run_is_refused_until_its_line_is_removed() {
    let folder = Folder::demo();
    folder.done(&["run"]);
    let before = Model::load("spam", &folder.path().join("models/spam.onnx")).unwrap().version().to_owned();
    let lock = std::fs::read_to_string(folder.path().join("riverrun.lock")).unwrap();
    assert!(lock.contains(&format!("spam = \"{before}\"")), "{lock}");
    // The same model from another version of its exporter.
    let mut bytes = std::fs::read(folder.path().join("models/spam.onnx")).unwrap();
    bytes.extend([0x28, 7]);
    folder.write_bytes("models/spam.onnx", &bytes);
    let after = Model::load("spam", &folder.path().join("models/spam.onnx")).unwrap().version().to_owned();
    folder.write(
        "tests/scored.test.sql",
        "TEST 'what is scored has a score';\n\
         GIVEN messages (message_id, sender_id, recipient_id, text_len, has_link, sent_at)\n  \
         VALUES ('m1', 1, 1, 20, false, TIMESTAMP '2026-01-01 00:00:00');\n\
         EXPECT NO ROWS scored WHERE score IS NULL;\n",
    );
    for command in [&["check"][..], &["run"], &["test"], &["query", "SELECT * FROM scored"]] {
        let message = refused(&folder, command);
        for part in ["the file has changed", &before, &after, "remove the line of \"spam\""] {
            assert!(message.contains(part), "{command:?} does not say {part:?}: {message}");
        }
    }
    folder.replace("riverrun.lock", &format!("spam = \"{before}\"\n"), "");
    folder.done(&["run", "--fresh"]);
    let lock = std::fs::read_to_string(folder.path().join("riverrun.lock")).unwrap();
    assert!(lock.contains(&format!("spam = \"{after}\"")), "{lock}");
}

/// A project of rows with numbers and texts.
fn shop() -> Folder {
    let folder = Folder::empty();
    folder.write(
        "pipelines/shop.sql",
        "CREATE STREAM visits (id BIGINT, amount DOUBLE, age DOUBLE, country TEXT, plan TEXT, at TIMESTAMP,\n  \
         WATERMARK FOR at AS at) HISTORY FILES 'visits.csv';\n\
         CREATE VIEW young AS SELECT id, age FROM visits WHERE age < 30;\n",
    );
    folder.write(
        "visits.csv",
        "id,amount,age,country,plan,at\n\
         1,0.5,-1,de,fr,2026-01-01 00:00:01\n\
         2,-1.25,,us,de,2026-01-01 00:00:02\n\
         3,2,0.25,unseen,xx,2026-01-01 00:00:03\n\
         4,,1.5,,jp,2026-01-01 00:00:04\n",
    );
    folder
}

#[test]
fn a_model_of_numbers_and_texts_is_added_and_scores_as_it_does_by_itself() {
    let folder = shop();
    let file = exported("mixed_one_hot");
    let file = file.to_str().unwrap();
    let added = folder.done(&["model", "add", file, "--name", "buys"]);
    assert_eq!(added.out, "SELECT *, predict(buys) AS score FROM visits;\n", "{}", added.err);
    assert!(added.err.contains("wrote models/buys.onnx\nwrote pipelines/model_buys.sql\npinned buys"), "{}", added.err);
    assert_eq!(
        std::fs::read_to_string(folder.path().join("pipelines/model_buys.sql")).unwrap(),
        "CREATE MODEL buys FROM 'models/buys.onnx'\n  INPUTS (amount, age, country, plan)\n  OUTPUT probability OF 1;\n"
    );
    let lock = std::fs::read_to_string(folder.path().join("riverrun.lock")).unwrap();
    let model = Model::load("buys", Path::new(file)).unwrap();
    assert!(lock.contains(&format!("buys = \"{}\"", model.version())), "{lock}");
    folder.done(&["check"]);
    let scored = folder.done(&["query", "SELECT id, predict(buys) AS score FROM visits", "--json"]);
    let inputs: Vec<ArrayRef> = vec![
        Arc::new(Float64Array::from(vec![Some(0.5), Some(-1.25), Some(2.0), None])),
        Arc::new(Float64Array::from(vec![Some(-1.0), None, Some(0.25), Some(1.5)])),
        Arc::new(StringArray::from(vec![Some("de"), Some("us"), Some("unseen"), None])),
        Arc::new(StringArray::from(vec![Some("fr"), Some("de"), Some("xx"), Some("jp")])),
    ];
    let scorer = model.select(&OutputSelector::Probability { label: "1".to_owned() }).unwrap();
    let expected = scorer.score(&inputs).unwrap();
    let rows: Vec<serde_json::Value> = scored.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let scores: Vec<Option<f64>> = rows.iter().map(|row| row["score"].as_f64()).collect();
    let expected = expected.as_primitive::<Float64Type>().iter();
    assert_eq!(scores, expected.collect::<Vec<_>>(), "{}", scored.out);
    assert!(scores.iter().flatten().count() >= 2, "the rows score: {}", scored.out);
}

#[test]
fn add_writes_over_nothing_and_leaves_nothing_of_what_fails() {
    let folder = shop();
    let file = exported("mixed_one_hot");
    let file = file.to_str().unwrap();
    folder.done(&["model", "add", file, "--name", "buys"]);
    let before = folder.files();
    let message = refused(&folder, &["model", "add", file, "--name", "Buys"]);
    assert!(message.contains("the project has a model \"buys\" already, from 'models/buys.onnx'"), "{message}");
    folder.write("pipelines/model_other.sql", "-- Of somebody else.\n");
    let message = refused(&folder, &["model", "add", file, "--name", "other"]);
    assert!(message.contains("pipelines/model_other.sql is there already"), "{message}");
    let message = refused(&folder, &["model", "add", file, "--name", "no name"]);
    assert!(message.contains("choose one with --name"), "{message}");
    let unnamed = exported("sk_linear");
    let message = refused(&folder, &["model", "add", unnamed.to_str().unwrap()]);
    assert!(message.contains("--inputs NAME,NAME"), "{message}");
    std::fs::remove_file(folder.path().join("pipelines/model_other.sql")).unwrap();
    assert_eq!(folder.files(), before, "what was refused has left nothing");
}

#[test]
fn a_file_of_the_project_is_not_copied_and_inputs_may_be_named() {
    let folder = shop();
    let model = exported("sk_linear");
    let width = Model::load("m", &model).unwrap().signature().inputs.len();
    folder.write_bytes("models/price-1.onnx", &std::fs::read(model).unwrap());
    let names: Vec<String> = (0..width).map(|at| format!("f{at}")).collect();
    let added = folder.done(&["model", "add", "models/price-1.onnx", "--inputs", &names.join(",")]);
    let statement = std::fs::read_to_string(folder.path().join("pipelines/model_price_1.sql")).unwrap();
    let inputs = format!("INPUTS ({})\n  OUTPUT value;\n", names.join(", "));
    assert_eq!(statement, format!("CREATE MODEL price_1 FROM 'models/price-1.onnx'\n  {inputs}"));
    assert!(added.out.is_empty() && added.err.contains("no stream and no view has all inputs"), "{}", added.err);
    assert!(!folder.files().contains("models/price_1.onnx"));
}

#[test]
fn columns_of_another_type_are_refused_with_what_the_model_takes() {
    let folder = shop();
    let file = exported("mixed_integer_one_hot");
    folder.done(&["model", "add", file.to_str().unwrap(), "--name", "buys"]);
    let wrong = [
        (
            "country => id, count => 1",
            "input \"country\" of model \"buys\" is a text",
            "found: id BIGINT = expected: TEXT = hint: write id::TEXT",
        ),
        (
            "count => amount",
            "input \"count\" of model \"buys\" is an integer",
            "expected: BIGINT, INTEGER, SMALLINT, TINYINT or BOOLEAN = hint: write amount::BIGINT",
        ),
        ("age => plan, count => 1", "input \"age\" of model \"buys\" is a number", "found: plan TEXT"),
    ];
    for (inputs, what, more) in wrong {
        let message = refused(&folder, &["query", &format!("SELECT predict(buys, {inputs}) AS score FROM visits")]);
        assert!(message.contains(what) && message.contains(more), "{message}");
    }
}

/// Rows whose column `x` has a list each, as Parquet.
fn lists(lengths: &[usize]) -> Vec<u8> {
    let mut lists = ListBuilder::new(Float32Builder::new());
    for (row, length) in lengths.iter().enumerate() {
        (0..*length).for_each(|at| lists.values().append_value((row * 7 + at) as f32 / 16.0 - 1.0));
        lists.append(true);
    }
    let rows = lengths.len() as i64;
    let times = TimestampMicrosecondArray::from_iter_values((1..=rows).map(|at| at * 1_000_000));
    let columns: [(&str, ArrayRef); 3] = [
        ("id", Arc::new(Int64Array::from_iter_values(0..rows))),
        ("at", Arc::new(times)),
        ("x", Arc::new(lists.finish())),
    ];
    let rows = RecordBatch::try_from_iter(columns).unwrap();
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, rows.schema(), None).unwrap();
    writer.write(&rows).unwrap();
    writer.close().unwrap();
    bytes
}

#[test]
fn a_net_over_sequences_scores_columns_of_lists() {
    let folder = Folder::empty();
    folder.write(
        "pipelines/all.sql",
        "CREATE STREAM steps (id BIGINT, at TIMESTAMP, x TEXT, WATERMARK FOR at AS at) HISTORY FILES 'steps.parquet';\n\
         CREATE MODEL net FROM 'models/net.onnx';\n",
    );
    folder.write_bytes("models/net.onnx", &std::fs::read(exported("torch_lstm")).unwrap());
    folder.write_bytes("steps.parquet", &lists(&[24, 24, 23, 24]));
    let query = "SELECT id, predict(net) AS score, predict_fault(net) AS fault FROM steps";
    let scored = folder.done(&["query", query, "--json"]);
    let rows: Vec<serde_json::Value> = scored.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let file = exported("torch_lstm");
    let scorer = Model::load("net", &file).unwrap().select(&OutputSelector::Only).unwrap();
    for (row, told) in rows.iter().enumerate() {
        let mut list = ListBuilder::new(Float32Builder::new());
        (0..24).for_each(|at| list.values().append_value((row * 7 + at) as f32 / 16.0 - 1.0));
        list.append(true);
        let alone = scorer.score(&[Arc::new(list.finish())]).unwrap();
        let expected = (row != 2).then(|| alone.as_primitive::<Float64Type>().value(0) as f32);
        assert_eq!(told["score"].as_f64().map(|score| score as f32), expected, "{}", scored.out);
    }
    assert!(scored.out.contains("\\\"x\\\" has 23 values, expected 24"), "{}", scored.out);
    let message = refused(&folder, &["query", "SELECT predict(net, x => id) AS score FROM steps"]);
    assert!(message.contains("input \"x\" of model \"net\" is a list of 24 numbers"), "{message}");
    assert!(message.contains("found: id BIGINT") && message.contains("TEXT that holds a list"), "{message}");
}

#[test]
fn a_model_is_tried_in_a_process_of_its_own_whatever_it_is() {
    let folder = Folder::demo();
    let good = std::fs::read(folder.path().join("models/spam.onnx")).unwrap();
    for bytes in [&good[..], &good[..good.len() / 2], b"", b"no model"] {
        let mut command = folder.command(&["model", "try"]);
        let mut child = command.stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(bytes).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

/// A project whose stream has the numbers of a model with three classes.
fn classes() -> Folder {
    let folder = Folder::empty();
    folder.write(
        "pipelines/all.sql",
        "CREATE STREAM rows (id BIGINT, a DOUBLE, b DOUBLE, c DOUBLE, d DOUBLE, e DOUBLE, at TIMESTAMP,\n  \
         WATERMARK FOR at AS at) HISTORY FILES 'rows.csv';\n\
         CREATE MODEL kinds FROM 'models/kinds.onnx' INPUTS (a, b, c, d, e);\n\
         CREATE VIEW scored AS SELECT id, predict(kinds) AS s, predict_fault(kinds) AS fault FROM rows;\n\
         INSERT INTO lake.scored SELECT * FROM scored;\n\
         INSERT INTO TOPIC scores SELECT id, s FROM scored;\n",
    );
    folder.write_bytes("models/kinds.onnx", &std::fs::read(exported("catboost_three_text")).unwrap());
    let row = |id: usize| {
        let number = |at: usize| ((id * 7 + at * 3) % 11) as f64 / 4.0 - 1.0;
        let numbers: Vec<String> = (0..5).map(|at| number(at).to_string()).collect();
        format!("{id},{},2026-01-01 00:00:{id:02}\n", numbers.join(","))
    };
    folder.write("rows.csv", &format!("id,a,b,c,d,e,at\n{}", (0..20).map(row).collect::<String>()));
    folder
}

/// What the model gives for the rows of `classes`, as JSON has it.
fn expected_classes() -> Vec<serde_json::Value> {
    let model = Model::load("kinds", &exported("catboost_three_text")).unwrap();
    let number = |id: usize, at: usize| ((id * 7 + at * 3) % 11) as f64 / 4.0 - 1.0;
    let column = |at| Arc::new((0..20).map(|id| Some(number(id, at))).collect::<Float64Array>()) as ArrayRef;
    let inputs: Vec<ArrayRef> = (0..5).map(column).collect();
    let score = |selector: &OutputSelector| model.select(selector).unwrap().score(&inputs).unwrap();
    let labels = score(&OutputSelector::Label);
    let classes = ["ham", "scam", "spam"];
    let of = |label: &str| score(&OutputSelector::Probability { label: label.to_owned() });
    let probabilities = classes.map(of);
    let row = |row: usize| {
        let mut fields = serde_json::json!({ "label": labels.as_string::<i32>().value(row) });
        for (class, scores) in classes.iter().zip(&probabilities) {
            fields[format!("probability_{class}")] = scores.as_primitive::<Float64Type>().value(row).into();
        }
        fields
    };
    (0..20).map(row).collect()
}

fn lines(text: &str) -> Vec<serde_json::Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The fields by name, numbers with all their digits.
fn shown(value: &serde_json::Value) -> String {
    let fields = value.as_object().unwrap().iter().map(|(name, value)| match value.as_f64() {
        Some(number) => format!("{name} {number:?}"),
        None => format!("{name} {value}"),
    });
    fields.collect::<Vec<_>>().join(", ")
}

#[test]
fn all_outputs_of_a_model_are_a_struct_in_tables_topics_and_answers() {
    let folder = classes();
    let expected: Vec<String> = expected_classes().iter().map(shown).collect();
    folder.done(&["run", "--until-caught-up"]);
    for query in ["SELECT id, s FROM lake.scored ORDER BY id", "SELECT id, s FROM scored ORDER BY id"] {
        let found = lines(&folder.done(&["query", query, "--json"]).out);
        assert_eq!(found.iter().map(|row| shown(&row["s"])).collect::<Vec<_>>(), expected, "{query}");
    }
    let fields = "SELECT id, s.label, s.probability_scam AS scam FROM lake.scored WHERE s.label <> 'ham' ORDER BY id";
    let found = lines(&folder.done(&["query", fields, "--json"]).out);
    let wanted = expected_classes().into_iter().enumerate().filter(|(_, row)| row["label"] != "ham");
    let wanted: Vec<String> = wanted.map(|(id, row)| format!("{id} {}", row["label"])).collect();
    assert!(!wanted.is_empty() && wanted.len() < 20, "{wanted:?}");
    assert_eq!(found.iter().map(|row| format!("{} {}", row["id"], row["label"])).collect::<Vec<_>>(), wanted);
    let table = folder.done(&["query", "SELECT s FROM lake.scored WHERE id = 3"]);
    assert!(table.out.contains("{'label': "), "{}", table.out);
    let told = lines(&folder.done(&["tail", "scores", "--from-start", "--until-caught-up", "--json"]).out);
    assert_eq!(told.len(), 20);
}

#[test]
fn a_score_that_one_of_several_outputs_lacks_is_told_by_the_name_of_its_field() {
    let folder = classes();
    folder.write_bytes("models/kinds.onnx", &std::fs::read(exported("sk_logistic_raw")).unwrap());
    folder.write("rows.csv", "id,a,b,c,d,e,at\n1,1e300,0,0,0,0,2026-01-01 00:00:00\n2,0,0,0,0,0,2026-01-01 00:00:01\n");
    let found = lines(&folder.done(&["query", "SELECT id, fault FROM scored ORDER BY id", "--json"]).out);
    let fault = found[0]["fault"].as_str().unwrap_or_default();
    assert!(fault.contains("gives no finite number for probability_0, probability_1, probability_2"), "{found:?}");
    assert!(found[1]["fault"].is_null(), "{found:?}");
}

#[test]
fn a_model_whose_weights_lie_beside_it_is_added_as_one_file() {
    let folder = shop();
    let apart = tests::root().join("crates/model/tests/exports/external/torch_mlp.onnx");
    let apart = apart.to_str().unwrap();
    let checked = folder.done(&["model", "check", apart]);
    assert!(checked.out.contains("operators  "), "{}", checked.out);
    folder.done(&["model", "add", apart, "--name", "net", "--inputs", "a,b,c,d,e"]);
    assert_eq!(
        folder.files().iter().filter(|file| file.starts_with("models/") && !file.ends_with('/')).count(),
        1,
        "{:?}",
        folder.files()
    );
    let added = Model::load("net", &folder.path().join("models/net.onnx")).unwrap();
    assert_eq!(added.version(), Model::load("net", Path::new(apart)).unwrap().version());
    folder.done(&["check"]);
}

#[test]
fn a_job_that_asks_a_model_for_another_output_does_something_else() {
    let folder = classes();
    let pipelines = |class: &str| {
        format!(
            "CREATE STREAM rows (id BIGINT, a DOUBLE, b DOUBLE, c DOUBLE, d DOUBLE, e DOUBLE, at TIMESTAMP,\n  \
             WATERMARK FOR at AS at) HISTORY FILES 'rows.csv';\n\
             CREATE MODEL kinds FROM 'models/kinds.onnx' INPUTS (a, b, c, d, e) OUTPUT probability OF {class};\n\
             CREATE VIEW scored AS SELECT id, at, predict(kinds) AS s FROM rows;\n\
             INSERT INTO lake.sums SELECT id, sum(s) OVER (ORDER BY at RANGE INTERVAL '1' HOUR PRECEDING) AS s\n  \
             FROM scored;\n"
        )
    };
    let same = "does what it did";
    folder.write("pipelines/all.sql", &pipelines("ham"));
    folder.done(&["run"]);
    let planned = folder.done(&["plan"]);
    assert!(planned.out.contains(same), "{}", planned.out);
    folder.write("pipelines/all.sql", &pipelines("spam"));
    let planned = folder.run(&["plan"]);
    assert!(!planned.out.contains(same), "{}{}", planned.out, planned.err);
    assert!(refused(&folder, &["run"]).contains("the job has changed since its checkpoint"));
}
