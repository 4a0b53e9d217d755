//! Pipelines over words: what is defined for one row alone is counted, and the rest is refused by name.

use super::build::{self, int, ints, node, text, texts, value};
use crate::Model;
use crate::OutputSelector;
use crate::onnx::{AttributeProto, ModelProto, NodeProto, OperatorSetIdProto, element};
use arrow::array::{ArrayRef, AsArray, StringArray};
use arrow::datatypes::Float64Type;
use dataflow::Scorer;
use std::sync::Arc;

/// A tokenizer and the counts of two words, with other attributes in the place of some.
fn counter(tokenizer: Vec<AttributeProto>, counter: Vec<AttributeProto>) -> ModelProto {
    let with = |mut attributes: Vec<AttributeProto>, others: Vec<AttributeProto>| {
        attributes.retain(|known| !others.iter().any(|other| other.name == known.name));
        attributes.extend(others.into_iter().filter(|other| other.r#type != 0));
        attributes
    };
    let cuts = vec![text("pad_value", "#"), int("mark", 0), int("mincharnum", 1), text("tokenexp", "[a-z]+")];
    let counts = vec![
        text("mode", "TF"),
        ints("ngram_counts", vec![0]),
        ints("ngram_indexes", vec![0, 1]),
        int("min_gram_length", 1),
        int("max_gram_length", 1),
        int("max_skip_count", 0),
        texts("pool_strings", &["ham", "spam"]),
    ];
    let nodes: Vec<NodeProto> = vec![
        node("com.microsoft", "Tokenizer", &["x"], &["words"], with(cuts, tokenizer)),
        node("", "Flatten", &["words"], &["list"], vec![]),
        node("", "TfIdfVectorizer", &["list"], &["y"], with(counts, counter)),
    ];
    let mut model =
        build::model(nodes, vec![value("x", element::STRING, Some(1))], vec![value("y", element::FLOAT, Some(2))]);
    model.opset_import.push(OperatorSetIdProto { domain: String::new(), version: 18 });
    model
}

fn counts(model: &ModelProto, rows: &[Option<&str>]) -> Vec<[f64; 2]> {
    let model = Model::from_bytes("words", build::bytes(model)).unwrap();
    let scores = model.select(&OutputSelector::Only).unwrap();
    let inputs: ArrayRef = Arc::new(StringArray::from(rows.to_vec()));
    let found = scores.score(&[inputs]).unwrap();
    let column = |at: usize| found.as_struct().column(at).as_primitive::<Float64Type>().clone();
    (0..rows.len()).map(|row| [column(0).value(row), column(1).value(row)]).collect()
}

#[test]
fn words_are_counted_and_a_missing_text_is_an_empty_one() {
    let rows = [Some("ham spam spam"), None, Some(""), Some("eggs"), Some("hamspam ham"), Some("Ham,ham")];
    let expected = [[1.0, 2.0], [0.0, 0.0], [0.0, 0.0], [0.0, 0.0], [1.0, 0.0], [1.0, 0.0]];
    assert_eq!(counts(&counter(vec![], vec![]), &rows), expected);
}

#[test]
fn separators_and_the_least_length_cut_words() {
    let cut = vec![AttributeProto { name: "tokenexp".into(), ..Default::default() }, texts("separators", &[" ", "-+"])];
    let rows = [Some("ham--spam ham"), Some("-spam-"), Some("ham,spam")];
    assert_eq!(counts(&counter(cut, vec![]), &rows), [[2.0, 1.0], [0.0, 1.0], [0.0, 0.0]]);
    let long = vec![int("mincharnum", 4)];
    assert_eq!(counts(&counter(long, vec![]), &rows[..1]), [[0.0, 1.0]]);
}

#[test]
fn what_is_not_defined_for_one_row_is_refused_by_name() {
    let pattern = |pattern: &str| counter(vec![text("tokenexp", pattern)], vec![]);
    let told = "node 0 (Tokenizer): ";
    for (model, words) in [
        (counter(vec![int("mark", 1)], vec![]), [told, "has marks or stopwords"]),
        (counter(vec![int("mincharnum", 0)], vec![]), [told, "expected 1 or more"]),
        (pattern(""), [told, "has neither separators nor a tokenexp"]),
        (pattern("(?i)a"), [told, "a group with flags"]),
        (pattern("a(?=b)"), [told, "a group with flags or a name"]),
        (pattern("\\pL"), [told, "has an escape that is not supported"]),
        (pattern("["), [told, "is not one of RE2"]),
        (pattern("[a-z&&[b]]"), [told, "operation on classes"]),
        (pattern("(a{1000}){1000}"), [told, "is"]),
        (counter(vec![text("pad_value", "ham")], vec![]), ["TfIdfVectorizer", "which rows are filled up with"]),
        (counter(vec![], vec![text("mode", "BM25")]), ["TfIdfVectorizer", "expected TF, IDF or TFIDF"]),
        (counter(vec![], vec![int("max_gram_length", 99)]), ["TfIdfVectorizer", "expected 1 to 16"]),
        (counter(vec![], vec![ints("ngram_indexes", vec![0])]), ["TfIdfVectorizer", "fewer ngram_indexes"]),
        (counter(vec![], vec![ints("ngram_indexes", vec![0, 1 << 40])]), ["TfIdfVectorizer", "that is no column"]),
        (counter(vec![], vec![ints("ngram_counts", vec![9])]), ["TfIdfVectorizer", "does not cut the pool"]),
        (counter(vec![], vec![texts("pool_strings", &["ham", "ham"])]), ["TfIdfVectorizer", "same words twice"]),
        (
            counter(
                vec![],
                vec![text("mode", "IDF"), ints("ngram_indexes", vec![1, 0]), build::floats("weights", vec![0.5, 2.0])],
            ),
            ["TfIdfVectorizer", "which runtimes read in two ways"],
        ),
    ] {
        let error = Model::from_bytes("words", build::bytes(&model)).unwrap_err().to_string();
        words.iter().for_each(|word| assert!(error.contains(word), "expected {word:?} in: {error}"));
    }
}

fn over_texts(nodes: Vec<NodeProto>, output: i32) -> Model {
    let inputs = vec![value("a", element::STRING, Some(1)), value("b", element::STRING, Some(1))];
    let mut model = build::model(nodes, inputs, vec![value("y", output, Some(1))]);
    model.opset_import.push(OperatorSetIdProto { domain: String::new(), version: 19 });
    Model::from_bytes("texts", build::bytes(&model)).unwrap()
}

/// Two columns of more than one block of rows, whose texts no model knows.
fn two_columns() -> [ArrayRef; 2] {
    let text = |row: usize, salt: usize| (row % 7 != 3).then(|| format!("text {}", row * salt % 90));
    [1, 5].map(|salt| Arc::new((0..200).map(|row| text(row, salt)).collect::<StringArray>()) as ArrayRef)
}

#[test]
fn a_text_of_the_row_comes_out_as_it_went_in() {
    let nodes = vec![
        node("", "Equal", &["a", "b"], &["same"], vec![]),
        node("", "Not", &["same"], &["other"], vec![]),
        node("", "Where", &["other", "a", "b"], &["y"], vec![]),
    ];
    let [a, b] = two_columns();
    let found =
        over_texts(nodes, element::STRING).select(&OutputSelector::Only).unwrap().score(&[a.clone(), b]).unwrap();
    let expected: Vec<Option<&str>> = a.as_string::<i32>().iter().map(|text| Some(text.unwrap_or(""))).collect();
    assert_eq!(found.as_string::<i32>().iter().collect::<Vec<_>>(), expected);
}

#[test]
fn two_texts_that_no_model_knows_are_alike_only_if_they_are() {
    let nodes = vec![node("", "Equal", &["a", "b"], &["y"], vec![])];
    let [a, b] = two_columns();
    let found = over_texts(nodes, element::BOOL).select(&OutputSelector::Only).unwrap();
    let found = found.score(&[a.clone(), b.clone()]).unwrap();
    let expected: Vec<Option<bool>> =
        a.as_string::<i32>().iter().zip(b.as_string::<i32>()).map(|(a, b)| Some(a == b)).collect();
    assert!(expected.contains(&Some(true)) && expected.contains(&Some(false)));
    assert_eq!(found.as_boolean().iter().collect::<Vec<_>>(), expected);
}
