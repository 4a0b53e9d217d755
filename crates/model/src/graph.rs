//! Checks a model's graph and follows it once, node by node, into a program.
//!
//! Only operators of the tables in `operators` exist; whatever else a file asks for is refused by name, with what made
//! the file and what to tell it.

use crate::builder::{Builder, Built};
use crate::dims::{Dim, Dims};
use crate::node::{Checked, shown};
use crate::onnx::{GraphProto, ModelProto, NodeProto, ValueInfoProto};
use crate::operators::{self, Operation};
use crate::outputs::{Column, columns};
use crate::refusal::{of_file, unknown_operator};
use crate::signature::Output;
use crate::value::{Cell, Element, Tensor, Value};
use dataflow::{ScorerInput, ScorerValue};
use std::collections::HashSet;

/// The most features that a model may take.
pub const FEATURES_MAX: usize = 1 << 16;

/// The most nodes that a graph may have.
const GRAPH_NODES_MAX: usize = 100_000;

/// One column that goes into a model: its type, and the registers that hold it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Feature {
    pub element: Element,
    pub register: u32,
    /// How many numbers a list has, where the column holds lists.
    pub list: Option<usize>,
}

impl Feature {
    /// The input that takes it, as planning sees it.
    pub fn input(&self, name: Option<String>) -> ScorerInput {
        let value = match self.element {
            Element::Float | Element::Double => ScorerValue::Number,
            Element::Int64 | Element::Int32 => ScorerValue::Integer,
            Element::Bool => ScorerValue::Boolean,
            Element::Text => ScorerValue::Text,
        };
        ScorerInput { name, value, list: self.list }
    }
}

/// A checked model.
pub struct Graph {
    /// The names of the features, where the file tells them.
    pub names: Vec<Option<String>>,
    pub features: Vec<Feature>,
    pub program: Built,
    pub outputs: Vec<(Output, Column)>,
    /// The operators in use, each once.
    pub operators: Vec<String>,
}

impl Graph {
    /// Checks a decoded model. `names` are those that the file's metadata lists, if it does.
    pub fn new(model: &ModelProto, names: Option<Vec<String>>) -> Checked<Graph> {
        let told = |fault: String| of_file(model, &fault);
        let opsets = check_operator_sets(model).map_err(told)?;
        let graph = model.graph.as_ref().ok_or("the file has no graph, expected an ONNX model")?;
        if graph.node.len() > GRAPH_NODES_MAX {
            return Err(format!("the graph has {} nodes, expected at most {GRAPH_NODES_MAX}", graph.node.len()));
        }
        if !graph.sparse_initializer.is_empty() {
            return Err("the graph has sparse initializers, which are not supported".to_string());
        }
        let mut builder = Builder::default();
        for tensor in &graph.initializer {
            builder.define_constant(tensor).map_err(told)?;
        }
        let (names, features) = inputs(&mut builder, graph, names).map_err(told)?;
        for (index, proto) in graph.node.iter().enumerate() {
            follow(&mut builder, proto, opsets).map_err(|fault| at_node(model, index, proto, &fault))?;
        }
        let outputs = columns(&builder, graph).map_err(told)?;
        let of_rows = |column: &Column| column.element == Element::Text && matches!(column.cell, Cell::Register(_));
        if outputs.iter().any(|(_, column)| of_rows(column)) {
            // A text that comes out may be one that only a row has.
            builder.read_texts();
        }
        let mut operators: Vec<String> = graph.node.iter().map(|node| node.op_type.clone()).collect();
        operators.sort_unstable();
        operators.dedup();
        Ok(Graph { names, features, program: builder.finish(), outputs, operators })
    }
}

/// Names a node in a message, and what made it.
fn at_node(model: &ModelProto, index: usize, proto: &NodeProto, fault: &str) -> String {
    let name = if proto.name.is_empty() { format!("{index}") } else { format!("{index} {}", shown(&proto.name)) };
    let advice = crate::refusal::advice(model, proto);
    format!("node {name} ({}): {fault}{advice}", shown(&proto.op_type).trim_matches('"'))
}

/// The versions of ai.onnx and ai.onnx.ml.
type Opsets = (i64, i64);

/// Refuses operator sets that do not exist, and returns the versions of the two that are used.
fn check_operator_sets(model: &ModelProto) -> Checked<Opsets> {
    if !model.functions.is_empty() {
        return Err("the file defines functions of its own, which are not supported".to_string());
    }
    let (mut opset, mut ml_opset) = (1, 1);
    for import in &model.opset_import {
        let newest = match import.domain.as_str() {
            "" | "ai.onnx" => 64,
            "ai.onnx.ml" => 5,
            // Exporters list these although no node uses them; a node that does is refused.
            "com.microsoft" | "ai.onnx.training" | "ai.onnx.preview.training" => i64::MAX,
            other => return Err(format!("operator set {} is unknown, expected ai.onnx and ai.onnx.ml", shown(other))),
        };
        if import.version < 1 || import.version > newest {
            let domain = if import.domain.is_empty() { "ai.onnx" } else { &import.domain };
            return Err(format!("operator set {domain} has version {}, expected 1 to {newest}", import.version));
        }
        match import.domain.as_str() {
            "" | "ai.onnx" => opset = import.version,
            "ai.onnx.ml" => ml_opset = import.version,
            _ => {}
        }
    }
    Ok((opset, ml_opset))
}

/// Defines the graph's inputs, and returns the names of all features in order and the registers that take them.
fn inputs(
    builder: &mut Builder,
    graph: &GraphProto,
    names: Option<Vec<String>>,
) -> Checked<(Vec<Option<String>>, Vec<Feature>)> {
    // Older files list initializers among the inputs.
    let initializers: HashSet<&str> = graph.initializer.iter().map(|tensor| tensor.name.as_str()).collect();
    let given: Vec<&ValueInfoProto> =
        graph.input.iter().filter(|input| !initializers.contains(input.name.as_str())).collect();
    if given.is_empty() {
        return Err("the graph has no inputs, expected one with the features, or one for each".to_string());
    }
    let (mut own_names, mut features) = (Vec::new(), Vec::new());
    // A name for each input: those that are wider than one number are columns of lists.
    let named = names.as_ref().is_some_and(|names| names.len() == given.len());
    for input in &given {
        let listed = names.as_ref().filter(|_| given.len() == 1).map(Vec::len);
        let (element, dims) =
            input_type(input, listed).map_err(|fault| format!("input {}: {fault}", shown(&input.name)))?;
        let width = dims.cells();
        if features.len() + width > FEATURES_MAX {
            return Err(format!("the inputs have more than {FEATURES_MAX} features"));
        }
        let first = builder.allocate(element, width)?;
        let registers = first..first + width as u32;
        let is_list = dims.rank() > 2 || (named && width > 1);
        if is_list {
            features.push(Feature { element, register: first, list: Some(width) });
        } else {
            features.extend(registers.clone().map(|register| Feature { element, register, list: None }));
        }
        let name = (is_list || (width == 1 && given.len() > 1)).then(|| input.name.clone());
        own_names.extend(std::iter::repeat_n(name, if is_list { 1 } else { width }));
        let tensor = Tensor::new(element, dims, registers.map(Cell::Register).collect());
        builder.define(&input.name, Value::Tensor(tensor))?;
    }
    Ok((checked_names(own_names, names)?, features))
}

/// The names that the metadata lists, which must be those of the graph's inputs where these have names.
fn checked_names(own: Vec<Option<String>>, listed: Option<Vec<String>>) -> Checked<Vec<Option<String>>> {
    let Some(listed) = listed else { return Ok(own) };
    if listed.len() != own.len() {
        return Err(format!(
            "metadata \"riverrun.inputs\" lists {} names, expected {} as the model has features",
            listed.len(),
            own.len()
        ));
    }
    // The one input of a model is called as its exporter calls all inputs; a column has a better name.
    for (listed, own) in listed.iter().zip(&own).filter(|_| own.len() > 1) {
        if own.as_ref().is_some_and(|own| own != listed) {
            return Err(format!(
                "metadata \"riverrun.inputs\" lists {} where the graph's input is {}",
                shown(listed),
                shown(own.as_deref().unwrap_or(""))
            ));
        }
    }
    Ok(listed.into_iter().map(Some).collect())
}

/// The type and the shape of an input: rows with numbers, or rows alone.
fn input_type(input: &ValueInfoProto, listed: Option<usize>) -> Checked<(Element, Dims)> {
    let tensor = input.r#type.as_ref().and_then(|r#type| r#type.tensor_type.as_ref());
    let tensor = tensor.ok_or("is not a tensor, expected a tensor of float of shape [rows, features]")?;
    let element = Element::read(tensor.elem_type)?;
    let shape = tensor.shape.as_ref().ok_or("has no shape, expected [rows, features]")?;
    let sizes: Vec<Option<i64>> = shape.dim.iter().map(|dim| dim.dim_value.filter(|size| *size != 0)).collect();
    let dims = match sizes.as_slice() {
        [rows] => {
            open_rows(*rows)?;
            vec![Dim::ROWS]
        }
        [rows, width] => {
            open_rows(*rows)?;
            let width = match (width, listed) {
                (Some(width), _) if (1..=FEATURES_MAX as i64).contains(width) => *width as usize,
                (Some(width), _) => return Err(format!("has {width} features, expected 1 to {FEATURES_MAX}")),
                (None, Some(listed @ 1..=FEATURES_MAX)) => listed,
                (None, _) => {
                    return Err("does not say how many features it has, expected a fixed second dimension, or \
                         metadata \"riverrun.inputs\""
                        .to_string());
                }
            };
            vec![Dim::ROWS, Dim::Fixed(width)]
        }
        [rows, sizes @ ..] => {
            open_rows(*rows)?;
            let fixed = |size: &Option<i64>| match size {
                Some(size) if (1..=FEATURES_MAX as i64).contains(size) => Ok(Dim::Fixed(*size as usize)),
                _ => Err("has an open dimension beside the rows, expected sequences of one length".to_string()),
            };
            let sizes = sizes.iter().map(fixed).collect::<Checked<Vec<Dim>>>()?;
            [Dim::ROWS].into_iter().chain(sizes).collect()
        }
        [] => return Err("is a number, expected 2 dimensions: [rows, features]".to_string()),
    };
    Ok((element, Dims::new(dims)?))
}

/// A number of rows that is fixed would be another meaning of the same file.
fn open_rows(rows: Option<i64>) -> Checked<()> {
    match rows {
        None | Some(1 | -1) => Ok(()),
        Some(rows) => Err(format!("has a batch of exactly {rows} rows, expected an open first dimension")),
    }
}

fn follow(builder: &mut Builder, proto: &NodeProto, (opset, ml_opset): Opsets) -> Checked<()> {
    if let (Some(Value::Words(words)), "Flatten" | "Identity") =
        (proto.input.first().and_then(|name| builder.find(name)).cloned(), proto.op_type.as_str())
        && let [output] = proto.output.as_slice()
    {
        // The words of a row stay one list, whatever its shape.
        return builder.define(output, Value::Words(words));
    }
    let operator = operators::find(&proto.domain, &proto.op_type).ok_or_else(|| unknown_operator(proto))?;
    let values = operator(builder, &Operation { proto, opset, ml_opset })?;
    if proto.output.is_empty() || proto.output.len() > values.len() {
        return Err(format!("has {} outputs, expected 1 to {}", proto.output.len(), values.len()));
    }
    for (name, value) in proto.output.iter().zip(values) {
        builder.define(name, value)?;
    }
    Ok(())
}
