//! Operators give what the format's own cases expect, and what onnxruntime gives for random graphs.
//! `tests/conformance/make.py` makes the fixtures.

use crate::builder::{Builder, Built};
use crate::dims::{Dim, Dims};
use crate::node::Checked;
use crate::onnx::{ModelProto, TensorProto};
use crate::operators::{self, Operation};
use crate::registers::Registers;
use crate::value::{Cell, Element, Tensor, Value};
use prost::Message;
use serde::Deserialize;
use std::path::Path;

/// Cases that are refused, with what the refusal says. A name that ends in a star stands for all that begin so.
const REFUSED: &[(&str, &str)] = &[
    // No exporter of scorers writes these types.
    ("ai_onnx_ml_label_encoder_tensor_mapping", "element type int16 is not supported"),
    ("ai_onnx_ml_label_encoder_tensor_value_only_mapping", "element type int16 is not supported"),
    ("reduce_max_bool_inputs", "of bool"),
    ("reduce_max_empty_set_bool", "of bool"),
    ("reduce_min_bool_inputs", "of bool"),
    ("top_k_same_values*", "of int64 of shape"),
    // Nothing to reduce: a tensor without numbers comes of a slice that a checked model does not have.
    ("reduce_l1_empty_set", "expected at least one number"),
    ("reduce_l2_empty_set", "expected at least one number"),
    ("reduce_log_sum_empty_set", "expected at least one number"),
    ("reduce_log_sum_exp_empty_set", "expected at least one number"),
    ("reduce_max_empty_set", "expected at least one number"),
    ("reduce_min_empty_set", "expected at least one number"),
    ("reduce_prod_empty_set", "expected at least one number"),
    ("reduce_sum_empty_set", "expected at least one number"),
    ("reduce_sum_square_empty_set", "expected at least one number"),
    // Only weighted medians take sums, from the first on.
    ("cumsum_1d_exclusive", "attribute \"exclusive\" is set"),
    ("cumsum_1d_reverse*", "is set, expected 0"),
    ("cumsum_1d_int32_exclusive", "attribute \"exclusive\" is set"),
    // Exporters of PyTorch and Keras write none of these.
    ("averagepool_2d_ceil*", "attribute \"ceil_mode\" is set"),
    ("averagepool_2d_dilations", "attribute \"ceil_mode\" is set"),
    ("averagepool_3d_dilations_small", "attribute \"ceil_mode\" is set"),
    ("maxpool_2d_ceil*", "attribute \"ceil_mode\" is set"),
    ("maxpool_with_argmax_2d_precomputed_*", "input \"z\" is neither"),
    ("gru_batchwise", "has a layout or a clip"),
    ("gru_seq_length", "expected [steps, rows, numbers]"),
    ("lstm_batchwise", "has a layout or a clip"),
    ("lstm_with_peepholes", "has peepholes or coupled gates"),
    // Texts of one list, of which stopwords take some out: texts of rows are random ones of the exports.
    ("strnormalizer_nostopwords_nochangecase", "expected one text for each row"),
    ("strnormalizer_export_monday_*", "has stopwords"),
    // Three rows that are no rows of a batch: the random graphs and exports have batches.
    ("gru_defaults", "expected [steps, rows, numbers]"),
    ("gru_with_initial_bias", "expected [steps, rows, numbers]"),
    ("lstm_defaults", "expected [steps, rows, numbers]"),
    ("lstm_with_initial_bias", "expected [steps, rows, numbers]"),
];

fn is_listed(name: &str, listed: &str) -> bool {
    match listed.strip_suffix('*') {
        Some(beginning) => name.starts_with(beginning),
        None => name == listed,
    }
}

#[derive(Deserialize)]
struct Cases {
    cases: Vec<Case>,
    left_out: Vec<(String, String)>,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    model: String,
    inputs: Vec<String>,
    outputs: Vec<String>,
    tolerance: f64,
}

fn read(file: &str) -> Cases {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance").join(file);
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn unpack<M: Message + Default>(base64: &str) -> M {
    let digit = |sign: u8| match sign {
        b'A'..=b'Z' => sign - b'A',
        b'a'..=b'z' => sign - b'a' + 26,
        b'0'..=b'9' => sign - b'0' + 52,
        b'+' => 62,
        _ => 63,
    };
    let digits: Vec<u32> = base64.bytes().filter(|sign| *sign != b'=').map(|sign| digit(sign).into()).collect();
    let mut bytes = Vec::new();
    for group in digits.chunks(4) {
        let bits = group.iter().enumerate().fold(0, |bits, (at, digit)| bits | digit << (18 - 6 * at));
        bytes.extend_from_slice(&bits.to_be_bytes()[1..group.len()]);
    }
    M::decode(bytes.as_slice()).unwrap()
}

/// A tensor's numbers as text, so that all types compare alike.
#[derive(Debug, PartialEq)]
struct Shown {
    sizes: Vec<usize>,
    numbers: Vec<f64>,
    texts: Vec<String>,
}

fn shown(built: &Built, tensor: &Tensor, registers: &Registers, rows: usize) -> Shown {
    let mut shown = Shown { sizes: Vec::new(), numbers: Vec::new(), texts: Vec::new() };
    shown.sizes = tensor.dims.list().iter().map(|dim| if *dim == Dim::ROWS { rows } else { dim.cells() }).collect();
    // Rows are the outermost dimension in all graphs that have them.
    for row in 0..rows {
        for cell in tensor.cells.iter() {
            let number = match *cell {
                Cell::Register(register) => match tensor.element {
                    Element::Float => registers.floats[register as usize][row].into(),
                    Element::Double => registers.doubles[register as usize][row],
                    _ => registers.ints[register as usize][row] as f64,
                },
                Cell::Float(number) => number.into(),
                Cell::Double(number) => number,
                Cell::Int(number) => number as f64,
            };
            match tensor.element {
                Element::Text => shown.texts.push(built.texts[number as usize].clone()),
                _ => shown.numbers.push(number),
            }
        }
    }
    shown
}

/// Runs a case: with its inputs as constants, or as rows.
fn run(case: &Case, as_rows: bool) -> Checked<Vec<Shown>> {
    let model: ModelProto = unpack(&case.model);
    let graph = model.graph.as_ref().unwrap();
    let version =
        |domain: &str| model.opset_import.iter().find(|set| set.domain == domain).map_or(1, |set| set.version);
    let (opset, ml_opset) = (version(""), version("ai.onnx.ml"));
    let mut builder = Builder::default();
    for tensor in &graph.initializer {
        builder.define_constant(tensor)?;
    }
    let mut rows = 1;
    let mut features: Vec<(Tensor, Tensor)> = Vec::new();
    for input in &case.inputs {
        let proto: TensorProto = unpack(input);
        let constant = builder.constant(&proto)?;
        if !as_rows {
            builder.define(&proto.name, Value::Tensor(constant))?;
            continue;
        }
        rows = constant.dims.list()[0].cells();
        let width = constant.cells.len() / rows;
        let first = builder.allocate(constant.element, width)?;
        let cells = (first..first + width as u32).map(Cell::Register).collect();
        let feature = Tensor::new(constant.element, Dims::matrix(width)?, cells);
        builder.define(&proto.name, Value::Tensor(feature.clone()))?;
        features.push((feature, constant));
    }
    for proto in &graph.node {
        let operator = operators::find(&proto.domain, &proto.op_type).unwrap();
        let values = operator(&mut builder, &Operation { proto, opset, ml_opset })?;
        for (name, value) in proto.output.iter().zip(values) {
            builder.define(name, value)?;
        }
    }
    let outputs: Vec<Tensor> =
        graph.output.iter().map(|output| builder.tensor(&output.name)).collect::<Checked<_>>()?;
    let built = builder.finish();
    let mut registers = built.registers.clone();
    for (feature, constant) in &features {
        load(&mut registers, feature, constant, rows);
    }
    built.steps.iter().for_each(|step| step.run(&mut registers, rows));
    Ok(outputs.iter().map(|output| shown(&built, output, &registers, rows)).collect())
}

fn load(registers: &mut Registers, feature: &Tensor, constant: &Tensor, rows: usize) {
    let width = feature.cells.len();
    for row in 0..rows {
        for (at, cell) in feature.cells.iter().enumerate() {
            let Cell::Register(register) = *cell else { unreachable!() };
            match constant.cells[row * width + at] {
                Cell::Float(number) => registers.floats[register as usize][row] = number,
                Cell::Double(number) => registers.doubles[register as usize][row] = number,
                Cell::Int(number) => registers.ints[register as usize][row] = number,
                Cell::Register(_) => unreachable!(),
            }
        }
    }
}

fn expected(case: &Case) -> Vec<Shown> {
    let output = |output: &String| {
        let mut builder = Builder::default();
        let tensor = builder.constant(&unpack(output)).unwrap();
        let built = builder.finish();
        shown(&built, &tensor, &built.registers, 1)
    };
    case.outputs.iter().map(output).collect()
}

fn difference(case: &Case, found: &[Shown], expected: &[Shown]) -> Option<String> {
    for (found, expected) in found.iter().zip(expected) {
        if found.sizes != expected.sizes || found.texts != expected.texts {
            return Some(format!("{}: {found:?}, expected {expected:?}", case.name));
        }
        for (at, (found, expected)) in found.numbers.iter().zip(&expected.numbers).enumerate() {
            let same = found == expected || (found.is_nan() && expected.is_nan());
            let close = (found - expected).abs() <= case.tolerance * expected.abs().max(1.0);
            if !same && !close {
                return Some(format!("{}: number {at} is {found}, expected {expected}", case.name));
            }
        }
    }
    None
}

fn check(file: &str, as_rows: bool) {
    let cases = read(file);
    assert!(cases.cases.len() >= 300 && cases.left_out.iter().all(|(_, reason)| !reason.is_empty()));
    let mut faults = Vec::new();
    for case in &cases.cases {
        let refused = REFUSED.iter().find(|(listed, _)| is_listed(&case.name, listed));
        // Trees and counts of words take rows alone.
        let of_rows = ["ai_onnx_ml_tree_ensemble", "tfidfvectorizer_tf_batch"];
        let as_rows = as_rows || of_rows.iter().any(|beginning| case.name.starts_with(beginning));
        match (run(case, as_rows), refused) {
            (Ok(found), None) => faults.extend(difference(case, &found, &expected(case))),
            (Err(fault), Some((_, reason))) if fault.contains(reason) => {}
            (Ok(_), Some(_)) => faults.push(format!("{}: runs, but is listed as refused", case.name)),
            (Err(fault), _) => faults.push(format!("{}: refused: {fault}", case.name)),
        }
    }
    assert!(faults.is_empty(), "{} of {} cases:\n{}", faults.len(), cases.cases.len(), faults.join("\n"));
}

#[test]
fn operators_give_what_the_format_expects() {
    check("cases.json", false);
}

#[test]
fn random_graphs_give_what_onnxruntime_gives() {
    check("random.json", true);
}
