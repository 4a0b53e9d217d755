//! Checks a model's graph and folds it into a plan: which columns feed which ensemble, and which of its scores leave.
//!
//! The graph is followed once, node by node, with values that stand for what each name will hold. Only operators
//! listed in [`OPERATORS`] exist; whatever else a file asks for is refused by name.

use crate::aggregate::{Ensemble, Labels, classifier_attributes, regressor_attributes};
use crate::node::{Checked, Node, shown};
use crate::onnx::{GraphProto, ModelProto, NodeProto, ValueInfoProto, element};
use crate::signature::Output;
use crate::value::{Calculation, FEATURES_MAX, Fed, Value, check_output_type, constant, input_type};
use std::collections::{HashMap, HashSet};

/// The operators that a model may consist of.
const OPERATORS: &str = "ai.onnx.ml TreeEnsembleClassifier, TreeEnsembleRegressor and ZipMap, and \
    Identity, Cast, Concat, Exp, Add, Sub, Mul, Div";

/// The most nodes that a graph may have.
const GRAPH_NODES_MAX: usize = 10_000;

/// The most outputs that a graph may have.
const GRAPH_OUTPUTS_MAX: usize = 64;

/// The most columns that all Concat nodes of a graph may list together.
const CONCAT_COLUMNS_MAX: usize = 1 << 20;

/// The most ensembles that a graph may have.
const ENSEMBLES_MAX: usize = 16;

/// The most calculations that may follow an ensemble.
const CALCULATIONS_MAX: usize = 16;

/// Where an output comes from.
#[derive(Clone, Debug)]
pub enum Source {
    /// A score of an ensemble, and what is calculated from it.
    Score { ensemble: usize, index: usize, then: Vec<Calculation> },
    /// The class that an ensemble chooses.
    Label { ensemble: usize },
}

/// A checked model.
pub struct Plan {
    /// The names of the features, where the file tells them.
    pub inputs: Vec<Option<String>>,
    pub ensembles: Vec<Fed>,
    pub outputs: Vec<(Output, Source)>,
}

impl Plan {
    /// Checks a decoded model. `input_names` are those that the file's metadata lists, if it does.
    pub fn new(model: &ModelProto, input_names: Option<Vec<String>>) -> Checked<Plan> {
        check_operator_sets(model)?;
        let graph = model.graph.as_ref().ok_or("the file has no graph, expected an ONNX model")?;
        if graph.node.len() > GRAPH_NODES_MAX {
            return Err(format!("the graph has {} nodes, expected at most {GRAPH_NODES_MAX}", graph.node.len()));
        }
        if !graph.sparse_initializer.is_empty() {
            return Err("the graph has sparse initializers, which are not supported".to_string());
        }
        let mut folding = Folding { values: HashMap::new(), ensembles: Vec::new(), concat_columns: 0 };
        for tensor in &graph.initializer {
            folding.define(&tensor.name, constant(tensor)?)?;
        }
        let inputs = folding.inputs(graph, input_names)?;
        for (index, proto) in graph.node.iter().enumerate() {
            let name =
                if proto.name.is_empty() { format!("{index}") } else { format!("{index} {}", shown(&proto.name)) };
            folding
                .node(proto)
                .map_err(|fault| format!("node {name} ({}): {fault}", shown(&proto.op_type).trim_matches('"')))?;
        }
        let outputs = folding.outputs(graph)?;
        Ok(Plan { inputs, ensembles: folding.ensembles, outputs })
    }
}

fn check_operator_sets(model: &ModelProto) -> Checked<()> {
    if !model.functions.is_empty() {
        return Err("the file defines functions of its own, which are not supported".to_string());
    }
    for import in &model.opset_import {
        let newest = match import.domain.as_str() {
            "" | "ai.onnx" => 64,
            "ai.onnx.ml" => 5,
            other => return Err(format!("operator set {} is unknown, expected ai.onnx and ai.onnx.ml", shown(other))),
        };
        if import.version < 1 || import.version > newest {
            let domain = if import.domain.is_empty() { "ai.onnx" } else { &import.domain };
            return Err(format!("operator set {domain} has version {}, expected 1 to {newest}", import.version));
        }
    }
    Ok(())
}

/// The state of following the graph.
struct Folding {
    values: HashMap<String, Value>,
    ensembles: Vec<Fed>,
    concat_columns: usize,
}

impl Folding {
    /// Gives a name its value. An empty name is an output that nobody wants.
    fn define(&mut self, name: &str, value: Value) -> Checked<()> {
        if !name.is_empty() && self.values.insert(name.to_string(), value).is_some() {
            return Err(format!("{} is defined twice, expected one definition for each name", shown(name)));
        }
        Ok(())
    }

    fn value(&self, name: &str) -> Checked<&Value> {
        self.values.get(name).ok_or_else(|| {
            format!("input {} is neither an input of the model nor an output of an earlier node", shown(name))
        })
    }

    /// Defines the graph's inputs, and returns the names of all features in order.
    fn inputs(&mut self, graph: &GraphProto, names: Option<Vec<String>>) -> Checked<Vec<Option<String>>> {
        // Older files list initializers among the inputs.
        let initializers: HashSet<&str> = graph.initializer.iter().map(|tensor| tensor.name.as_str()).collect();
        let given: Vec<&ValueInfoProto> =
            graph.input.iter().filter(|input| !initializers.contains(input.name.as_str())).collect();
        if given.is_empty() {
            return Err("the graph has no inputs, expected one with the features, or one for each".to_string());
        }
        let mut features: Vec<Option<String>> = Vec::new();
        for input in &given {
            let listed = names.as_ref().filter(|_| given.len() == 1).map(Vec::len);
            let (element, width) =
                input_type(input, listed).map_err(|fault| format!("input {}: {fault}", shown(&input.name)))?;
            let from = features.len();
            if from + width > FEATURES_MAX {
                return Err(format!("the inputs have more than {FEATURES_MAX} features"));
            }
            let name = (width == 1 && given.len() > 1).then(|| input.name.clone());
            features.extend(std::iter::repeat_n(name, width));
            self.define(&input.name, Value::Features { columns: (from..from + width).collect(), element })?;
        }
        let Some(names) = names else { return Ok(features) };
        if names.len() != features.len() {
            return Err(format!(
                "metadata \"riverrun.inputs\" lists {} names, expected {} as the model has features",
                names.len(),
                features.len()
            ));
        }
        for (listed, own) in names.iter().zip(&features) {
            if own.as_ref().is_some_and(|own| own != listed) {
                return Err(format!(
                    "metadata \"riverrun.inputs\" lists {} where the graph's input is {}",
                    shown(listed),
                    shown(own.as_deref().unwrap_or(""))
                ));
            }
        }
        Ok(names.into_iter().map(Some).collect())
    }

    fn node(&mut self, proto: &NodeProto) -> Checked<()> {
        let domain = if proto.domain == "ai.onnx" { "" } else { proto.domain.as_str() };
        match (domain, proto.op_type.as_str()) {
            ("ai.onnx.ml", "TreeEnsembleClassifier") => self.ensemble(proto, true),
            ("ai.onnx.ml", "TreeEnsembleRegressor") => self.ensemble(proto, false),
            ("ai.onnx.ml", "ZipMap") => self.zip_map(proto),
            ("", "Identity") => {
                let value = self.value(Node::new(proto, &[])?.only_input()?)?.clone();
                self.give(proto, vec![value])
            }
            ("", "Cast") => self.cast(proto),
            ("", "Concat") => self.concat(proto),
            ("", "Exp" | "Add" | "Sub" | "Mul" | "Div") => self.calculation(proto),
            ("ai.onnx.ml", "TreeEnsemble") => {
                Err("is not supported, export the model for ai.onnx.ml 3 (target_opset={'ai.onnx.ml': 3})".to_string())
            }
            (domain, op) => {
                let domain = if domain.is_empty() { "ai.onnx" } else { domain };
                Err(format!("operator {} of {} is not supported, expected {OPERATORS}", shown(op), shown(domain)))
            }
        }
    }

    /// Defines a node's outputs. Outputs at the end may be left out.
    fn give(&mut self, proto: &NodeProto, values: Vec<Value>) -> Checked<()> {
        if proto.output.is_empty() || proto.output.len() > values.len() {
            return Err(format!("has {} outputs, expected 1 to {}", proto.output.len(), values.len()));
        }
        for (name, value) in proto.output.iter().zip(values) {
            self.define(name, value)?;
        }
        Ok(())
    }

    fn ensemble(&mut self, proto: &NodeProto, classifier: bool) -> Checked<()> {
        let known = if classifier { classifier_attributes() } else { regressor_attributes() };
        let node = Node::new(proto, &known)?;
        let name = node.only_input()?;
        let columns = match self.value(name)? {
            Value::Features { columns, element: element::FLOAT } => columns.clone(),
            other => {
                return Err(format!("input {} is {}, expected columns of float", shown(name), other.describe()));
            }
        };
        let ensemble = match classifier {
            true => Ensemble::classifier(&node, columns.len())?,
            false => Ensemble::regressor(&node, columns.len())?,
        };
        let index = self.ensembles.len();
        if index == ENSEMBLES_MAX {
            return Err(format!("is one ensemble too many, expected at most {ENSEMBLES_MAX} in a graph"));
        }
        let width = ensemble.aggregate.scores(ensemble.forest.targets);
        self.ensembles.push(Fed { ensemble, columns });
        let scores = Value::Scores { ensemble: index, width, then: Vec::new() };
        let values = if classifier { vec![Value::Label { ensemble: index }, scores] } else { vec![scores] };
        self.give(proto, values)
    }

    fn zip_map(&mut self, proto: &NodeProto) -> Checked<()> {
        let node = Node::new(proto, &["classlabels_int64s", "classlabels_strings"])?;
        let labels = Labels::read(&node, "classlabels_int64s", "classlabels_strings")?;
        let name = node.only_input()?;
        let Value::Scores { ensemble, then, .. } = self.value(name)? else {
            return Err(format!("input {} is {}, expected scores", shown(name), self.value(name)?.describe()));
        };
        let value = Value::Maps { ensemble: *ensemble, then: then.clone() };
        if self.ensembles[*ensemble].ensemble.labels.as_ref() != Some(&labels) {
            return Err("its class labels are not those of the classifier that feeds it".to_string());
        }
        self.give(proto, vec![value])
    }

    fn cast(&mut self, proto: &NodeProto) -> Checked<()> {
        let node = Node::new(proto, &["to", "saturate", "round_mode"])?;
        let to = node.int("to")?.and_then(|to| i32::try_from(to).ok()).unwrap_or(0);
        let name = node.only_input()?;
        let value = match (self.value(name)?, to) {
            (Value::Features { columns, .. }, element::FLOAT) => {
                Value::Features { columns: columns.clone(), element: element::FLOAT }
            }
            (scores @ Value::Scores { .. }, element::FLOAT | element::DOUBLE) => scores.clone(),
            (Value::Label { ensemble }, element::INT64)
                if matches!(self.ensembles[*ensemble].ensemble.labels, Some(Labels::Ints(_))) =>
            {
                Value::Label { ensemble: *ensemble }
            }
            (other, to) => {
                return Err(format!(
                    "of {} to {} is not supported, expected to float",
                    other.describe(),
                    element::name(to)
                ));
            }
        };
        self.give(proto, vec![value])
    }

    fn concat(&mut self, proto: &NodeProto) -> Checked<()> {
        let node = Node::new(proto, &["axis"])?;
        match node.int("axis")? {
            Some(1 | -1) => {}
            other => return Err(format!("attribute \"axis\" is {}, expected 1", other.unwrap_or(0))),
        }
        let mut columns = Vec::new();
        let mut common = None;
        for name in &proto.input {
            let (more, element) = match self.value(name)? {
                Value::Features { columns, element } => (columns.clone(), *element),
                other => return Err(format!("input {} is {}, expected features", shown(name), other.describe())),
            };
            if *common.get_or_insert(element) != element {
                return Err(format!("input {} is {}, the others are not", shown(name), element::name(element)));
            }
            self.concat_columns += more.len();
            if columns.len() + more.len() > FEATURES_MAX || self.concat_columns > CONCAT_COLUMNS_MAX {
                return Err(format!("has more than {FEATURES_MAX} columns"));
            }
            columns.extend_from_slice(&more);
        }
        let element = common.ok_or("has no inputs, expected at least 1")?;
        self.give(proto, vec![Value::Features { columns: columns.into(), element }])
    }

    fn calculation(&mut self, proto: &NodeProto) -> Checked<()> {
        let node = Node::new(proto, &[])?;
        let op = proto.op_type.as_str();
        let (scores, other) = match (op, proto.input.as_slice()) {
            ("Exp", [scores]) => (self.value(scores)?, None),
            ("Exp", _) => return Err(format!("has {} inputs, expected 1", node.proto.input.len())),
            (_, [scores, constant]) => {
                let (scores, constant) = (self.value(scores)?, self.value(constant)?);
                let swap = matches!(op, "Add" | "Mul") && matches!(scores, Value::Constant(_));
                if swap { (constant, Some(scores)) } else { (scores, Some(constant)) }
            }
            (_, inputs) => return Err(format!("has {} inputs, expected 2", inputs.len())),
        };
        let Value::Scores { ensemble, width, then } = scores else {
            return Err(format!("of {} is not supported, expected scores of an ensemble", scores.describe()));
        };
        let calculation = match other {
            None => Calculation::Exp,
            Some(Value::Constant(numbers)) if numbers.len() == 1 || numbers.len() == *width => {
                let numbers = numbers.clone();
                match op {
                    "Add" => Calculation::Add(numbers),
                    "Sub" => Calculation::Sub(numbers),
                    "Mul" => Calculation::Mul(numbers),
                    _ => Calculation::Div(numbers),
                }
            }
            Some(other) => {
                return Err(format!("with {} is not supported, expected 1 or {width} floats", other.describe()));
            }
        };
        let (ensemble, width, mut then) = (*ensemble, *width, then.clone());
        if then.len() == CALCULATIONS_MAX {
            return Err(format!("more than {CALCULATIONS_MAX} calculations follow an ensemble"));
        }
        then.push(calculation);
        self.give(proto, vec![Value::Scores { ensemble, width, then }])
    }

    /// What may be chosen. An output that is given twice (as matrix and as maps) counts once.
    fn outputs(&self, graph: &GraphProto) -> Checked<Vec<(Output, Source)>> {
        if graph.output.len() > GRAPH_OUTPUTS_MAX {
            return Err(format!("the graph has {} outputs, expected at most {GRAPH_OUTPUTS_MAX}", graph.output.len()));
        }
        let mut found: Vec<(Output, Source)> = Vec::new();
        let (mut label_found, mut scores_found) = (false, false);
        let mut from: Option<usize> = None;
        for info in &graph.output {
            let wrong = |fault: String| format!("output {}: {fault}", shown(&info.name));
            let value = self.values.get(&info.name).ok_or_else(|| wrong("no node gives it".to_string()))?;
            let (ensemble, listed) = self.output(value).map_err(wrong)?;
            check_output_type(info, value, &self.ensembles).map_err(wrong)?;
            if *from.get_or_insert(ensemble) != ensemble {
                return Err(wrong("it comes from another ensemble than the first output, expected one".to_string()));
            }
            let seen = if matches!(value, Value::Label { .. }) { &mut label_found } else { &mut scores_found };
            if !std::mem::replace(seen, true) {
                found.extend(listed);
            }
        }
        if found.is_empty() {
            return Err("the graph has no outputs, expected scores or a class label".to_string());
        }
        Ok(found)
    }

    /// The ensemble behind an output, and what it gives.
    fn output(&self, value: &Value) -> Checked<(usize, Vec<(Output, Source)>)> {
        let (ensemble, width, then) = match value {
            Value::Label { ensemble } => {
                return Ok((*ensemble, vec![(Output::Label, Source::Label { ensemble: *ensemble })]));
            }
            Value::Scores { ensemble, width, then } => (*ensemble, *width, then),
            Value::Maps { ensemble, then } => {
                let labels = self.ensembles[*ensemble].ensemble.labels.as_ref();
                (*ensemble, labels.map_or(0, Labels::len), then)
            }
            other => return Err(format!("is {}, expected scores or a class label of a model", other.describe())),
        };
        let names: Vec<Output> = match &self.ensembles[ensemble].ensemble.labels {
            Some(labels) => labels.texts().into_iter().map(|label| Output::Probability { label }).collect(),
            None => (0..width).map(|target| Output::Value { target }).collect(),
        };
        let source = |index| Source::Score { ensemble, index, then: then.clone() };
        Ok((ensemble, names.into_iter().enumerate().map(|(index, output)| (output, source(index))).collect()))
    }
}
