//! Names, types and functions of a syntax tree become a tree over columns.

use super::compare::Comparison;
use super::constant::Constant;
use super::functions::{find, function};
use super::interval_literal::{self, IntervalLiteral};
use super::operator::Operator;
use super::scope::{Problem, Scope};
use super::sql_type;
use super::tree::{Op, Tree};
use arrow::array::{Array, AsArray};
use arrow::datatypes::{DataType, DurationMicrosecondType, TimeUnit};
use sqlparser::ast::{
    self, AccessExpr, BinaryOperator, CastKind, CeilFloorKind, Expr, FunctionArg, FunctionArgExpr, FunctionArguments,
    Ident, Spanned, Subscript, TrimWhereField, UnaryOperator, Value,
};

/// Gives what stands for a part of an expression that is more than a function of the row; `None` for all other parts.
pub(crate) trait Special {
    fn bind(&mut self, expr: &Expr) -> Result<Option<Tree>, Problem>;
}

/// Nothing is more than a function of the row.
pub(crate) struct RowAlone;

impl Special for RowAlone {
    fn bind(&mut self, _: &Expr) -> Result<Option<Tree>, Problem> {
        Ok(None)
    }
}

/// Binds expressions over the columns of a scope.
pub(crate) struct Binder<'a> {
    scope: &'a Scope,
    special: &'a mut dyn Special,
}

impl<'a> Binder<'a> {
    pub(crate) fn new(scope: &'a Scope, special: &'a mut dyn Special) -> Self {
        Binder { scope, special }
    }

    /// An expression with its type; a problem carries the narrowest place known.
    pub(crate) fn bind(&mut self, expr: &Expr) -> Result<Tree, Problem> {
        self.bind_here(expr).map_err(|problem| problem.at(expr.span()))
    }

    fn all<'e>(&mut self, exprs: impl IntoIterator<Item = &'e Expr>) -> Result<Vec<Tree>, Problem> {
        exprs.into_iter().map(|expr| self.bind(expr)).collect()
    }

    /// An operation over expressions.
    fn of<'e>(&mut self, op: Op, exprs: impl IntoIterator<Item = &'e Expr>) -> Result<Tree, Problem> {
        Tree::of(op, self.all(exprs)?)
    }

    fn bind_here(&mut self, expr: &Expr) -> Result<Tree, Problem> {
        if let Some(tree) = self.special.bind(expr)? {
            return Ok(tree);
        }
        match expr {
            Expr::Identifier(name) => self.column(None, name),
            Expr::CompoundIdentifier(path) => self.path(path),
            Expr::CompoundFieldAccess { root, access_chain } => {
                let root = self.bind(root)?;
                access_chain.iter().try_fold(root, |of, access| field(of, access))
            }
            Expr::Nested(inner) => self.bind(inner),
            Expr::Value(value) => literal(&value.value),
            Expr::TypedString(typed) => {
                Tree::of(Op::Typed(sql_type::parse(&typed.data_type)?), vec![literal(&typed.value.value)?])
            }
            Expr::Interval(written) => self.interval(written),
            Expr::UnaryOp { op, expr } => self.unary(op, expr),
            Expr::BinaryOp { left, op, right } => {
                let arguments = self.all([&**left, &**right])?;
                binary(op, arguments)
            }
            Expr::Cast { format: Some(format), .. } => Err(Problem::new("CAST has no FORMAT")
                .found(format.to_string())
                .hint("leave it out; strptime reads a time by a format")),
            Expr::Cast { kind, expr, data_type, .. } => {
                let tries = matches!(kind, CastKind::TryCast | CastKind::SafeCast);
                let value = self.bind(expr)?;
                Tree::of(Op::Cast { to: sql_type::parse(data_type)?, tries }, vec![value])
            }
            Expr::Case { operand, conditions, else_result, .. } => {
                let branches = conditions.iter().flat_map(|branch| [&branch.condition, &branch.result]);
                let op = Op::Case { operand: operand.is_some(), otherwise: else_result.is_some() };
                self.of(op, operand.as_deref().into_iter().chain(branches).chain(else_result.as_deref()))
            }
            Expr::Function(called) => self.call(called),
            _ => self.condition(expr),
        }
    }

    fn condition(&mut self, expr: &Expr) -> Result<Tree, Problem> {
        let is = |wanted, negated| Op::Is { wanted, negated };
        match expr {
            Expr::IsNull(value) | Expr::IsUnknown(value) => self.of(Op::IsNull { negated: false }, [&**value]),
            Expr::IsNotNull(value) | Expr::IsNotUnknown(value) => self.of(Op::IsNull { negated: true }, [&**value]),
            Expr::IsTrue(value) => self.of(is(true, false), [&**value]),
            Expr::IsNotTrue(value) => self.of(is(true, true), [&**value]),
            Expr::IsFalse(value) => self.of(is(false, false), [&**value]),
            Expr::IsNotFalse(value) => self.of(is(false, true), [&**value]),
            Expr::IsDistinctFrom(left, right) => self.of(Op::Compare(Comparison::Distinct), [&**left, &**right]),
            Expr::IsNotDistinctFrom(left, right) => self.of(Op::Compare(Comparison::NotDistinct), [&**left, &**right]),
            Expr::InList { expr, list, negated } => {
                let tree = self.of(Op::In, [&**expr].into_iter().chain(list))?;
                maybe_not(*negated, tree)
            }
            Expr::Between { expr, negated, low, high } => {
                let tree = self.of(Op::Between, [&**expr, &**low, &**high])?;
                maybe_not(*negated, tree)
            }
            Expr::Like { negated, any: false, expr, pattern, escape_char } => {
                self.like(false, *negated, [&**expr, &**pattern], escape_char.as_ref())
            }
            Expr::ILike { negated, any: false, expr, pattern, escape_char } => {
                self.like(true, *negated, [&**expr, &**pattern], escape_char.as_ref())
            }
            Expr::SimilarTo { negated, expr, pattern, escape_char: None } => {
                let tree = self.named("regexp_full_match", [&**expr, &**pattern])?;
                maybe_not(*negated, tree)
            }
            _ => self.with_grammar(expr),
        }
    }

    /// Functions with a grammar of their own.
    fn with_grammar(&mut self, expr: &Expr) -> Result<Tree, Problem> {
        match expr {
            Expr::Extract { field, expr, .. } => {
                let part = Value::SingleQuotedString(field.to_string().to_lowercase());
                let arguments = vec![literal(&part)?, self.bind(expr)?];
                call("date_part", arguments)
            }
            Expr::Ceil { expr, field } if plain_rounding(field) => self.named("ceil", [&**expr]),
            Expr::Floor { expr, field } if plain_rounding(field) => self.named("floor", [&**expr]),
            Expr::Position { expr, r#in } => self.named("position", [&**r#in, &**expr]),
            Expr::Substring { expr, substring_from, substring_for, shorthand, .. } => {
                let mut arguments = vec![self.bind(expr)?];
                match (substring_from, substring_for) {
                    (Some(from), _) => arguments.push(self.bind(from)?),
                    (None, Some(_)) => arguments.push(literal(&Value::Number("1".into(), false))?),
                    (None, None) => {}
                }
                arguments.extend(substring_for.as_deref().map(|length| self.bind(length)).transpose()?);
                call(if *shorthand { "substr" } else { "substring" }, arguments)
            }
            Expr::Trim { expr, trim_where, trim_what, trim_characters } => {
                let name = match trim_where {
                    Some(TrimWhereField::Leading) => "ltrim",
                    Some(TrimWhereField::Trailing) => "rtrim",
                    _ => "trim",
                };
                let letters = trim_what.as_deref().into_iter().chain(trim_characters.iter().flatten());
                self.named(name, [&**expr].into_iter().chain(letters))
            }
            Expr::Subquery(_) | Expr::Exists { .. } | Expr::InSubquery { .. } => {
                Err(Problem::new("a subquery cannot stand here")
                    .found(expr.to_string())
                    .hint("write it as a column of its own in the SELECT list of a view, and use that column here"))
            }
            Expr::AnyOp { .. } | Expr::AllOp { .. } => Err(Problem::new("ANY and ALL are not known")
                .found(expr.to_string())
                .hint("write IN or NOT IN, or compare with min(..) or max(..)")),
            Expr::AtTimeZone { .. } => Err(Problem::new("AT TIME ZONE is not known: all times are in UTC")
                .found("AT TIME ZONE")
                .hint("leave it out, or add the offset as an interval")),
            other => Err(Problem::new("this kind of expression is not known").found(other.to_string())),
        }
    }

    fn named<'e>(&mut self, name: &str, exprs: impl IntoIterator<Item = &'e Expr>) -> Result<Tree, Problem> {
        let arguments = self.all(exprs)?;
        call(name, arguments)
    }

    fn interval(&mut self, interval: &ast::Interval) -> Result<Tree, Problem> {
        match interval_literal::literal(interval)? {
            IntervalLiteral::Constant(value) => Tree::of(Op::Constant(Constant::new(value)?), vec![]),
            IntervalLiteral::Units(unit) => {
                let (count, function) = (self.bind(&interval.value)?, interval_literal::function_of(&unit)?);
                call(&function, vec![count_of(&function, count)?])
            }
        }
    }

    fn column(&mut self, table: Option<&Ident>, name: &Ident) -> Result<Tree, Problem> {
        let column = self.scope.resolve(table, name)?;
        Ok(Tree::place(column.place, column.data_type.clone()))
    }

    /// A column by its path: `stream.column` before `column.field`, as in DuckDB, and fields of fields after it.
    fn path(&mut self, path: &[Ident]) -> Result<Tree, Problem> {
        let [first, second, rest @ ..] = path else {
            return Err(Problem::new("a name has no parts").expected("column or stream.column"));
        };
        let (column, fields) = match self.column(Some(first), second) {
            Ok(column) => (column, rest),
            Err(unknown) => match self.column(None, first) {
                Ok(column) if matches!(column.data_type(), DataType::Struct(_)) => (column, &path[1..]),
                _ => return Err(unknown),
            },
        };
        fields.iter().try_fold(column, |of, name| named_field(of, name))
    }

    fn unary(&mut self, operator: &UnaryOperator, expr: &Expr) -> Result<Tree, Problem> {
        if let (UnaryOperator::Minus, Expr::Value(value)) = (operator, expr)
            && let Value::Number(text, long) = &value.value
            && [i64::MIN.unsigned_abs(), i32::MIN.unsigned_abs().into()].contains(&text.parse().unwrap_or(0))
        {
            // These fit into their type with their sign alone.
            return Tree::of(Op::Literal(Value::Number(format!("-{text}"), *long)), vec![]);
        }
        let value = self.bind(expr)?;
        match operator {
            UnaryOperator::Not | UnaryOperator::BangNot => Tree::of(Op::Not, vec![value]),
            UnaryOperator::Minus => Tree::of(Op::Negate, vec![value]),
            UnaryOperator::Plus if sql_type::is_number(value.data_type()) => Ok(value),
            other => Err(Problem::new(format!("no operator {other} {}", sql_type::name(value.data_type())))),
        }
    }

    fn like(
        &mut self,
        folds: bool,
        negated: bool,
        exprs: [&Expr; 2],
        escape: Option<&ast::ValueWithSpan>,
    ) -> Result<Tree, Problem> {
        let mut arguments = self.all(exprs)?;
        arguments.extend(escape.map(|escape| literal(&escape.value)).transpose()?);
        maybe_not(negated, Tree::of(Op::Like { folds }, arguments)?)
    }

    fn call(&mut self, called: &ast::Function) -> Result<Tree, Problem> {
        let name = called.name.to_string().to_lowercase();
        if called.over.is_some() || called.filter.is_some() || !called.within_group.is_empty() {
            return Err(Problem::new(format!("{name} over a window cannot stand here"))
                .found(called.to_string())
                .hint("write it as a column of its own in the SELECT list of a view, and use that column here"));
        }
        if called.null_treatment.is_some() || called.uses_odbc_syntax || called.parameters != FunctionArguments::None {
            return Err(Problem::new(format!("{name} takes plain arguments")).found(called.to_string()));
        }
        let list = match &called.args {
            FunctionArguments::None => &[][..],
            FunctionArguments::List(list) if list.duplicate_treatment.is_none() && list.clauses.is_empty() => {
                &list.args
            }
            _ => return Err(Problem::new(format!("{name} takes plain arguments")).found(called.to_string())),
        };
        let mut arguments = Vec::with_capacity(list.len());
        for argument in list {
            match argument {
                FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => arguments.push(self.bind(expr)?),
                other if name == "count" => {
                    return call("count", vec![]).map_err(|problem| problem.found(format!("count({other})")));
                }
                other => {
                    find(&name)?;
                    let problem = Problem::new(format!("{name} takes plain arguments")).found(other.to_string());
                    return Err(problem.expected("an expression"));
                }
            }
        }
        call(&name, arguments)
    }
}

/// How many of a unit `INTERVAL (x) HOUR` counts, for the function that counts it: of a number with a fraction the whole
/// part, as in DuckDB, where no fractions of the unit are kept.
fn count_of(function: &str, count: Tree) -> Result<Tree, Problem> {
    let keeps_fractions = matches!(function, "to_seconds" | "to_milliseconds");
    let data_type = count.data_type();
    if keeps_fractions || data_type.is_integer() || !sql_type::is_number(data_type) {
        return Ok(count);
    }
    let whole = Tree::of(Op::Function("trunc"), vec![count])?;
    Tree::of(Op::Cast { to: DataType::Int64, tries: false }, vec![whole])
}

fn plain_rounding(kind: &CeilFloorKind) -> bool {
    matches!(kind, CeilFloorKind::DateTimeField(ast::DateTimeField::NoDateTime))
}

/// A call of a function by a name in lower case.
fn call(name: &str, arguments: Vec<Tree>) -> Result<Tree, Problem> {
    let known = find(name)?.names[0];
    if name != known {
        // What is wrong is said with the name that was written.
        function(name, arguments.iter().map(Tree::bound).collect())?;
    }
    Tree::of(Op::Function(known), arguments)
}

/// A field of a struct, as the parser has it: `.name` or `['name']`.
fn field(of: Tree, access: &AccessExpr) -> Result<Tree, Problem> {
    match access {
        AccessExpr::Dot(Expr::Identifier(name)) => named_field(of, name),
        AccessExpr::Subscript(Subscript::Index { index: Expr::Value(value) })
            if matches!(value.value, Value::SingleQuotedString(_)) =>
        {
            call("struct_extract", vec![of, literal(&value.value)?])
        }
        other => Err(Problem::new("only a field of a STRUCT can be taken out")
            .found(other.to_string())
            .expected("a name, as in s.field or s['field']")),
    }
}

fn named_field(of: Tree, name: &Ident) -> Result<Tree, Problem> {
    let text = Value::SingleQuotedString(name.value.clone());
    call("struct_extract", vec![of, literal(&text)?]).map_err(|problem| problem.at(name.span))
}

/// NOT of a condition when `negated`.
fn maybe_not(negated: bool, condition: Tree) -> Result<Tree, Problem> {
    if negated { Tree::of(Op::Not, vec![condition]) } else { Ok(condition) }
}

fn binary(operator: &BinaryOperator, arguments: Vec<Tree>) -> Result<Tree, Problem> {
    use BinaryOperator as B;
    let op = match operator {
        B::Plus => Op::Arithmetic(Operator::Add),
        B::Minus => Op::Arithmetic(Operator::Subtract),
        B::Multiply => Op::Arithmetic(Operator::Multiply),
        B::Divide => Op::Arithmetic(Operator::Divide),
        B::DuckIntegerDivide => Op::Arithmetic(Operator::WholeDivide),
        B::Modulo => Op::Arithmetic(Operator::Remainder),
        B::And => Op::And,
        B::Or => Op::Or,
        B::StringConcat => Op::Concatenate,
        B::PGRegexMatch => return call("regexp_matches", arguments),
        B::PGRegexNotMatch => return maybe_not(true, call("regexp_matches", arguments)?),
        B::PGRegexIMatch => return matches_any_case(arguments),
        B::PGRegexNotIMatch => return maybe_not(true, matches_any_case(arguments)?),
        B::PGLikeMatch => Op::Like { folds: false },
        B::PGILikeMatch => Op::Like { folds: true },
        B::PGNotLikeMatch => return maybe_not(true, Tree::of(Op::Like { folds: false }, arguments)?),
        B::PGNotILikeMatch => return maybe_not(true, Tree::of(Op::Like { folds: true }, arguments)?),
        B::BitwiseXor => return call("power", arguments),
        B::Eq => Op::Compare(Comparison::Equal),
        B::NotEq => Op::Compare(Comparison::NotEqual),
        B::Lt => Op::Compare(Comparison::Less),
        B::LtEq => Op::Compare(Comparison::LessOrEqual),
        B::Gt => Op::Compare(Comparison::Greater),
        B::GtEq => Op::Compare(Comparison::GreaterOrEqual),
        other => return Err(Problem::new(format!("the operator {other} is not known")).found(other.to_string())),
    };
    Tree::of(op, arguments)
}

/// `text ~* pattern`.
fn matches_any_case(mut arguments: Vec<Tree>) -> Result<Tree, Problem> {
    arguments.push(literal(&Value::SingleQuotedString("i".into()))?);
    call("regexp_matches", arguments)
}

fn literal(value: &Value) -> Result<Tree, Problem> {
    let value = match value {
        Value::EscapedStringLiteral(text) | Value::NationalStringLiteral(text) => {
            Value::SingleQuotedString(text.clone())
        }
        Value::DollarQuotedString(quoted) => Value::SingleQuotedString(quoted.value.clone()),
        other => other.clone(),
    };
    Tree::of(Op::Literal(value), vec![])
}

/// The length of a constant interval.
pub(crate) fn micros(expr: &Expr) -> Result<i64, Problem> {
    let scope = Scope::default();
    let tree = Binder::new(&scope, &mut RowAlone).bind(expr)?;
    let found = sql_type::name(tree.data_type());
    let problem = |message: &str| Problem::new(message).at(expr.span()).found(expr.to_string());
    let value = tree.constant().map_err(|problem| problem.at(expr.span()))?;
    match value.data_type() {
        DataType::Duration(TimeUnit::Microsecond) if value.is_valid(0) => {
            Ok(value.as_primitive::<DurationMicrosecondType>().value(0))
        }
        DataType::Interval(_) => Err(problem("an interval with months has no length")
            .expected("an interval of days or less")
            .hint("write days, e.g. INTERVAL '30' DAY")),
        _ => {
            Err(problem(&format!("a constant interval is needed here, not {found}")).expected("e.g. INTERVAL '1' DAY"))
        }
    }
}
