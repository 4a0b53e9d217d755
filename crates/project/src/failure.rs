//! Why a project cannot be run.

use dataflow::Error;
use sql::Diagnostic;

/// Why a project cannot be run: places in its text, or an error outside of it.
#[derive(Debug)]
pub enum Failure {
    /// What is wrong in the SQL, each with its place.
    Diagnostics(Vec<Diagnostic>),
    /// Everything else.
    Error(Error),
    /// What ended a job that had begun to write.
    Begun(Error),
}

impl Failure {
    /// Whether all that is wrong is a name that was given outside of the project's text.
    pub fn is_of_a_name(&self) -> bool {
        matches!(self, Failure::Diagnostics(wrong) if wrong.iter().all(|one| one.path.starts_with('<')))
    }

    /// For a name that was given outside of the project's text: its place in a text of ours would say nothing.
    #[must_use]
    pub fn of_a_name(self) -> Failure {
        match self {
            Failure::Diagnostics(wrong) if wrong.iter().all(|one| one.path.starts_with('<')) => {
                let told = |one: &Diagnostic| {
                    let expected = one.expected.as_ref().map(|expected| format!("expected {expected}"));
                    let rest = one.hint.clone().or(expected).map_or(String::new(), |rest| format!("; {rest}"));
                    format!("{}{rest}", one.message)
                };
                Error::invalid(wrong.iter().map(told).collect::<Vec<_>>().join("; ")).into()
            }
            other => other,
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Failure::Error(error)
    }
}

impl From<Vec<Diagnostic>> for Failure {
    fn from(diagnostics: Vec<Diagnostic>) -> Self {
        Failure::Diagnostics(diagnostics)
    }
}
