//! Random outputs: tables, and a decision.

use super::writer::{Output, Relation, Writer};

impl Writer<'_> {
    /// Only what has happened up to where inputs end comes out.
    pub fn until_end(&self) -> String {
        self.end.map_or("true".to_owned(), |end| format!("_time <= make_timestamp({end})"))
    }

    /// An output of some view.
    pub fn output(&mut self) {
        // Later views hold more.
        let from = self.views.len().saturating_sub(self.chance.of(&[1, 1, 2, 3, 4]));
        let of = self.views[from].clone();
        let table = format!("lake.o{}", self.said.outputs.len());
        let names: Vec<String> = if self.chance.permille(400) {
            of.columns.iter().map(|(name, _)| name.clone()).collect()
        } else {
            let mut names = vec!["id".to_owned()];
            for _ in 0..4 {
                let (name, _) = of.columns[self.chance.below(of.columns.len() as u64) as usize].clone();
                if !names.contains(&name) {
                    names.push(name);
                }
            }
            names
        };
        let filter = self.filter(&of);
        let all = names.len() == of.columns.len() && self.chance.permille(500);
        let list = if all { "*".to_owned() } else { names.join(", ") };
        self.said.ours += &format!("INSERT INTO {table}\nSELECT {list} FROM {} {filter};\n", of.name);
        let word = if filter.is_empty() { "WHERE" } else { "AND" };
        let select = format!("SELECT {} FROM {} {filter} {word} {}", names.join(", "), of.name, self.until_end());
        self.said.outputs.push(Output { table, columns: names, select, once_per: None });
    }

    /// A decision, of which the log is looked at. Which of two rows of one time acts first, topics alone tell.
    pub fn decision(&mut self, of: &Relation, is_ordered: bool) {
        let subject = self.chance.of(&["g", "k"]);
        let rules: Vec<DecisionRule> = (0..self.chance.between(1, 3))
            .map(|rule| DecisionRule {
                name: format!("r{rule}"),
                is_shadow: self.chance.permille(300),
                condition: of.columns("").condition(self.chance, 2),
                once_per: (is_ordered && self.chance.permille(400)).then(|| self.chance.of(&[1, 60, 3600])),
            })
            .collect();
        let written: Vec<String> = rules.iter().map(DecisionRule::written).collect();
        self.said.ours +=
            &format!("CREATE DECISION guard ON {} SUBJECT {subject} TO actions AS\n{};\n", of.name, written.join("\n"));
        let listed = |test: &str| {
            let each = |rule: &DecisionRule| format!("CASE WHEN ({}) {test} THEN '{}' END", rule.condition, rule.name);
            format!("concat_ws(',', {})", rules.iter().map(each).collect::<Vec<_>>().join(", "))
        };
        let acts = || rules.iter().filter(|rule| !rule.is_shadow);
        let first: String = acts().map(|rule| format!("WHEN {} THEN '{}' ", rule.condition, rule.name)).collect();
        let first = if first.is_empty() { "NULL::TEXT".to_owned() } else { format!("CASE {first}END") };
        let select = format!(
            "SELECT epoch_us(_time), _ord, {subject} AS subject, {} AS matched, {first} AS acted, {} AS nulls \
             FROM {} WHERE {}",
            listed("IS TRUE"),
            listed("IS NULL"),
            of.name,
            self.until_end()
        );
        let once_per = acts().filter_map(|rule| Some((rule.name.clone(), rule.once_per?))).collect();
        let columns = ["subject", "matched", "acted", "nulls", "suppressed"].map(str::to_owned).to_vec();
        self.said.outputs.push(Output { table: "guard__log".to_owned(), columns, select, once_per: Some(once_per) });
    }
}

/// A rule of a decision.
struct DecisionRule {
    name: String,
    is_shadow: bool,
    condition: String,
    /// In seconds.
    once_per: Option<i64>,
}

impl DecisionRule {
    fn written(&self) -> String {
        let DecisionRule { name, condition, .. } = self;
        let shadow = if self.is_shadow { "SHADOW " } else { "" };
        let once = self.once_per.map(|seconds| format!(" ONCE PER INTERVAL '{seconds}' SECOND")).unwrap_or_default();
        format!("  RULE {name} {shadow}WHEN {condition} THEN 'do_{name}'{once}")
    }
}
