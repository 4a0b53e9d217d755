//! Makes model files for tests.

use crate::onnx::{
    AttributeProto, Dimension, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorShapeProto, TensorType,
    TypeProto, ValueInfoProto, element, kind,
};
use prost::Message;
use prost::bytes::Bytes;

pub fn ints(name: &str, ints: Vec<i64>) -> AttributeProto {
    AttributeProto { name: name.into(), r#type: kind::INTS, ints, ..Default::default() }
}

pub fn floats(name: &str, floats: Vec<f32>) -> AttributeProto {
    AttributeProto { name: name.into(), r#type: kind::FLOATS, floats, ..Default::default() }
}

pub fn text(name: &str, text: &str) -> AttributeProto {
    let s = Bytes::copy_from_slice(text.as_bytes());
    AttributeProto { name: name.into(), r#type: kind::STRING, s, ..Default::default() }
}

pub fn texts(name: &str, texts: &[&str]) -> AttributeProto {
    let strings = texts.iter().map(|text| Bytes::copy_from_slice(text.as_bytes())).collect();
    AttributeProto { name: name.into(), r#type: kind::STRINGS, strings, ..Default::default() }
}

pub fn int(name: &str, i: i64) -> AttributeProto {
    AttributeProto { name: name.into(), r#type: kind::INT, i, ..Default::default() }
}

/// A tensor of rows by columns; the number of rows is open.
pub fn value(name: &str, elem_type: i32, width: Option<i64>) -> ValueInfoProto {
    let open = Dimension::default();
    let dim = vec![open, Dimension { dim_value: width, dim_param: None }];
    let tensor = TensorType { elem_type, shape: Some(TensorShapeProto { dim }) };
    let r#type = Some(TypeProto { tensor_type: Some(tensor), sequence_type: None });
    ValueInfoProto { name: name.into(), r#type }
}

pub fn node(domain: &str, op: &str, inputs: &[&str], outputs: &[&str], attribute: Vec<AttributeProto>) -> NodeProto {
    NodeProto {
        input: inputs.iter().map(ToString::to_string).collect(),
        output: outputs.iter().map(ToString::to_string).collect(),
        name: String::new(),
        op_type: op.into(),
        attribute,
        domain: domain.into(),
    }
}

pub fn model(node: Vec<NodeProto>, input: Vec<ValueInfoProto>, output: Vec<ValueInfoProto>) -> ModelProto {
    ModelProto {
        graph: Some(GraphProto { node, input, output, ..Default::default() }),
        opset_import: vec![OperatorSetIdProto { domain: "ai.onnx.ml".into(), version: 3 }],
        ..Default::default()
    }
}

/// Three classes over two features: two trees, the first with two branches, in the shape
///
/// ```text
/// tree 0:  0 -> (1 -> (3, 4), 2)      tree 1:  0 -> (1, 2)
/// ```
pub fn classifier() -> ModelProto {
    let attributes = vec![
        ints("nodes_treeids", vec![0, 0, 0, 0, 0, 1, 1, 1]),
        ints("nodes_nodeids", vec![0, 1, 2, 3, 4, 0, 1, 2]),
        ints("nodes_featureids", vec![0, 1, 0, 0, 0, 1, 0, 0]),
        texts("nodes_modes", &["BRANCH_LT", "BRANCH_LT", "LEAF", "LEAF", "LEAF", "BRANCH_LT", "LEAF", "LEAF"]),
        floats("nodes_values", vec![0.5, -0.5, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0]),
        ints("nodes_truenodeids", vec![1, 3, 0, 0, 0, 1, 0, 0]),
        ints("nodes_falsenodeids", vec![2, 4, 0, 0, 0, 2, 0, 0]),
        ints("nodes_missing_value_tracks_true", vec![0, 1, 0, 0, 0, 0, 0, 0]),
        ints("class_treeids", vec![0, 0, 0, 1, 1]),
        ints("class_nodeids", vec![2, 3, 4, 1, 2]),
        ints("class_ids", vec![0, 1, 2, 0, 1]),
        floats("class_weights", vec![0.25, -0.5, 1.0, 0.125, 2.0]),
        ints("classlabels_int64s", vec![0, 1, 2]),
        text("post_transform", "SOFTMAX"),
    ];
    let tree = node("ai.onnx.ml", "TreeEnsembleClassifier", &["x"], &["label", "scores"], attributes);
    let outputs = vec![value("label", element::INT64, None), value("scores", element::FLOAT, Some(3))];
    model(vec![tree], vec![value("x", element::FLOAT, Some(2))], outputs)
}

pub fn bytes(model: &ModelProto) -> Vec<u8> {
    model.encode_to_vec()
}
