//! The inputs that a model declares, against those that its file names.

use crate::diagnostic::{Fault, Outcome};
use crate::statement::Model;
use dataflow::Scorer;

/// Checks the declared inputs of a model against those of its file.
pub(crate) fn check(model: &Model, scorer: &dyn Scorer) -> Outcome<()> {
    let known = scorer.inputs();
    let file_names: Option<Vec<&str>> = known.iter().map(|input| input.name.as_deref()).collect();
    let Some(inputs) = &model.inputs else {
        if file_names.is_some() {
            return Ok(());
        }
        return Fault::new(
            model.name.span,
            format!("the file of model \"{}\" does not name its inputs", model.name.text),
        )
        .found(format!("{} inputs without names", known.len()))
        .hint("add INPUTS (..) with the names of columns in the order in which the model was trained")
        .err();
    };
    let span = inputs.first().map_or(model.name.span, |name| name.span);
    if inputs.len() != known.len() {
        return Fault::new(span, format!("model \"{}\" has another number of inputs", model.name.text))
            .found(format!("{} in INPUTS", inputs.len()))
            .expected(format!("{} in {}", known.len(), model.path.text))
            .err();
    }
    for (name, input) in inputs.iter().zip(known) {
        if let Some(expected) = input.name.as_ref().filter(|expected| !expected.eq_ignore_ascii_case(&name.text)) {
            let names = file_names.clone().unwrap_or_default();
            let there = names.iter().any(|known| known.eq_ignore_ascii_case(&name.text));
            let wrong = if there { "are not in the order of its file" } else { "are not those of its file" };
            return Fault::new(name.span, format!("INPUTS of model \"{}\" {wrong}", model.name.text))
                .found(&*name.text)
                .expected(format!("{expected}; the file has {}", names.join(", ")))
                .err();
        }
    }
    Ok(())
}
