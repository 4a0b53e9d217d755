//! What the names in a graph stand for while it is followed: tensors as lists of cells, shapes, and maps by label.

use crate::dims::{Dims, Extent};
use crate::labels::Labels;
use crate::node::{Checked, listed, shown};
use crate::onnx::{TensorProto, element};
use crate::words::Words;
use std::sync::Arc;

/// The type of a tensor's numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Element {
    Float,
    Double,
    Int64,
    Int32,
    Bool,
    /// Texts are numbers in the model's list of texts.
    Text,
}

impl Element {
    /// The type with a number of the format, if it can be calculated with.
    pub fn read(number: i32) -> Checked<Element> {
        Ok(match number {
            element::FLOAT => Element::Float,
            element::DOUBLE => Element::Double,
            element::INT64 => Element::Int64,
            element::INT32 => Element::Int32,
            element::BOOL => Element::Bool,
            element::STRING => Element::Text,
            other => {
                return Err(format!(
                    "element type {} is not supported, expected float, double, int64, int32, bool or string",
                    element::name(other)
                ));
            }
        })
    }

    pub fn name(self) -> &'static str {
        match self {
            Element::Float => "float",
            Element::Double => "double",
            Element::Int64 => "int64",
            Element::Int32 => "int32",
            Element::Bool => "bool",
            Element::Text => "string",
        }
    }

    /// Whether it has fractions.
    pub fn is_real(self) -> bool {
        matches!(self, Element::Float | Element::Double)
    }

    pub fn is_integer(self) -> bool {
        matches!(self, Element::Int64 | Element::Int32)
    }
}

/// One number of a tensor: known when the model is loaded, or a register that holds it for each row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Cell {
    Register(u32),
    Float(f32),
    Double(f64),
    Int(i64),
}

/// A tensor. Its cells are as many as its shape says.
#[derive(Clone, Debug)]
pub struct Tensor {
    pub element: Element,
    pub dims: Dims,
    pub cells: Arc<[Cell]>,
    /// The classes that the scores or the label are of, where an operator told them.
    pub labels: Option<Arc<Labels>>,
}

impl Tensor {
    /// A tensor without classes.
    pub fn new(element: Element, dims: Dims, cells: Vec<Cell>) -> Tensor {
        Tensor { element, dims, cells: cells.into(), labels: None }
    }

    pub fn with_labels(self, labels: Option<Arc<Labels>>) -> Tensor {
        Tensor { labels, ..self }
    }

    pub fn is_constant(&self) -> bool {
        !self.cells.iter().any(|cell| matches!(cell, Cell::Register(_)))
    }

    /// The cells of a constant of whole numbers.
    pub fn integers(&self) -> Option<Vec<i64>> {
        let number = |cell: &Cell| match cell {
            Cell::Int(number) if self.element.is_integer() => Some(*number),
            _ => None,
        };
        self.cells.iter().map(number).collect()
    }

    /// What it is, as messages say it.
    pub fn describe(&self) -> String {
        let kind = if self.is_constant() { "a constant" } else { "a tensor" };
        format!("{kind} of {} of shape {}", self.element.name(), self.dims)
    }
}

/// What a name stands for.
#[derive(Clone, Debug)]
pub enum Value {
    Tensor(Tensor),
    /// A shape that the graph looks at; it counts the rows of a batch.
    Shape(Vec<Extent>),
    /// A map from label to score for each row.
    Maps(Tensor),
    /// The words of a text for each row, as many as it has.
    Words(Words),
}

impl Value {
    /// What it is, as messages say it.
    pub fn describe(&self) -> String {
        match self {
            Value::Tensor(tensor) => tensor.describe(),
            Value::Shape(_) => "a shape".to_string(),
            Value::Maps(_) => "maps".to_string(),
            Value::Words(_) => "the words of texts".to_string(),
        }
    }
}

/// The numbers of a tensor in the file, before texts have their place in the model's list.
pub enum Numbers {
    Floats(Vec<f32>),
    Doubles(Vec<f64>),
    Ints(Vec<i64>),
    Texts(Vec<String>),
}

impl Numbers {
    fn len(&self) -> usize {
        match self {
            Numbers::Floats(numbers) => numbers.len(),
            Numbers::Doubles(numbers) => numbers.len(),
            Numbers::Ints(numbers) => numbers.len(),
            Numbers::Texts(texts) => texts.len(),
        }
    }
}

/// Reads a constant. Its data lies in the file; a path to another file is never followed.
pub fn constant(tensor: &TensorProto) -> Checked<(Element, Dims, Numbers)> {
    if tensor.data_location != 0 || !tensor.external_data.is_empty() {
        return Err("its data is in another file, expected a model in one file (onnx.save with \
             save_as_external_data=False)"
            .to_string());
    }
    let element = Element::read(tensor.data_type)?;
    let numbers = numbers(tensor, element)?;
    let claimed = tensor.dims.iter().try_fold(1u64, |product, &dim| u64::try_from(dim).ok()?.checked_mul(product));
    if claimed != Some(numbers.len() as u64) {
        return Err(format!("dimensions {} for {} numbers", listed(first(&tensor.dims)), numbers.len()));
    }
    let sizes: Vec<usize> = tensor.dims.iter().map(|dim| *dim as usize).collect();
    Ok((element, Dims::fixed(&sizes)?, numbers))
}

fn numbers(tensor: &TensorProto, element: Element) -> Checked<Numbers> {
    let raw = &tensor.raw_data;
    Ok(match element {
        Element::Float if raw.is_empty() => Numbers::Floats(tensor.float_data.clone()),
        Element::Float => Numbers::Floats(chunks(raw, element)?.iter().map(|b| f32::from_le_bytes(*b)).collect()),
        Element::Double if raw.is_empty() => Numbers::Doubles(tensor.double_data.clone()),
        Element::Double => Numbers::Doubles(chunks(raw, element)?.iter().map(|b| f64::from_le_bytes(*b)).collect()),
        Element::Int64 if raw.is_empty() => Numbers::Ints(tensor.int64_data.clone()),
        Element::Int64 => Numbers::Ints(chunks(raw, element)?.iter().map(|b| i64::from_le_bytes(*b)).collect()),
        Element::Int32 | Element::Bool if raw.is_empty() => {
            let number =
                |number: &i32| if element == Element::Bool { i64::from(*number != 0) } else { (*number).into() };
            Numbers::Ints(tensor.int32_data.iter().map(number).collect())
        }
        Element::Int32 => Numbers::Ints(chunks(raw, element)?.iter().map(|b| i32::from_le_bytes(*b).into()).collect()),
        Element::Bool => Numbers::Ints(raw.iter().map(|byte| i64::from(*byte != 0)).collect()),
        Element::Text => {
            let text = |bytes: &prost::bytes::Bytes| String::from_utf8(bytes.to_vec());
            let texts: Result<Vec<String>, _> = tensor.string_data.iter().map(text).collect();
            Numbers::Texts(texts.map_err(|_| "a text is not UTF-8".to_string())?)
        }
    })
}

fn chunks<const SIZE: usize>(raw: &[u8], element: Element) -> Checked<&[[u8; SIZE]]> {
    match raw.as_chunks() {
        (chunks, []) => Ok(chunks),
        _ => Err(format!("{} bytes of data, expected {}s of {SIZE} bytes", raw.len(), element.name())),
    }
}

/// The first few of what may be many.
fn first<T>(items: &[T]) -> &[T] {
    &items[..items.len().min(8)]
}

/// Names the initializer in a message.
pub fn at_initializer(name: &str, fault: &str) -> String {
    format!("initializer {}: {fault}", shown(name))
}
