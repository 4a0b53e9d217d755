//! What a model gives, by name: labels, probabilities by class, values.

use crate::builder::Builder;
use crate::dims::Dim;
use crate::labels::Labels;
use crate::node::{Checked, shown};
use crate::onnx::{GraphProto, ValueInfoProto, element};
use crate::signature::Output;
use crate::value::{Cell, Element, Tensor, Value};
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
            check_width(info, &output.tensor).map_err(|fault| format!("output {}: {fault}", shown(output.name)))?;
        }
    }
    let numbers = given.iter().filter(|output| output.tensor.element.is_real()).count();
    let mut found: Vec<(Output, Column)> = Vec::new();
    for output in &given {
        for column in named(output, labels.as_ref(), numbers) {
            if !found.iter().any(|(known, _)| *known == column.0) {
                found.push(column);
            }
        }
        if found.len() > COLUMNS_MAX {
            return Err(format!("the model gives more than {COLUMNS_MAX} columns"));
        }
    }
    if found.is_empty() {
        return Err("the outputs of the graph have no columns, expected scores or a class label".to_string());
    }
    Ok(found)
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
fn check_width(info: &ValueInfoProto, tensor: &Tensor) -> Checked<()> {
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
fn named(output: &Given, labels: Option<&Arc<Labels>>, numbers: usize) -> Vec<(Output, Column)> {
    let tensor = &output.tensor;
    let column = |cell: &Cell| Column { element: tensor.element, cell: *cell };
    let width = tensor.cells.len();
    // An exporter that makes the class of its place in the list leaves the name alone to tell.
    let called_label = labels.is_some() && matches!(output.name, "label" | "output_label");
    let is_label = (tensor.labels.is_some() || called_label) && !tensor.element.is_real() && width == 1;
    if is_label {
        return vec![(Output::Label, column(&tensor.cells[0]))];
    }
    let of_classes = labels.filter(|labels| tensor.element.is_real() && labels.len() == width);
    if let Some(labels) = of_classes.filter(|_| width > 1 || output.is_maps) {
        let names = labels.texts().into_iter().map(|label| Output::Probability { label });
        return names.zip(tensor.cells.iter().map(column)).collect();
    }
    let cells = tensor.cells.iter().enumerate();
    if tensor.element.is_real() && numbers == 1 {
        return cells.map(|(target, cell)| (Output::Value { target }, column(cell))).collect();
    }
    let name = |at: usize| if width == 1 { output.name.to_string() } else { format!("{}_{at}", output.name) };
    cells.map(|(at, cell)| (Output::Named { name: name(at) }, column(cell))).collect()
}
