//! Mutants of all fixtures and bombs made by hand: each is refused or scores within the limits, and none panics.

use super::build::{self, int, ints, node, text, value};
use super::exports::fixtures;
use crate::Model;
use crate::onnx::{GraphProto, ModelProto, NodeProto, TensorProto, element};
use arrow::array::Array;
use dataflow::Scorer;
use prost::Message;
use std::path::Path;

/// Rows of a mutant; more than a block.
const ROWS: usize = 70;

/// Random numbers from a seed.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 33
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }

    fn number(&mut self) -> i64 {
        [0, 1, -1, 2, 7, 64, 1 << 20, 1 << 31, 1 << 32, 1 << 62, i64::MAX, i64::MIN, -2][self.below(13)]
    }

    fn real(&mut self) -> f32 {
        [0.0, 1.0, -1.0, f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX, 1e-45][self.below(8)]
    }
}

/// Loads a file; one that loads must score rows of whatever types it takes. Says whether it did.
fn try_out(bytes: Vec<u8>) -> bool {
    let Ok(model) = Model::from_bytes("mutant", bytes) else { return false };
    let Ok(scorer) = model.select_all() else { return false };
    assert_eq!(scorer.score(&model.probe(ROWS)).unwrap().len(), ROWS);
    true
}

/// Changes one thing in a model that decodes.
fn mutate(model: &mut ModelProto, dice: &mut Dice) {
    let Some(graph) = &mut model.graph else { return };
    let (nodes, tensors) = (graph.node.len(), graph.initializer.len());
    let names: Vec<String> = graph.node.iter().flat_map(|node| node.output.clone()).collect();
    match dice.below(9) {
        0 if nodes > 1 => {
            let (one, other) = (dice.below(nodes), dice.below(nodes));
            graph.node.swap(one, other);
        }
        1 => drop(graph.node.remove(dice.below(nodes))),
        2 => {
            let node = &mut graph.node[dice.below(nodes)];
            let at = dice.below(node.input.len());
            if let Some(input) = node.input.get_mut(at) {
                *input = names[dice.below(names.len())].clone();
            }
        }
        3 if tensors > 0 => {
            let tensor = &mut graph.initializer[dice.below(tensors)];
            tensor.dims = (0..dice.below(4)).map(|_| dice.number()).collect();
        }
        4 if tensors > 0 => {
            let tensor = &mut graph.initializer[dice.below(tensors)];
            let at = dice.below(tensor.int64_data.len());
            match tensor.int64_data.get_mut(at) {
                Some(number) => *number = dice.number(),
                None => tensor.data_type = [1, 6, 7, 8, 9, 11, 10][dice.below(7)],
            }
        }
        5 => {
            let other = graph.node[dice.below(nodes)].clone();
            let node = &mut graph.node[dice.below(nodes)];
            (node.op_type, node.domain) = (other.op_type, other.domain);
        }
        _ => attribute(&mut graph.node[dice.below(nodes)], dice),
    }
}

fn attribute(node: &mut NodeProto, dice: &mut Dice) {
    let at = dice.below(node.attribute.len());
    let Some(attribute) = node.attribute.get_mut(at) else { return };
    let list = attribute.ints.len().max(attribute.floats.len()).max(attribute.strings.len());
    let place = dice.below(list);
    match dice.below(4) {
        0 => {
            attribute.ints.truncate(place);
            attribute.floats.truncate(place);
            attribute.strings.truncate(place);
        }
        1 => attribute.i = dice.number(),
        _ if !attribute.ints.is_empty() => attribute.ints[place] = dice.number(),
        _ if !attribute.floats.is_empty() => attribute.floats[place] = dice.real(),
        _ if !attribute.strings.is_empty() => attribute.strings.swap(0, place),
        _ => attribute.i = dice.number(),
    }
}

#[test]
fn mutants_are_refused_or_score() {
    let (mut tried, mut scored) = (0, 0);
    // No exporter writes this form of trees yet.
    let newest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/corpora/onnx/tree_ensemble.onnx");
    let files = fixtures().into_iter().map(|fixture| fixture.path()).chain(std::iter::repeat_n(newest, 20));
    for (at, path) in files.enumerate() {
        let bytes = std::fs::read(path).unwrap();
        let mut dice = Dice(at as u64);
        for _ in 0..4 {
            let mut mutant = bytes.clone();
            for _ in 0..=dice.below(4) {
                let at = dice.below(mutant.len());
                mutant[at] = dice.next() as u8;
            }
            scored += usize::from(try_out(mutant));
            let mut model = ModelProto::decode(bytes.as_slice()).unwrap();
            for _ in 0..=dice.below(3) {
                if model.graph.as_ref().is_some_and(|graph| !graph.node.is_empty()) {
                    mutate(&mut model, &mut dice);
                }
            }
            scored += usize::from(try_out(build::bytes(&model)));
            tried += 2;
        }
    }
    // Most byte mutants hit a number of a tree or a name, so that both outcomes are common.
    assert!(tried > 1000 && scored > 100 && tried - scored > 100, "{scored} of {tried} scored");
}

fn shape(name: &str, sizes: &[i64]) -> TensorProto {
    TensorProto {
        name: name.into(),
        data_type: element::INT64,
        dims: vec![sizes.len() as i64],
        int64_data: sizes.to_vec(),
        ..Default::default()
    }
}

/// A graph from `x`, which has two features, to `y`.
fn graph(nodes: Vec<NodeProto>, tensors: Vec<TensorProto>) -> ModelProto {
    let output = value("y", element::FLOAT, Some(1));
    let mut model = build::model(nodes, vec![value("x", element::FLOAT, Some(2))], vec![output]);
    let graph: &mut GraphProto = model.graph.as_mut().unwrap();
    graph.initializer = tensors;
    model
}

fn refused(model: &ModelProto, words: &str) {
    let message = Model::from_bytes("bomb", build::bytes(model)).unwrap_err().to_string();
    assert!(message.contains(words), "expected {words:?} in: {message}");
}

#[test]
fn bombs_are_refused_before_they_are_made() {
    let of = |op: &str, sizes: &[i64]| graph(vec![node("", op, &["x", "s"], &["y"], vec![])], vec![shape("s", sizes)]);
    let constant =
        |sizes: &[i64]| graph(vec![node("", "ConstantOfShape", &["s"], &["y"], vec![])], vec![shape("s", sizes)]);
    let many = "more than 16777216 numbers, expected";
    refused(&constant(&[1 << 40]), many);
    // The products are 0 and 4 in 64 bits.
    refused(&constant(&[1 << 32, 1 << 32]), many);
    refused(&constant(&[(1 << 62) + 1, 4]), many);
    refused(&constant(&[-1]), "a dimension is -1, expected a size");
    refused(&of("Expand", &[1 << 30, 2]), many);
    refused(&of("Expand", &[i64::MAX, 2]), many);
    refused(&of("Reshape", &[1 << 32, 1 << 32, -1]), "expected one -1 and sizes");
    refused(&of("Reshape", &[-1, -1]), "expected one -1 and sizes");
    refused(&of("Reshape", &[i64::MIN]), "expected one -1 and sizes");
    let second = vec![int("axis", 1)];
    let gather =
        |index| graph(vec![node("", "Gather", &["x", "s"], &["y"], second.clone())], vec![shape("s", &[index])]);
    refused(&gather(5), "index 5 is out of range");
    refused(&gather(i64::MIN), "is out of range");
    let other_rows = "a score would depend on other rows";
    refused(&graph(vec![node("", "Gather", &["x", "s"], &["y"], vec![])], vec![shape("s", &[0])]), other_rows);
    refused(&graph(vec![node("", "ReduceSum", &["x"], &["y"], vec![])], vec![]), other_rows);
    refused(&graph(vec![node("", "Softmax", &["x"], &["y"], vec![int("axis", 0)])], vec![]), other_rows);
    let widened = vec![int("axis", 1)];
    let categories =
        node("ai.onnx.ml", "OneHotEncoder", &["x"], &["y"], vec![ints("cats_int64s", (0..99_999).collect())]);
    refused(&graph(vec![categories], vec![]), "more than 131072 numbers in memory");
    let nodes = vec![node("", "Expand", &["x", "s"], &["a"], vec![]), node("", "Concat", &["a"; 9], &["y"], widened)];
    refused(&graph(nodes, vec![shape("s", &[1 << 20, 1, 2])]), many);
}

#[test]
fn windows_over_many_places_are_counted_before_they_are_listed() {
    let pool = |op: &str, sizes: &[i64], attributes| {
        let nodes = vec![
            node("", "Unsqueeze", &["x", "two"], &["a"], vec![]),
            node("", "Expand", &["a", "s"], &["b"], vec![]),
            node("", op, &["b"], &["c"], attributes),
            node("", "ReduceSum", &["c", "two"], &["y"], vec![int("keepdims", 0)]),
        ];
        graph(nodes, vec![shape("two", &[2]), shape("s", sizes)])
    };
    let wide = || vec![ints("kernel_shape", vec![1024])];
    refused(&pool("MaxPool", &[1, 2, 1 << 20], wide()), "more than 16777216 numbers, expected");
    let padded = || vec![ints("kernel_shape", vec![1024]), ints("pads", vec![1023, 1023]), int("count_include_pad", 1)];
    refused(&pool("AveragePool", &[1, 2, 10_000], padded()), "more than 16777216 numbers, expected");
    // Each is small enough, and all together are not.
    let mut model = pool("MaxPool", &[1, 2, 2000], wide());
    let nodes = &mut model.graph.as_mut().unwrap().node;
    let names: Vec<String> = (0..20).map(|at| format!("c{at}")).collect();
    let again = |name: &String| node("", "MaxPool", &["b"], &[name], wide());
    let all: Vec<&str> = names.iter().map(String::as_str).collect();
    let sum = node("", "Sum", &all, &["c"], vec![]);
    nodes.splice(2..3, names.iter().map(again).chain([sum]));
    refused(&model, "more than 33554432 numbers together");
}

#[test]
fn a_table_is_there_once_however_many_steps_look_into_it() {
    let place = node("", "Cast", &["x"], &["p"], vec![int("to", i64::from(element::INT64))]);
    let look_up = |at: usize| node("", "Gather", &["w", "p"], &[&format!("g{at}")], vec![]);
    let names: Vec<String> = (0..100).map(|at| format!("g{at}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let nodes = [place].into_iter().chain((0..100).map(look_up)).chain([node("", "Sum", &names, &["y"], vec![])]);
    let table = TensorProto {
        name: "w".into(),
        data_type: element::FLOAT,
        dims: vec![1 << 20],
        float_data: vec![0.5; 1 << 20],
        ..Default::default()
    };
    let mut model = graph(nodes.collect(), vec![table]);
    model.graph.as_mut().unwrap().output = vec![value("y", element::FLOAT, Some(2))];
    assert!(try_out(build::bytes(&model)));
}

#[test]
fn nothing_is_calculated_over_no_numbers() {
    let none = |sizes: &[i64]| TensorProto {
        name: "w".into(),
        data_type: element::FLOAT,
        dims: sizes.to_vec(),
        float_data: vec![0.0; sizes.iter().product::<i64>() as usize],
        ..Default::default()
    };
    let lists = || vec![shape("zero", &[0]), shape("one", &[1])];
    let cut = || node("", "Slice", &["x", "zero", "zero", "one"], &["a"], vec![]);
    let of = |op: &str, inputs: &[&str], attributes, weights: &[i64]| {
        let tensors = lists().into_iter().chain([none(weights)]).collect();
        graph(vec![cut(), node("", op, inputs, &["y"], attributes)], tensors)
    };
    let is_refused = |model: &ModelProto| Model::from_bytes("none", build::bytes(model)).is_err();
    for op in ["ReduceMean", "ReduceMax", "Softmax", "LogSoftmax", "Identity", "Relu", "CumSum", "ArgMax"] {
        assert!(is_refused(&of(op, &["a"], vec![], &[1])), "{op}");
    }
    refused(&of("MatMul", &["a", "w"], vec![], &[0, 3]), "which have no numbers to sum");
    refused(&of("Gemm", &["a", "w"], vec![int("transB", 1)], &[3, 0]), "which have no numbers to sum");
    assert!(is_refused(&of("Conv", &["a", "w"], vec![text("auto_pad", "SAME_UPPER")], &[1, 2, 1])));
    for op in ["LSTM", "GRU"] {
        assert!(is_refused(&of(op, &["a", "w", "w"], vec![int("hidden_size", 1)], &[1, 4, 1])), "{op}");
    }
    let wide = of("LSTM", &["x", "w", "w"], vec![int("hidden_size", 1 << 62)], &[1, 4, 1]);
    assert!(is_refused(&wide));
    // A dimension of 0 makes no number of a tensor, and does not excuse the others.
    refused(
        &graph(vec![node("", "Expand", &["x", "s"], &["y"], vec![])], vec![shape("s", &[0, 1 << 62, 2])]),
        "more than 16777216",
    );
}

#[test]
fn more_columns_than_a_model_may_give_are_counted_before_they_are_named() {
    let (x, y) = (value("x", element::FLOAT, Some(1)), value("y", element::FLOAT, None));
    let mut model = build::model(vec![node("", "Expand", &["x", "s"], &["y"], vec![])], vec![x], vec![y]);
    model.graph.as_mut().unwrap().initializer = vec![shape("s", &[1, 1 << 20])];
    refused(&model, "more than 16384 columns");
}

#[test]
fn chains_and_rings_of_nodes() {
    let name = |at: usize| if at == 0 { "x".to_string() } else { format!("n{at}") };
    let chain = |count: usize| {
        let link = |at: usize| {
            let output = if at + 1 == count { "y".to_string() } else { name(at + 1) };
            node("", "Relu", &[&name(at)], &[&output], vec![])
        };
        let mut model = graph((0..count).map(link).collect(), vec![]);
        model.graph.as_mut().unwrap().output = vec![value("y", element::FLOAT, Some(2))];
        model
    };
    assert!(try_out(build::bytes(&chain(10_000))), "a long chain scores");
    refused(&chain(100_000), "a row needs more than 131072 numbers in memory");
    refused(&chain(100_001), "the graph has 100001 nodes, expected at most 100000");
    let ring = vec![node("", "Add", &["x", "b"], &["a"], vec![]), node("", "Relu", &["a"], &["b"], vec![])];
    refused(&graph(ring, vec![]), "input \"b\" is neither an input of the model nor an output of an earlier node");
    // Each node doubles what a row costs.
    let double = |at: usize| {
        let output = if at == 39 { "y".to_string() } else { name(at + 1) };
        node("", "Concat", &[&name(at), &name(at)], &[&output], vec![int("axis", 1)])
    };
    refused(&graph((0..40).map(double).collect(), vec![]), "more than 16777216 numbers, expected");
}

/// A file may claim a length that it does not have.
#[test]
fn claims_of_gigabytes() {
    let claim = |field: u8| {
        let mut bytes = vec![0x3a];
        let mut tensor = vec![field];
        prost::encoding::encode_varint(2 << 30, &mut tensor);
        prost::encoding::encode_varint(tensor.len() as u64, &mut bytes);
        bytes.extend(tensor);
        bytes
    };
    for field in [0x0a, 0x2a, 0x4a, 0x5a] {
        let message = Model::from_bytes("claim", claim(field)).unwrap_err().to_string();
        assert!(message.contains("a field reaches beyond the end"), "{message}");
    }
    let tensor = TensorProto { name: "w".into(), data_type: element::FLOAT, dims: vec![1 << 31], ..Default::default() };
    refused(&graph(vec![], vec![tensor]), "dimensions [2147483648] for 0 numbers");
}
