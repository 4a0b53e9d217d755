//! What to do about an operator that a model may not have: who made the file, and which option of it helps.

use crate::node::shown;
use crate::onnx::{ModelProto, NodeProto};
use crate::operators;

/// Says that an operator is not supported, and which are.
pub fn unknown_operator(proto: &NodeProto) -> String {
    let domain = if proto.domain.is_empty() { "ai.onnx" } else { &proto.domain };
    let (op, domain) = (shown(&proto.op_type), shown(domain));
    match proto.domain.as_str() {
        "ai.onnx.ml" => {
            format!("operator {op} of {domain} is not supported, expected one of {}", operators::ml_names())
        }
        _ => format!("operator {op} of {domain} is not supported"),
    }
}

/// What helps, by operator: the option of the exporter, or how to train otherwise.
const ADVICE: &[(&str, &str)] = &[
    ("DictVectorizer", "give the model columns instead of maps: export the pipeline without DictVectorizer"),
    ("CastMap", "give the model columns instead of maps"),
    ("TfIdfVectorizer", "count words in SQL and train on the counts"),
    ("StringNormalizer", "use lower() in SQL and train on what it gives"),
    ("Tokenizer", "split texts in SQL and train on what it gives"),
    ("Scan", "nearest neighbours need all training rows: train a tree or linear model instead"),
    ("CDist", "nearest neighbours need all training rows: train a tree or linear model instead"),
    ("Loop", "export the layer unrolled or as an LSTM or GRU operator"),
    ("If", "export for one case: a row's values may not choose what runs"),
    ("SequenceConstruct", "export with options={id(model): {'zipmap': False}}, or a model for each label"),
    ("RandomNormalLike", "export in evaluation mode: model.eval()"),
    ("RandomUniformLike", "export in evaluation mode: model.eval()"),
    ("LookupTableFindV2", "encode texts with scikit-learn or in SQL; Keras cannot export StringLookup"),
    ("Erfc", "use tf.nn.gelu with approximate=True; tf2onnx writes no valid ONNX for the exact one"),
];

/// What to add to a refusal at a node.
pub fn advice(model: &ModelProto, proto: &NodeProto) -> String {
    let mut parts = Vec::new();
    let maker = [model.producer_name.as_str(), model.producer_version.as_str()];
    let maker: Vec<&str> = maker.into_iter().filter(|part| !part.is_empty()).collect();
    if !maker.is_empty() {
        parts.push(format!("made by {}", shown(&maker.join(" ")).trim_matches('"')));
    }
    if let Some((_, advice)) = ADVICE.iter().find(|(name, _)| *name == proto.op_type) {
        parts.push((*advice).to_string());
    }
    if parts.is_empty() { String::new() } else { format!(" ({})", parts.join("; ")) }
}
