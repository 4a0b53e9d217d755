//! What goes into a model and what comes out of it, by name.

use crate::node::shown;
use dataflow::ScorerInput;
use std::collections::HashSet;
use std::fmt;

/// What a model takes and gives, as its file says it.
#[derive(Clone, Debug, PartialEq)]
pub struct Signature {
    /// One per feature, in the model's order.
    pub inputs: Vec<ScorerInput>,
    /// What may be chosen, in the file's order.
    pub outputs: Vec<Output>,
}

/// One column that a model can give.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Output {
    /// The probability (or the score, where the model does not scale it) of a class.
    Probability { label: String },
    /// The class itself.
    Label,
    /// A regressor's value; `target` counts from 0 where there are several.
    Value { target: usize },
    /// Another output of the graph, by its name there.
    Named { name: String },
}

impl fmt::Display for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Output::Probability { label } => write!(f, "probability OF {label}"),
            Output::Label => write!(f, "label"),
            Output::Value { target: 0 } => write!(f, "value"),
            Output::Value { target } => write!(f, "value OF {target}"),
            Output::Named { name } => write!(f, "{name}"),
        }
    }
}

/// What a statement asks a model for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum OutputSelector {
    /// The statement names nothing: the only output, or all of several.
    Only,
    /// `probability OF label`, the label as text, or the name of an output.
    Probability { label: String },
    /// `label`.
    Label,
    /// `value`.
    Value,
    /// `value OF 2`, the place of a target as text.
    ValueOf { target: String },
}

impl fmt::Display for OutputSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OutputSelector::Only => write!(f, "its only output"),
            OutputSelector::Probability { label } => write!(f, "probability OF {}", shown(label)),
            OutputSelector::Label => write!(f, "label"),
            OutputSelector::Value => write!(f, "value"),
            OutputSelector::ValueOf { target } => write!(f, "value OF {}", shown(target)),
        }
    }
}

impl Signature {
    /// The place of the output that is asked for, or what to ask for instead.
    pub fn find(&self, selector: &OutputSelector) -> Result<usize, String> {
        let wanted = match selector {
            OutputSelector::Only if self.outputs.len() == 1 => return Ok(0),
            OutputSelector::Only => {
                return Err(format!("has {} outputs, expected one of: {}", self.outputs.len(), self.list()));
            }
            OutputSelector::Probability { label } => Output::Probability { label: label.clone() },
            OutputSelector::Label => Output::Label,
            OutputSelector::Value => Output::Value { target: 0 },
            OutputSelector::ValueOf { target } => {
                let target =
                    target.parse().map_err(|_| format!("has no output {selector}, expected a place from 0 on"))?;
                Output::Value { target }
            }
        };
        if *selector == OutputSelector::Value && self.has_values() {
            return Err("gives several values, expected value OF 0, value OF 1 and so on".to_string());
        }
        let place = self.outputs.iter().position(|output| *output == wanted).or_else(|| self.find_name(selector));
        place.ok_or_else(|| format!("has no output {selector}, expected one of: {}", self.list()))
    }

    /// What the fields are called where all outputs come as a struct: `label`, `probability_1`, `value` or `value_0`
    /// and `value_1`, and other outputs by their own names. Each name is there once, whatever the case of its letters.
    pub fn field_names(&self) -> Vec<String> {
        let has_several = self.has_values();
        let mut taken = HashSet::new();
        let mut name = |output: &Output| {
            let name = match output {
                Output::Probability { label } => format!("probability_{label}"),
                Output::Label => "label".to_owned(),
                Output::Value { target } if has_several => format!("value_{target}"),
                Output::Value { .. } => "value".to_owned(),
                Output::Named { name } => name.clone(),
            };
            let mut numbers = 1..;
            let mut free = name.clone();
            while !taken.insert(free.to_lowercase()) {
                free = format!("{name}_{}", numbers.next().unwrap_or(0));
            }
            free
        };
        self.outputs.iter().map(&mut name).collect()
    }

    /// The place of an output that has a name of its own.
    fn find_name(&self, selector: &OutputSelector) -> Option<usize> {
        let wanted = match selector {
            OutputSelector::Probability { label } => label.as_str(),
            OutputSelector::Label => "label",
            OutputSelector::Value => "value",
            OutputSelector::Only | OutputSelector::ValueOf { .. } => return None,
        };
        let named = |output: &Output| matches!(output, Output::Named { name } if name.eq_ignore_ascii_case(wanted));
        self.outputs.iter().position(named)
    }

    /// An output as a statement would name it: the first of several values by its place.
    pub fn name(&self, output: &Output) -> String {
        match output {
            Output::Value { target: 0 } if self.has_values() => "value OF 0".to_owned(),
            _ => output.to_string(),
        }
    }

    /// Whether there are values by place.
    fn has_values(&self) -> bool {
        self.outputs.contains(&Output::Value { target: 1 })
    }

    /// The outputs as a statement would name them, the first ones if there are many.
    pub fn list(&self) -> String {
        const SHOWN_MAX: usize = 20;
        let mut names: Vec<String> = self.outputs.iter().take(SHOWN_MAX).map(|output| self.name(output)).collect();
        if self.outputs.len() > SHOWN_MAX {
            names.push(format!("and {} more", self.outputs.len() - SHOWN_MAX));
        }
        names.join(", ")
    }
}
