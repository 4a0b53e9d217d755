//! Rules: each makes of a logical plan another that gives the same rows, dead letters and counts.
//!
//! The order is that of this list. What is sound where is said beside each rule.

mod fold;
mod narrow;
mod pass_filters;
mod place;
mod prune;
mod rewrite;
mod share;

use crate::expression::Problem;
use crate::plan::logical::LogicalPlan;

/// A rule that can be left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// Constants are computed when planned, and conditions that always hold are left out.
    FoldConstants,
    /// Conditions go down to where fewer rows are touched.
    PassFilters,
    /// Equal work is done once.
    ShareWork,
    /// Steps stand in the order in which rows travel least.
    PlaceExchanges,
    /// Columns that a chain of steps does not look at go around it.
    NarrowBranches,
    /// Columns that nobody needs are not carried.
    PruneColumns,
}

impl Rule {
    /// All rules, in the order in which they are applied.
    pub const ALL: [Rule; 6] = [
        Rule::FoldConstants,
        Rule::PassFilters,
        Rule::ShareWork,
        Rule::PlaceExchanges,
        Rule::NarrowBranches,
        Rule::PruneColumns,
    ];

    /// What plans call it.
    pub fn name(self) -> &'static str {
        match self {
            Rule::FoldConstants => "fold constants",
            Rule::PassFilters => "pass filters",
            Rule::ShareWork => "share work",
            Rule::PlaceExchanges => "place exchanges",
            Rule::NarrowBranches => "narrow branches",
            Rule::PruneColumns => "prune columns",
        }
    }

    fn apply(self, plan: &LogicalPlan) -> Result<(LogicalPlan, usize), Problem> {
        match self {
            Rule::FoldConstants => fold::apply(plan),
            Rule::PassFilters => pass_filters::apply(plan),
            Rule::ShareWork => share::apply(plan),
            Rule::PlaceExchanges => Ok(place::apply(plan)),
            Rule::NarrowBranches => Ok(narrow::apply(plan)),
            Rule::PruneColumns => Ok(prune::apply(plan)),
        }
    }
}

/// Applies rules: the plan that they make, and how often each fired.
pub(crate) fn apply(plan: LogicalPlan, rules: &[Rule]) -> Result<(LogicalPlan, Vec<(Rule, usize)>), Problem> {
    let (mut plan, mut fired) = (plan, Vec::new());
    for rule in Rule::ALL.into_iter().filter(|rule| rules.contains(rule)) {
        let (better, times) = rule.apply(&plan)?;
        if times > 0 {
            plan = better;
            fired.push((rule, times));
        }
    }
    Ok((plan, fired))
}
