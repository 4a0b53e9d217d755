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

const KEEPS_ROWS: &str = "nearest neighbours, Gaussian processes and kernel methods need all training rows: train a \
                          tree or linear model instead";
const OPEN_DYNAMO: &str = "export with torch.onnx.export(net.eval(), .., dynamo=True, dynamic_shapes=\
                           ({0: torch.export.Dim(\"rows\")},)), in whose graph neither rows nor shapes are calculated";

/// What helps, by operator: the option of the exporter, or how to train otherwise.
const ADVICE: &[(&str, &str)] = &[
    ("DictVectorizer", "give the model columns instead of maps: export the pipeline without DictVectorizer"),
    ("CastMap", "give the model columns instead of maps"),
    ("TfIdfVectorizer", "count words in SQL and train on the counts"),
    ("StringNormalizer", "use lower() in SQL and export with CountVectorizer(lowercase=False)"),
    ("Tokenizer", "export with options={CountVectorizer: {'tokenexp': '[a-zA-Z0-9_]+'}}"),
    ("Scan", KEEPS_ROWS),
    ("CDist", KEEPS_ROWS),
    ("Loop", "export the layer unrolled or as an LSTM or GRU operator"),
    ("If", "export for one case: a row's values may not choose what runs"),
    ("SequenceConstruct", "export a model for each label: those of MultiOutputClassifier are its estimators_"),
    ("RandomNormalLike", "export in evaluation mode: model.eval()"),
    ("RandomUniformLike", "export in evaluation mode: model.eval()"),
    ("LookupTableFindV2", "encode texts with scikit-learn or in SQL; Keras cannot export StringLookup"),
    ("Erfc", "use tf.nn.gelu with approximate=True; tf2onnx writes no valid ONNX for the exact one"),
];

/// What helps against a fault of the file around the nodes, by a part of the fault and the name of what made the file;
/// an empty name stands for all.
const FILE_ADVICE: &[(&str, &str, &str)] = &[
    ("has a batch of exactly", "pytorch", "export with dynamic_shapes=({0: torch.export.Dim(\"rows\")},)"),
    ("has a batch of exactly", "tf2onnx", "export with TensorSpec((None, ..)) as input_signature"),
    ("has a batch of exactly", "", "export with a first size of None"),
    ("has an open dimension beside the rows", "", "fill sequences up to one length before they go into the model"),
    ("does not say how many features", "", "export with initial_types of shape [None, number of features]"),
    ("element type float16", "", "export with weights of float32"),
    ("element type int8", "", "export the model before it is quantized"),
    ("element type uint8", "", "export the model before it is quantized"),
    ("defines functions of its own", "", "write them out with onnx.inliner.inline_local_functions"),
];

/// What to add to a refusal at a node.
pub fn advice(model: &ModelProto, proto: &NodeProto) -> String {
    let advice = ADVICE.iter().find(|(name, _)| *name == proto.op_type).map(|(_, advice)| *advice);
    let is_known = operators::find(&proto.domain, &proto.op_type).is_some();
    let other = match model.producer_name.as_str() {
        "pytorch" => Some(OPEN_DYNAMO),
        _ if !is_known => Some("compute this part in SQL before the model, or train without it"),
        _ => None,
    };
    added(maker(model), advice.or(other))
}

/// A fault of the file around its nodes, with what made the file and what helps.
pub fn of_file(model: &ModelProto, fault: &str) -> String {
    let advice =
        FILE_ADVICE.iter().find(|(part, maker, _)| fault.contains(part) && model.producer_name.contains(maker));
    fault.to_string() + &added(maker(model), advice.map(|(_, _, advice)| *advice))
}

/// What made the file, if it says so.
fn maker(model: &ModelProto) -> Option<String> {
    let maker = [model.producer_name.as_str(), model.producer_version.as_str()];
    let maker: Vec<&str> = maker.into_iter().filter(|part| !part.is_empty()).collect();
    (!maker.is_empty()).then(|| format!("made by {}", shown(&maker.join(" ")).trim_matches('"')))
}

fn added(maker: Option<String>, advice: Option<&str>) -> String {
    let parts: Vec<String> = maker.into_iter().chain(advice.map(str::to_string)).collect();
    if parts.is_empty() { String::new() } else { format!(" ({})", parts.join("; ")) }
}
