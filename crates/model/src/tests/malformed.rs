//! Broken files are refused with a message that says what is wrong, and none of them panics or hangs.

use super::agreement::fixture;
use super::build::{self, classifier, ints, node, value};
use crate::Model;
use crate::onnx::{ModelProto, NodeProto, StringStringEntryProto, TensorProto, element};
use dataflow::ErrorKind;
use proptest::prelude::*;
use prost::bytes::Bytes;

fn refusal(bytes: Vec<u8>) -> String {
    let error = Model::from_bytes("spam", bytes).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    error.to_string()
}

/// Changes a valid model, and expects it to be refused with all of these words.
fn refused(change: impl FnOnce(&mut ModelProto), words: &[&str]) {
    let mut model = classifier();
    change(&mut model);
    let message = refusal(build::bytes(&model));
    assert!(message.starts_with("model \"spam\": "), "{message}");
    for word in words {
        assert!(message.contains(word), "expected {word:?} in: {message}");
    }
}

fn tree(model: &mut ModelProto) -> &mut NodeProto {
    &mut model.graph.as_mut().unwrap().node[0]
}

/// Changes one attribute of the tree node.
fn attribute(name: &str, change: impl FnOnce(&mut crate::onnx::AttributeProto)) -> impl FnOnce(&mut ModelProto) {
    move |model| {
        let attributes = &mut tree(model).attribute;
        change(attributes.iter_mut().find(|attribute| attribute.name == name).unwrap());
    }
}

fn set_int(name: &str, at: usize, to: i64) -> impl FnOnce(&mut ModelProto) {
    attribute(name, move |attribute| attribute.ints[at] = to)
}

const NODE: &str = "node 0 (TreeEnsembleClassifier): ";

#[test]
fn the_model_that_is_broken_below_is_valid() {
    let model = Model::from_bytes("spam", build::bytes(&classifier())).unwrap();
    assert_eq!(model.outputs().len(), 4);
}

#[test]
fn trees_that_are_no_trees() {
    refused(set_int("nodes_truenodeids", 1, 0), &[NODE, "tree 0: 4 of 5 nodes are not reached", "form a cycle"]);
    refused(
        attribute("nodes_modes", |attribute| attribute.strings[1] = Bytes::from_static(b"LEAF")),
        &["tree 0 has two roots, nodes 0 and 3, expected one"],
    );
    refused(set_int("nodes_truenodeids", 0, 99), &["tree 0 node 0: true child 99 is not a node of the tree"]);
    refused(set_int("nodes_falsenodeids", 0, -1), &["tree 0 node 0: false child -1 is not a node of the tree"]);
    refused(set_int("nodes_falsenodeids", 0, i64::MIN), &["false child -9223372036854775808 is not a node"]);
    refused(set_int("nodes_falsenodeids", 1, 2), &["tree 0 node 1: child 2 is a child of another branch too"]);
    refused(set_int("nodes_falsenodeids", 1, 3), &["tree 0 node 1: child 3 is a child of another branch too"]);
    refused(set_int("nodes_nodeids", 4, 3), &["tree 0 has two nodes with the id 3"]);
    refused(
        |model| {
            set_int("nodes_treeids", 4, 7)(model);
            set_int("class_treeids", 2, 7)(model);
        },
        &["tree 0 node 1: false child 4 is not a node of the tree"],
    );
}

/// Removes what is said of the fifth node.
fn cut<T>(list: &mut Vec<T>) {
    if !list.is_empty() {
        list.remove(4);
    }
}

/// Four nodes with four children: 0 -> (1, 2), 1 -> (3, 0).
#[test]
fn a_cycle_through_the_first_node() {
    refused(
        |model| {
            set_int("nodes_falsenodeids", 1, 0)(model);
            for attribute in &mut tree(model).attribute {
                if attribute.name.starts_with("nodes_") {
                    cut(&mut attribute.ints);
                    cut(&mut attribute.floats);
                    cut(&mut attribute.strings);
                }
            }
            set_int("class_nodeids", 2, 3)(model);
        },
        &[NODE, "tree 0 has no root: every node has a parent, so there is a cycle"],
    );
}

/// A root of its own beside a ring of branches, in which each node has one parent.
#[test]
fn a_cycle_beside_the_tree() {
    refused(
        |model| {
            set_int("nodes_truenodeids", 0, 2)(model);
            set_int("nodes_falsenodeids", 0, 3)(model);
            set_int("nodes_truenodeids", 1, 1)(model);
            set_int("nodes_falsenodeids", 1, 4)(model);
        },
        &["tree 0: 2 of 5 nodes are not reached from the root, they form a cycle"],
    );
}

#[test]
fn lists_that_do_not_agree() {
    refused(
        attribute("nodes_values", |attribute| attribute.floats.truncate(7)),
        &[NODE, "attribute \"nodes_values\" has 7 entries, expected 8 as \"nodes_treeids\" has"],
    );
    refused(
        attribute("nodes_missing_value_tracks_true", |attribute| attribute.ints.truncate(7)),
        &["\"nodes_missing_value_tracks_true\" has 7 entries, expected 8"],
    );
    refused(
        attribute("class_weights", |attribute| attribute.floats.push(1.0)),
        &["attribute \"class_weights\" has 6 entries, expected 5 as \"class_ids\" has"],
    );
    refused(attribute("nodes_treeids", |attribute| attribute.ints.clear()), &["\"nodes_treeids\" has 0 entries"]);
}

#[test]
fn entries_that_are_out_of_range() {
    refused(
        attribute("nodes_modes", |attribute| attribute.strings[1] = Bytes::from_static(b"BRANCH_MEMBER")),
        &["\"nodes_modes\": entry 1 is \"BRANCH_MEMBER\", expected LEAF or BRANCH_LT"],
    );
    refused(set_int("class_ids", 2, 3), &["vote 2 of \"class_ids\": id 3, expected 0 to 2"]);
    refused(set_int("class_ids", 2, -1), &["vote 2 of \"class_ids\": id -1, expected 0 to 2"]);
    refused(set_int("class_nodeids", 0, 1), &["vote 0", "tree 0 node 1 is a branch, expected a leaf"]);
    refused(set_int("class_treeids", 0, 5), &["vote 0", "tree 5 has no node 2, expected a leaf"]);
    refused(set_int("nodes_featureids", 1, 2), &["tree 0 node 1: feature 2, expected 0 to 1 (the input's columns)"]);
    refused(set_int("nodes_featureids", 1, i64::MAX), &["tree 0 node 1: feature 9223372036854775807"]);
    refused(
        set_int("nodes_missing_value_tracks_true", 1, 2),
        &["tree 0 node 1: \"nodes_missing_value_tracks_true\" is 2, expected 0 or 1"],
    );
    refused(
        attribute("nodes_values", |attribute| attribute.floats[5] = f32::NAN),
        &["attribute \"nodes_values\": entry 5 is NaN, expected a number"],
    );
    refused(
        attribute("class_weights", |attribute| attribute.floats[0] = f32::INFINITY),
        &["attribute \"class_weights\": entry 0 is inf, expected a finite number"],
    );
}

#[test]
fn settings_that_are_unknown() {
    refused(
        attribute("post_transform", |attribute| attribute.s = Bytes::from_static(b"PROBIT")),
        &["attribute \"post_transform\" is \"PROBIT\", expected NONE, LOGISTIC, SOFTMAX or SOFTMAX_ZERO"],
    );
    refused(
        |model| tree(model).attribute.push(build::floats("base_values", vec![0.5; 2])),
        &["attribute \"base_values\" has 2 entries, expected 0 or 3"],
    );
    refused(
        |model| tree(model).attribute.push(ints("base_values", vec![1; 3])),
        &["attribute \"base_values\" is ints, expected floats"],
    );
    refused(
        |model| tree(model).attribute.push(ints("nodes_values_as_tensor", vec![])),
        &["attribute \"nodes_values_as_tensor\" is ints, expected a tensor"],
    );
    refused(|model| tree(model).attribute.push(ints("class_ids", vec![])), &["attribute \"class_ids\" is there twice"]);
    refused(
        attribute("classlabels_int64s", |attribute| attribute.ints = vec![1, 2, 1]),
        &["class label \"1\" is there twice"],
    );
    refused(attribute("classlabels_int64s", |attribute| attribute.ints = vec![1]), &["has 1 class labels, expected 2"]);
}

#[test]
fn graphs_that_cannot_run() {
    let graph =
        |change: fn(&mut crate::onnx::GraphProto)| move |model: &mut ModelProto| change(model.graph.as_mut().unwrap());
    refused(
        graph(|graph| graph.node[0].op_type = "Loop".into()),
        &["node 0 (Loop): operator \"Loop\" of \"ai.onnx.ml\" is not supported, expected one of ArrayFeatureExtractor"],
    );
    refused(
        graph(|graph| graph.node[0].op_type = "TreeEnsemble".into()),
        &[
            "node 0 (TreeEnsemble): attribute \"nodes_",
            "is not supported, expected one of aggregate_function, leaf_targetids",
        ],
    );
    refused(
        graph(|graph| graph.node[0].input[0] = "y".into()),
        &["input \"y\" is neither an input of the model nor an output of an earlier node"],
    );
    refused(
        graph(|graph| graph.node.insert(0, node("", "Identity", &["scores"], &["again"], vec![]))),
        &["node 0 (Identity): input \"scores\" is neither an input of the model nor an output of an earlier node"],
    );
    refused(
        graph(|graph| graph.node.push(node("", "Identity", &["x"], &["scores"], vec![]))),
        &["node 1 (Identity): \"scores\" is defined twice"],
    );
    refused(graph(|graph| graph.input.clear()), &["the graph has no inputs"]);
    refused(graph(|graph| graph.output.clear()), &["the graph has no outputs"]);
    refused(graph(|graph| graph.output[0].name = "other".into()), &["output \"other\": no node gives it"]);
    refused(
        graph(|graph| graph.output[0] = value("label", element::STRING, None)),
        &["output \"label\": is declared string, expected int64"],
    );
    refused(|model| model.graph = None, &["the file has no graph, expected an ONNX model"]);
    refused(
        |model| model.opset_import[0].domain = "com.example".into(),
        &["operator set \"com.example\" is unknown, expected ai.onnx and ai.onnx.ml"],
    );
    refused(|model| model.opset_import[0].version = 99, &["operator set ai.onnx.ml has version 99, expected 1 to 5"]);
    refused(|model| model.functions.push(Bytes::from_static(b"")), &["defines functions of its own"]);
}

#[test]
fn a_refusal_names_the_exporter_and_what_helps() {
    let by = |op: &'static str, domain: &'static str| {
        move |model: &mut ModelProto| {
            (model.producer_name, model.producer_version) = ("skl2onnx".into(), "1.20.0".into());
            let node = &mut model.graph.as_mut().unwrap().node[0];
            (node.op_type, node.domain, node.name) = (op.into(), domain.into(), "words".into());
        }
    };
    refused(
        by("DictVectorizer", "ai.onnx.ml"),
        &[
            "node 0 \"words\" (DictVectorizer): operator \"DictVectorizer\" of \"ai.onnx.ml\" is not supported",
            "(made by skl2onnx 1.20.0; give the model columns instead of maps: export the pipeline without DictVectorizer)",
        ],
    );
    refused(by("Scan", ""), &["made by skl2onnx 1.20.0; nearest neighbours, Gaussian processes"]);
    refused(by("Gelu", "com.microsoft"), &["operator \"Gelu\" of \"com.microsoft\" is not supported"]);
}

#[test]
fn a_refusal_of_the_file_names_the_exporter_and_its_option() {
    for (maker, option) in [
        ("pytorch", "(made by pytorch 2; export with dynamic_shapes="),
        ("tf2onnx", "(made by tf2onnx 2; export with TensorSpec((None, ..))"),
        ("skl2onnx", "(made by skl2onnx 2; export with a first size of None)"),
    ] {
        let fixed = |model: &mut ModelProto| {
            (model.producer_name, model.producer_version) = (maker.into(), "2".into());
            let input = &mut model.graph.as_mut().unwrap().input[0];
            let shape = input.r#type.as_mut().unwrap().tensor_type.as_mut().unwrap().shape.as_mut().unwrap();
            shape.dim[0].dim_value = Some(32);
        };
        refused(fixed, &["input \"x\": has a batch of exactly 32 rows", option]);
    }
}

#[test]
fn inputs_of_a_wrong_type_or_shape() {
    let input = |input| move |model: &mut ModelProto| model.graph.as_mut().unwrap().input[0] = input;
    refused(input(value("x", element::STRING, Some(2))), &["of a tensor of string of shape [rows, 2] to float is not"]);
    refused(input(value("x", element::FLOAT, None)), &["input \"x\": does not say how many features it has"]);
    refused(
        input(value("x", element::FLOAT, Some(1 << 60))),
        &["input \"x\": has 1152921504606846976 features, expected 1 to 65536"],
    );
    refused(input(value("x", element::FLOAT, Some(-1))), &["input \"x\": has -1 features"]);
    refused(
        |model| {
            let input = &mut model.graph.as_mut().unwrap().input[0];
            let shape = input.r#type.as_mut().unwrap().tensor_type.as_mut().unwrap().shape.as_mut().unwrap();
            shape.dim.push(Default::default());
        },
        &["input \"x\": has an open dimension beside the rows, expected sequences of one length"],
    );
    refused(|model| model.graph.as_mut().unwrap().input[0].r#type = None, &["input \"x\": is not a tensor"]);
}

#[test]
fn tensors_that_lie_about_their_data() {
    let tensor =
        |tensor: TensorProto| move |model: &mut ModelProto| model.graph.as_mut().unwrap().initializer.push(tensor);
    let float = TensorProto { name: "w".into(), data_type: element::FLOAT, ..Default::default() };
    let location = StringStringEntryProto { key: "location".into(), value: "../../etc/passwd".into() };
    refused(
        tensor(TensorProto { external_data: vec![location], data_location: 1, ..float.clone() }),
        &["initializer \"w\": its data is in another file, expected a model in one file"],
    );
    refused(
        tensor(TensorProto { dims: vec![1 << 40, 1 << 40], float_data: vec![1.0], ..float.clone() }),
        &["initializer \"w\": dimensions [1099511627776, 1099511627776] for 1 numbers"],
    );
    refused(
        tensor(TensorProto { dims: vec![1 << 33], ..float.clone() }),
        &["initializer \"w\": dimensions [8589934592] for 0 numbers"],
    );
    refused(tensor(TensorProto { dims: vec![-1], ..float.clone() }), &["dimensions [-1] for 0 numbers"]);
    refused(
        tensor(TensorProto { dims: vec![1], raw_data: Bytes::from_static(b"abcde"), ..float }),
        &["initializer \"w\": 5 bytes of data, expected floats of 4 bytes"],
    );
}

#[test]
fn metadata_that_does_not_fit() {
    let with = |key: &str, value: &str| {
        let entry = StringStringEntryProto { key: key.into(), value: value.into() };
        move |model: &mut ModelProto| model.metadata_props.push(entry)
    };
    refused(with("riverrun.inputs", "[\"a\", \"b\", \"c\"]"), &["\"riverrun.inputs\" lists 3 names, expected 2"]);
    refused(with("riverrun.inputs", "[\"a\", \"a\"]"), &["\"riverrun.inputs\" lists \"a\" twice"]);
    refused(with("riverrun.inputs", "{"), &["\"riverrun.inputs\" is not a JSON list of names"]);
    let long = " ".repeat((8 << 20) + 1);
    refused(with("riverrun.samples", &long), &["metadata \"riverrun.samples\" is longer than 8 MiB"]);
    refused(with("riverrun.input", "[]"), &["metadata \"riverrun.input\" is unknown, expected riverrun.inputs"]);
    refused(
        with("riverrun.samples", "{\"rows\": [[1, 2, 3]], \"scores\": [0.5]}"),
        &["metadata \"riverrun.samples\": row 0 has 3 values, expected 2"],
    );
    refused(with("riverrun.samples", "{\"rows\": []}"), &["\"riverrun.samples\": \"scores\" is not there"]);
    refused(
        with("riverrun.samples", "{\"rows\": [[1, 2], [\"2\", 3]], \"scores\": [0.5, 0.5]}"),
        &["column 0 has \"2\", expected values of one kind"],
    );
}

#[test]
fn files_that_are_no_models() {
    assert_eq!(refusal(Vec::new()), "model \"spam\": the file is empty, expected an ONNX model");
    let pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n".to_vec();
    assert!(refusal(pointer).contains("the file is a Git LFS pointer"));
    assert!(refusal(b"<!DOCTYPE html><html></html>".to_vec()).contains("not an ONNX model"));
    assert!(refusal(vec![0xff; 100]).contains("not an ONNX model"));
    let whole = std::fs::read(fixture("binary.onnx")).unwrap();
    let half = whole[..whole.len() / 2].to_vec();
    assert!(refusal(half).contains("the file is truncated or not an ONNX model"));
    let error = Model::load("spam", &fixture("nothing.onnx")).unwrap_err();
    assert!(error.to_string().contains("nothing.onnx): there is no such file"), "{error}");
    let error = Model::load("spam", &fixture("")).unwrap_err();
    assert!(error.to_string().contains("is not a file, expected an ONNX model"), "{error}");
}

/// Two bytes of the file would each ask for hundreds of bytes of memory.
#[test]
fn a_small_file_that_decodes_into_much_is_refused_before_it_is_decoded() {
    let attributes = [0x2a, 0x00].repeat(8 << 20);
    let nested = |field: u8, inside: Vec<u8>| {
        let mut bytes = vec![field];
        prost::encoding::encode_varint(inside.len() as u64, &mut bytes);
        bytes.extend(inside);
        bytes
    };
    let file = nested(0x3a, nested(0x0a, attributes));
    assert!(refusal(file).contains("the model needs more than 1024 MiB once decoded"));
}

/// A million branches in a row: no recursion, and no walk of a million steps for each row.
#[test]
fn a_chain_of_a_million_branches_is_refused() {
    let chain = 1_000_000i64;
    let nodes = 2 * chain + 1;
    let branch = |id: i64| id % 2 == 0 && id < nodes - 1;
    let children = |beside: i64| (0..nodes).map(|id| if branch(id) { id + beside } else { 0 }).collect();
    let modes: Vec<&str> = (0..nodes).map(|id| if branch(id) { "BRANCH_LT" } else { "LEAF" }).collect();
    let leaves: Vec<i64> = (0..nodes).filter(|id| !branch(*id)).collect();
    let mut model = classifier();
    tree(&mut model).attribute = vec![
        ints("nodes_treeids", vec![0; nodes as usize]),
        ints("nodes_nodeids", (0..nodes).collect()),
        ints("nodes_featureids", vec![0; nodes as usize]),
        build::texts("nodes_modes", &modes),
        build::floats("nodes_values", vec![0.0; nodes as usize]),
        ints("nodes_truenodeids", children(1)),
        ints("nodes_falsenodeids", children(2)),
        ints("class_treeids", vec![0; leaves.len()]),
        ints("class_ids", vec![0; leaves.len()]),
        build::floats("class_weights", vec![1.0; leaves.len()]),
        ints("class_nodeids", leaves),
        ints("classlabels_int64s", vec![0, 1, 2]),
    ];
    let message = refusal(build::bytes(&model));
    assert!(message.contains("tree 0 is deeper than 1000 branches"), "{message}");
}

#[test]
fn ensembles_beyond_the_bound() {
    refused(
        |model| {
            let graph = model.graph.as_mut().unwrap();
            for at in 0..1024 {
                let mut node = graph.node[0].clone();
                node.output = vec![format!("label {at}"), format!("scores {at}")];
                graph.node.push(node);
            }
        },
        &["node 1024 (TreeEnsembleClassifier): is one ensemble too many, expected at most 1024 in a graph"],
    );
}

/// Each Concat doubles the columns of the one before it.
#[test]
fn columns_that_double_at_every_node_are_refused() {
    refused(
        |model| {
            let names: Vec<String> = (0..60).map(|at| format!("c{at}")).collect();
            let mut last = "x";
            let mut nodes = Vec::new();
            for name in &names {
                nodes.push(node("", "Concat", &[last, last], &[name], vec![build::int("axis", 1)]));
                last = name;
            }
            model.graph.as_mut().unwrap().node.splice(0..0, nodes);
        },
        &["(Concat): a tensor has more than 16777216 numbers"],
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn flipped_bytes_never_panic(flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6)) {
        let mut bytes = build::bytes(&classifier());
        for (at, to) in flips {
            let at = at.index(bytes.len());
            bytes[at] = to;
        }
        score_if_valid(bytes);
    }

    #[test]
    fn flipped_bytes_of_an_exported_file_never_panic(at in any::<prop::sample::Index>(), to in any::<u8>()) {
        let mut bytes = EXPORTED.to_vec();
        let at = at.index(bytes.len());
        bytes[at] = to;
        score_if_valid(bytes);
    }

    #[test]
    fn cut_files_never_panic(end in any::<prop::sample::Index>()) {
        let bytes = build::bytes(&classifier());
        score_if_valid(bytes[..end.index(bytes.len())].to_vec());
    }
}

const EXPORTED: &[u8] = include_bytes!("../../tests/fixtures/columns.onnx");

/// Loads what may be broken; what loads must score through each of its outputs.
fn score_if_valid(bytes: Vec<u8>) {
    use arrow::array::{ArrayRef, Float32Array};
    use dataflow::Scorer;
    let Ok(model) = Model::from_bytes("spam", bytes) else { return };
    let column: ArrayRef = std::sync::Arc::new(Float32Array::from(vec![Some(0.0), Some(1.0), None]));
    let inputs = vec![column; model.signature().inputs.len()];
    for selector in [crate::OutputSelector::Label, crate::OutputSelector::Probability { label: "1".into() }] {
        if let Ok(scorer) = model.select(&selector) {
            assert_eq!(scorer.score(&inputs).unwrap().len(), 3);
        }
    }
}
