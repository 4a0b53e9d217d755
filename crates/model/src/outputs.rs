//! What a model gives, by name: labels, probabilities by class, values.

use crate::builder::Builder;
use crate::dims::Dim;
use crate::labels::Labels;
use crate::node::{Checked, shown};
use crate::onnx::{GraphProto, ValueInfoProto, element};
use crate::signature::Output;
use crate::value::{Cell, Element, Tensor, Value};
use std::collections::HashMap;
use std::sync::Arc;

/// The most outputs that a graph may have.
const GRAPH_OUTPUTS_MAX: usize = 64;

/// The most columns that a model may give.
const COLUMNS_MAX: usize = 1 << 14;

/// One column that comes out of a model.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Column {
    pub element: Element,
    pub cell: Cell,
}

/// An output of the graph as the rows see it.
struct Given<'a> {
    name: &'a str,
    tensor: Tensor,
    is_maps: bool,
}

/// The columns that may be chosen. An output that is given twice (as matrix and as maps) counts once.
pub fn columns(builder: &Builder, graph: &GraphProto) -> Checked<Vec<(Output, Column)>> {
    if graph.output.len() > GRAPH_OUTPUTS_MAX {
        return Err(format!("the graph has {} outputs, expected at most {GRAPH_OUTPUTS_MAX}", graph.output.len()));
    }
    let mut given = Vec::new();
    for info in &graph.output {
        let read = read(builder, info).map_err(|fault| format!("output {}: {fault}", shown(&info.name)))?;
        given.push(read);
    }
    if given.is_empty() {
        return Err("the graph has no outputs, expected scores or a class label".to_string());
    }
    let labels = given.iter().find_map(|output| output.tensor.labels.clone());
    if labels.is_none() {
        for (output, info) in given.iter().zip(&graph.output) {
            check_width(graph, info, &output.tensor)
                .map_err(|fault| format!("output {}: {fault}", shown(output.name)))?;
        }
    }
    let numbers = given.iter().filter(|output| output.tensor.element.is_real()).count();
    let may_be: Vec<bool> = graph.output.iter().map(|info| !gives(graph, info, "SVMClassifier")).collect();
    let probabilities = probabilities(&given, &may_be, labels.as_ref());
    let mut found = Found::default();
    for (output, labels_of_columns) in given.iter().zip(probabilities) {
        if found.columns.len() + output.tensor.cells.len() > COLUMNS_MAX {
            return Err(format!("the model gives more than {COLUMNS_MAX} columns"));
        }
        for (at, column) in named(output, labels.is_some(), labels_of_columns, numbers).into_iter().enumerate() {
            found.add(column, output, at)?;
        }
    }
    if found.columns.is_empty() {
        return Err("the outputs of the graph have no columns, expected scores or a class label".to_string());
    }
    Ok(found.columns)
}

/// The columns so far, and where each name is.
#[derive(Default)]
struct Found {
    columns: Vec<(Output, Column)>,
    places: HashMap<Output, usize>,
}

impl Found {
    /// Adds a column under its name. One that is there already is left out; another of the same name, as that of a
    /// second classifier's label, goes by the name of its output.
    fn add(&mut self, (name, column): (Output, Column), output: &Given, at: usize) -> Checked<()> {
        let own = Output::Named { name: own_name(output, at) };
        for name in [name, own] {
            match self.places.get(&name).map(|place| self.columns[*place].1) {
                Some(known) if known == column => return Ok(()),
                Some(_) => {}
                None => {
                    self.places.insert(name.clone(), self.columns.len());
                    self.columns.push((name, column));
                    return Ok(());
                }
            }
        }
        Err(format!("output {}: another output gives the same names", shown(output.name)))
    }
}

/// The name of an output, with a place where it is several numbers wide.
fn own_name(output: &Given, at: usize) -> String {
    if output.tensor.cells.len() == 1 { output.name.to_string() } else { format!("{}_{at}", output.name) }
}

/// For each output the classes whose probabilities it has, if it has them. Where no classifier says which scores are
/// its own, and several outputs are as wide as there are classes, the one that is called so has them. A support vector
/// machine without probabilities gives a number for each pair of classes, which may be as many.
fn probabilities(given: &[Given], may_be: &[bool], labels: Option<&Arc<Labels>>) -> Vec<Option<Arc<Labels>>> {
    let Some(labels) = labels else { return vec![None; given.len()] };
    let of_width = |output: &Given, labels: &Labels| {
        let width = output.tensor.cells.len();
        output.tensor.element.is_real() && width == labels.len() && (width > 1 || output.is_maps)
    };
    let own = |output: &Given| output.tensor.labels.clone().filter(|labels| of_width(output, labels));
    let all: Vec<Option<Arc<Labels>>> = given.iter().map(own).collect();
    if all.iter().any(Option::is_some) {
        return all;
    }
    let chosen = |is_chosen: &dyn Fn(&Given) -> bool| {
        let wide = given.iter().zip(may_be).filter(|(_, may_be)| **may_be).map(|(output, _)| output);
        let mut wide = wide.filter(|output| of_width(output, labels) && is_chosen(output));
        let first = wide.next()?;
        wide.all(|other| other.tensor.cells == first.tensor.cells).then(|| first.tensor.cells.clone())
    };
    let scores = chosen(&|_| true).or_else(|| chosen(&|output| output.name.to_lowercase().contains("prob")));
    let has =
        |output: &Given| scores.as_ref().is_some_and(|cells| of_width(output, labels) && output.tensor.cells == *cells);
    given.iter().map(|output| has(output).then(|| labels.clone())).collect()
}

/// Whether an operator gives an output.
fn gives(graph: &GraphProto, info: &ValueInfoProto, operator: &str) -> bool {
    graph.node.iter().any(|node| node.op_type == operator && node.output.contains(&info.name))
}

fn read<'a>(builder: &Builder, info: &'a ValueInfoProto) -> Checked<Given<'a>> {
    let value = builder.find(&info.name).ok_or("no node gives it")?;
    let (tensor, is_maps) = match value {
        Value::Tensor(tensor) => (tensor.clone(), false),
        Value::Maps(tensor) => (tensor.clone(), true),
        Value::Words(_) => return Err("is words of texts, expected scores or a class label of a model".to_string()),
        Value::Shape(_) => return Err("is a shape, expected scores or a class label of a model".to_string()),
    };
    let rows = tensor.dims.list().iter().find(|dim| matches!(dim, Dim::Rows { .. }));
    if rows.is_none_or(|rows| *rows != Dim::ROWS) {
        return Err(format!("is {}, expected a tensor with a row for each row", tensor.describe()));
    }
    check_type(info, &tensor, is_maps)?;
    Ok(Given { name: &info.name, tensor, is_maps })
}

/// Refuses an output whose declared type is not that of what it holds.
fn check_type(info: &ValueInfoProto, tensor: &Tensor, is_maps: bool) -> Checked<()> {
    let declared = info.r#type.as_ref().ok_or("has no type")?;
    if is_maps {
        return match declared.sequence_type {
            Some(_) => Ok(()),
            None => Err("is declared a tensor, expected a sequence of maps".to_string()),
        };
    }
    let expected = tensor.element.name();
    match declared.tensor_type.as_ref().map(|tensor| tensor.elem_type) {
        Some(found) if element::name(found) == expected => Ok(()),
        // LightGBM's exporter declares float what it casts to double and back, and the other way round.
        Some(element::FLOAT | element::DOUBLE) if tensor.element.is_real() => Ok(()),
        Some(found) => Err(format!("is declared {}, expected {expected}", element::name(found))),
        None => Err(format!("is not declared a tensor, expected a tensor of {expected}")),
    }
}

/// Refuses values of another width than is declared. The exporter of XGBoost writes such files for models with
/// several targets, and all their trees add to the first one.
fn check_width(graph: &GraphProto, info: &ValueInfoProto, tensor: &Tensor) -> Checked<()> {
    if !gives(graph, info, "TreeEnsembleRegressor") {
        return Ok(());
    }
    let declared = info.r#type.as_ref().and_then(|declared| declared.tensor_type.as_ref()?.shape.as_ref());
    let Some([_, declared]) = declared.map(|shape| shape.dim.as_slice()) else { return Ok(()) };
    match (declared.dim_value, tensor.dims.list()) {
        (Some(declared), [_, Dim::Fixed(width)]) if declared > 0 && declared != *width as i64 => Err(format!(
            "is declared {declared} numbers wide, but has {width}: train and export a model for each target"
        )),
        _ => Ok(()),
    }
}

/// The columns of an output under the names by which a statement asks for them.
fn named(
    output: &Given,
    is_classifier: bool,
    probabilities: Option<Arc<Labels>>,
    numbers: usize,
) -> Vec<(Output, Column)> {
    let tensor = &output.tensor;
    let column = |cell: &Cell| Column { element: tensor.element, cell: *cell };
    let width = tensor.cells.len();
    // An exporter that makes the class of its place in the list leaves the name alone to tell.
    let called_label = is_classifier && matches!(output.name, "label" | "output_label");
    let is_label = (tensor.labels.is_some() || called_label) && !tensor.element.is_real() && width == 1;
    if is_label {
        return vec![(Output::Label, column(&tensor.cells[0]))];
    }
    if let Some(labels) = probabilities {
        let names = labels.texts().into_iter().map(|label| Output::Probability { label });
        return names.zip(tensor.cells.iter().map(column)).collect();
    }
    let cells = tensor.cells.iter().enumerate();
    if tensor.element.is_real() && numbers == 1 {
        return cells.map(|(target, cell)| (Output::Value { target }, column(cell))).collect();
    }
    cells.map(|(at, cell)| (Output::Named { name: own_name(output, at) }, column(cell))).collect()
}
