//! ZipMap: scores by label.

use super::operation::Operation;
use crate::builder::Builder;
use crate::labels::Labels;
use crate::node::Checked;
use crate::value::Value;

/// Names the classes of scores.
pub fn zip_map(builder: &mut Builder, operation: &Operation) -> Checked<Vec<Value>> {
    operation.expect_inputs(1, 1)?;
    let node = operation.node(&["classlabels_int64s", "classlabels_strings"])?;
    let labels = Labels::read(&node, "classlabels_int64s", "classlabels_strings")?;
    let scores = operation.tensor(builder, 0)?;
    if !scores.element.is_real() || scores.cells.len() != labels.len() {
        return Err(format!("names {} classes of {}, which do not fit", labels.len(), scores.describe()));
    }
    Ok(vec![Value::Maps(scores.with_labels(Some(labels.into())))])
}
