//! A node as the operators see it: its inputs by place, and its attributes.

use crate::builder::Builder;
use crate::node::{Checked, Node, shown};
use crate::onnx::NodeProto;
use crate::value::{Tensor, Value};

/// A node with the versions of the operator sets that it belongs to.
pub struct Operation<'a> {
    pub proto: &'a NodeProto,
    /// The version of ai.onnx.
    pub opset: i64,
    /// The version of ai.onnx.ml.
    pub ml_opset: i64,
}

impl<'a> Operation<'a> {
    /// The node with its attributes, all of which are `known`.
    pub fn node(&self, known: &[&str]) -> Checked<Node<'a>> {
        Node::new(self.proto, known)
    }

    /// Refuses more or fewer inputs than an operator takes.
    pub fn expect_inputs(&self, least: usize, most: usize) -> Checked<()> {
        let found = self.proto.input.len();
        if (least..=most).contains(&found) {
            return Ok(());
        }
        let expected = if least == most { least.to_string() } else { format!("{least} to {most}") };
        Err(format!("has {found} inputs, expected {expected}"))
    }

    /// The name of an input that must be there.
    pub fn input(&self, at: usize) -> Checked<&'a str> {
        self.optional(at).ok_or_else(|| format!("input {at} is missing"))
    }

    /// The name of an input that may be left out.
    pub fn optional(&self, at: usize) -> Option<&'a str> {
        self.proto.input.get(at).map(String::as_str).filter(|name| !name.is_empty())
    }

    /// The tensor at an input.
    pub fn tensor(&self, builder: &Builder, at: usize) -> Checked<Tensor> {
        builder.tensor(self.input(at)?)
    }

    /// The whole numbers at an input, which must be constant.
    pub fn integers(&self, builder: &Builder, at: usize) -> Checked<Option<Vec<i64>>> {
        let Some(name) = self.optional(at) else { return Ok(None) };
        let tensor = builder.tensor(name)?;
        match tensor.integers() {
            Some(integers) => Ok(Some(integers)),
            None => Err(format!("input {} is {}, expected constant integers", shown(name), tensor.describe())),
        }
    }
}

/// The one tensor that most operators give.
pub fn one(tensor: Tensor) -> Checked<Vec<Value>> {
    Ok(vec![Value::Tensor(tensor)])
}
