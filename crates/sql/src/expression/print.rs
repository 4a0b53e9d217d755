//! Bound expressions as SQL that binds to the same tree again.

use super::compare::Comparison;
use super::scope::Place;
use super::sql_type;
use super::tree::{Op, Tree};

/// How columns are called.
pub(crate) type ColumnNames<'a> = &'a dyn Fn(Place) -> String;

/// An expression as SQL.
pub(crate) fn print(tree: &Tree, names: ColumnNames) -> String {
    let arguments = tree.arguments();
    let inner = |at: usize| arguments.get(at).map_or(String::new(), |argument| operand(argument, names));
    match tree.op() {
        Op::Column(place) => names(*place),
        Op::Literal(value) => value.to_string(),
        Op::Constant(constant) => constant.text().to_owned(),
        Op::Not => format!("NOT {}", inner(0)),
        Op::Negate => format!("-{}", inner(0)),
        Op::Cast { to, tries } => {
            let word = if *tries { "TRY_CAST" } else { "CAST" };
            format!("{word}({} AS {})", inner_alone(arguments, names), sql_type::name(to))
        }
        Op::Typed(to) => format!("{} {}", sql_type::name(to), inner(0)),
        Op::IsNull { negated } => format!("{} IS {}NULL", inner(0), not(*negated)),
        Op::Is { wanted, negated } => {
            format!("{} IS {}{}", inner(0), not(*negated), if *wanted { "TRUE" } else { "FALSE" })
        }
        Op::Between => format!("{} BETWEEN {} AND {}", inner(0), inner(1), inner(2)),
        Op::In => {
            let list: Vec<String> = arguments.iter().skip(1).map(|argument| print(argument, names)).collect();
            format!("{} IN ({})", inner(0), list.join(", "))
        }
        Op::Like { folds } => {
            let escape = if arguments.len() > 2 { format!(" ESCAPE {}", inner(2)) } else { String::new() };
            format!("{} {} {}{escape}", inner(0), if *folds { "ILIKE" } else { "LIKE" }, inner(1))
        }
        Op::Case { operand, otherwise } => case(*operand, *otherwise, arguments, names),
        Op::Function(name) => {
            let list: Vec<String> = arguments.iter().map(|argument| print(argument, names)).collect();
            format!("{name}({})", list.join(", "))
        }
        Op::Arm(arms) => format!("arm({} of {})", quoted(&arms.experiment), inner(0)),
        infix => format!("{} {} {}", inner(0), symbol(infix), inner(1)),
    }
}

fn inner_alone(arguments: &[Tree], names: ColumnNames) -> String {
    arguments.first().map_or(String::new(), |argument| print(argument, names))
}

fn not(negated: bool) -> &'static str {
    if negated { "NOT " } else { "" }
}

/// An expression as a part of another: in parentheses unless it stands alone anyway.
fn operand(tree: &Tree, names: ColumnNames) -> String {
    let text = print(tree, names);
    match tree.op() {
        // A sign before another one would begin a comment.
        Op::Literal(_) if text.starts_with('-') => format!("({text})"),
        Op::Column(_)
        | Op::Literal(_)
        | Op::Constant(_)
        | Op::Cast { .. }
        | Op::Typed(_)
        | Op::Function(_)
        | Op::Arm(_)
        | Op::Case { .. } => text,
        _ => format!("({text})"),
    }
}

fn symbol(op: &Op) -> String {
    let symbol = match op {
        Op::Arithmetic(operator) => return operator.to_string(),
        Op::And => "AND",
        Op::Or => "OR",
        Op::Concatenate => "||",
        Op::Compare(Comparison::Equal) => "=",
        Op::Compare(Comparison::NotEqual) => "<>",
        Op::Compare(Comparison::Less) => "<",
        Op::Compare(Comparison::LessOrEqual) => "<=",
        Op::Compare(Comparison::Greater) => ">",
        Op::Compare(Comparison::GreaterOrEqual) => ">=",
        Op::Compare(Comparison::Distinct) => "IS DISTINCT FROM",
        _ => "IS NOT DISTINCT FROM",
    };
    symbol.to_owned()
}

fn case(operand: bool, otherwise: bool, arguments: &[Tree], names: ColumnNames) -> String {
    let mut parts: Vec<String> = arguments.iter().map(|argument| print(argument, names)).collect();
    let otherwise = if otherwise { parts.pop() } else { None };
    let mut text = "CASE".to_owned();
    let branches = if operand && !parts.is_empty() {
        text = format!("CASE {}", parts[0]);
        &parts[1..]
    } else {
        &parts[..]
    };
    for branch in branches.chunks(2) {
        text.push_str(&format!(" WHEN {}", branch.join(" THEN ")));
    }
    if let Some(otherwise) = otherwise {
        text.push_str(&format!(" ELSE {otherwise}"));
    }
    text + " END"
}

/// A name as it has to be written for SQL to read it.
pub(crate) fn quoted(name: &str) -> String {
    use sqlparser::keywords::ALL_KEYWORDS;
    let plain = name.chars().all(|letter| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '_')
        && name.starts_with(|letter: char| letter.is_ascii_lowercase() || letter == '_');
    if plain && ALL_KEYWORDS.binary_search(&&*name.to_uppercase()).is_err() {
        return name.to_owned();
    }
    format!("\"{}\"", name.replace('"', "\"\""))
}
