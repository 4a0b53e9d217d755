//! Names, types and functions of a syntax tree become nodes.

use super::arithmetic;
use super::bound::{Bound, OpenLiteral};
use super::cast::{self, cast_to, plain};
use super::compare::{self, Comparison};
use super::functions::{self, concatenate, function, maybe_not};
use super::interval_literal::{self, IntervalLiteral};
use super::node::Reference;
use super::operator::Operator;
use super::scope::{Problem, Scope};
use super::{sql_type, time};
use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Decimal128Array, Float64Array, Int32Array, Int64Array, StringArray,
};
use arrow::datatypes::{DataType, DurationMicrosecondType, TimeUnit};
use sqlparser::ast::{
    self, BinaryOperator, CastKind, CeilFloorKind, Expr, FunctionArg, FunctionArgExpr, FunctionArgOperator,
    FunctionArguments, Ident, Spanned, TrimWhereField, UnaryOperator, Value,
};
use std::sync::Arc;

/// Binds expressions over the columns of a scope.
pub(crate) struct Binder<'a> {
    scope: &'a Scope,
}

impl<'a> Binder<'a> {
    pub(crate) fn new(scope: &'a Scope) -> Self {
        Binder { scope }
    }

    /// An expression with its type; a problem carries the narrowest place known.
    pub(crate) fn bind(&self, expr: &Expr) -> Result<Bound, Problem> {
        self.bind_here(expr).map_err(|problem| problem.at(expr.span()))
    }

    /// An expression as the argument of something.
    pub(crate) fn operand(&self, expr: &Expr) -> Result<Bound, Problem> {
        plain(self.bind(expr)?)
    }

    fn operands<'e>(&self, exprs: impl IntoIterator<Item = &'e Expr>) -> Result<Vec<Bound>, Problem> {
        exprs.into_iter().map(|expr| self.operand(expr)).collect()
    }

    fn bind_here(&self, expr: &Expr) -> Result<Bound, Problem> {
        match expr {
            Expr::Identifier(name) => self.column(None, name),
            Expr::CompoundIdentifier(path) => match &path[..] {
                [table, name] => self.column(Some(table), name),
                _ => Err(Problem::new(format!("\"{expr}\" is not a column")).expected("column or stream.column")),
            },
            Expr::Nested(inner) => self.bind(inner),
            Expr::Value(value) => literal(&value.value),
            Expr::TypedString(typed) => {
                let text = literal(&typed.value.value)?;
                cast_to(text, &sql_type::parse(&typed.data_type)?)
            }
            Expr::Interval(written) => self.interval(written),
            Expr::UnaryOp { op, expr } => self.unary(op, expr),
            // The parser lets ^ bind looser than *, DuckDB tighter.
            Expr::BinaryOp { left, op: BinaryOperator::BitwiseXor, right }
                if [left, right].iter().any(|side| matches!(***side, Expr::BinaryOp { .. })) =>
            {
                Err(Problem::new("^ next to another operator is not clear")
                    .found(expr.to_string())
                    .hint("put parentheses around each ^, or write power(a, b)"))
            }
            Expr::BinaryOp { left, op, right } => binary(op, self.operand(left)?, self.operand(right)?),
            Expr::Cast { kind, expr, data_type, .. } => {
                let tries = matches!(kind, CastKind::TryCast | CastKind::SafeCast);
                cast::cast(self.operand(expr)?, &sql_type::parse(data_type)?, tries)
            }
            Expr::Case { operand, conditions, else_result, .. } => {
                self.case(operand.as_deref(), conditions, else_result.as_deref())
            }
            Expr::Function(called) => self.call(called),
            _ => self.condition(expr),
        }
    }

    fn condition(&self, expr: &Expr) -> Result<Bound, Problem> {
        match expr {
            Expr::IsNull(value) | Expr::IsUnknown(value) => compare::null_test(self.operand(value)?, true),
            Expr::IsNotNull(value) | Expr::IsNotUnknown(value) => compare::null_test(self.operand(value)?, false),
            Expr::IsTrue(value) => compare::truth(self.operand(value)?, true, false),
            Expr::IsNotTrue(value) => compare::truth(self.operand(value)?, true, true),
            Expr::IsFalse(value) => compare::truth(self.operand(value)?, false, false),
            Expr::IsNotFalse(value) => compare::truth(self.operand(value)?, false, true),
            Expr::IsDistinctFrom(left, right) => {
                compare::compare(Comparison::Distinct, self.operand(left)?, self.operand(right)?)
            }
            Expr::IsNotDistinctFrom(left, right) => {
                compare::compare(Comparison::NotDistinct, self.operand(left)?, self.operand(right)?)
            }
            Expr::InList { expr, list, negated } => {
                maybe_not(*negated, compare::in_list(self.operand(expr)?, self.operands(list)?)?)
            }
            Expr::Between { expr, negated, low, high } => {
                let (value, low, high) = (self.operand(expr)?, self.operand(low)?, self.operand(high)?);
                maybe_not(*negated, compare::between(value, low, high)?)
            }
            Expr::Like { negated, any: false, expr, pattern, escape_char } => {
                self.like(["~~", "like_escape"], *negated, expr, pattern, escape_char.as_ref())
            }
            Expr::ILike { negated, any: false, expr, pattern, escape_char } => {
                self.like(["~~*", "ilike_escape"], *negated, expr, pattern, escape_char.as_ref())
            }
            Expr::SimilarTo { negated, expr, pattern, escape_char: None } => {
                maybe_not(*negated, function("regexp_full_match", self.operands([&**expr, &**pattern])?)?)
            }
            _ => self.special(expr),
        }
    }

    /// Functions with a grammar of their own.
    fn special(&self, expr: &Expr) -> Result<Bound, Problem> {
        match expr {
            Expr::Extract { field, expr, .. } => time::date_part(time::part(&field.to_string())?, self.operand(expr)?),
            Expr::Ceil { expr, field } if plain_rounding(field) => function("ceil", self.operands([&**expr])?),
            Expr::Floor { expr, field } if plain_rounding(field) => function("floor", self.operands([&**expr])?),
            Expr::Position { expr, r#in } => function("position", self.operands([&**r#in, &**expr])?),
            Expr::Substring { expr, substring_from, substring_for, .. } => {
                let mut arguments = self.operands([&**expr])?;
                match substring_from {
                    Some(from) => arguments.push(self.operand(from)?),
                    None => arguments.push(literal(&Value::Number("1".into(), false))?),
                }
                if let Some(length) = substring_for {
                    arguments.push(self.operand(length)?);
                }
                function("substring", arguments)
            }
            Expr::Trim { expr, trim_where, trim_what, trim_characters } => {
                let name = match trim_where {
                    Some(TrimWhereField::Leading) => "ltrim",
                    Some(TrimWhereField::Trailing) => "rtrim",
                    _ => "trim",
                };
                let letters = trim_what.as_deref().into_iter().chain(trim_characters.iter().flatten());
                function(name, self.operands([&**expr].into_iter().chain(letters))?)
            }
            Expr::Subquery(_) | Expr::Exists { .. } | Expr::InSubquery { .. } => {
                Err(Problem::new("a subquery cannot stand here")
                    .found(expr.to_string())
                    .hint("write it as a column of its own in the SELECT list of a view, and use that column here"))
            }
            Expr::AtTimeZone { .. } => Err(Problem::new("AT TIME ZONE is not known: all times are in UTC")
                .found("AT TIME ZONE")
                .hint("leave it out, or add the offset as an interval")),
            other => Err(Problem::new("this kind of expression is not known").found(other.to_string())),
        }
    }

    fn interval(&self, interval: &ast::Interval) -> Result<Bound, Problem> {
        match interval_literal::literal(interval)? {
            IntervalLiteral::Constant(interval) => Ok(interval),
            IntervalLiteral::Units(unit) => interval_literal::many_of(self.bind(&interval.value)?, &unit),
        }
    }

    fn column(&self, table: Option<&Ident>, name: &Ident) -> Result<Bound, Problem> {
        let column = self.scope.resolve(table, name)?;
        let nullable = matches!(column.place, super::Place::Column(_));
        Ok(Bound {
            node: Arc::new(Reference(column.place)),
            data_type: column.data_type.clone(),
            nullable,
            open: None,
            value: None,
            constant: false,
        })
    }

    fn unary(&self, operator: &UnaryOperator, expr: &Expr) -> Result<Bound, Problem> {
        let value = self.operand(expr)?;
        match operator {
            UnaryOperator::Not | UnaryOperator::BangNot => compare::not(value),
            UnaryOperator::Minus => arithmetic::negate(value),
            UnaryOperator::Plus if sql_type::is_number(&value.data_type) => Ok(value),
            other => Err(Problem::new(format!("no operator {other} {}", sql_type::name(&value.data_type)))),
        }
    }

    fn like(
        &self,
        names: [&str; 2],
        negated: bool,
        expr: &Expr,
        pattern: &Expr,
        escape: Option<&ast::ValueWithSpan>,
    ) -> Result<Bound, Problem> {
        let mut arguments = self.operands([expr, pattern])?;
        let name = match escape {
            Some(escape) => {
                arguments.push(literal(&escape.value)?);
                names[1]
            }
            None => names[0],
        };
        maybe_not(negated, function(name, arguments)?)
    }

    fn case(
        &self,
        operand: Option<&Expr>,
        conditions: &[ast::CaseWhen],
        otherwise: Option<&Expr>,
    ) -> Result<Bound, Problem> {
        let operand = operand.map(|operand| self.operand(operand)).transpose()?;
        let mut branches = Vec::with_capacity(conditions.len());
        for branch in conditions {
            let when = self.operand(&branch.condition)?;
            let when = match &operand {
                Some(operand) => compare::compare(Comparison::Equal, operand.clone(), when)?,
                None => when,
            };
            branches.push((when, self.operand(&branch.result)?));
        }
        functions::case(branches, otherwise.map(|otherwise| self.operand(otherwise)).transpose()?)
    }

    fn call(&self, called: &ast::Function) -> Result<Bound, Problem> {
        let name = called.name.to_string().to_lowercase();
        if called.over.is_some() || called.filter.is_some() || !called.within_group.is_empty() {
            return Err(Problem::new(format!("{name} over a window cannot stand here"))
                .found(called.to_string())
                .hint("write it as a column of its own in the SELECT list of a view, and use that column here"));
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
                FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => arguments.push(self.operand(expr)?),
                FunctionArg::Named {
                    name,
                    arg: FunctionArgExpr::Expr(value),
                    operator: FunctionArgOperator::Equals,
                } => {
                    arguments.push(self.operand(&equal_to(name, value)?)?);
                }
                other if name == "count" => {
                    return function("count", vec![]).map_err(|p| p.found(format!("count({other})")));
                }
                other => {
                    let problem = Problem::new(format!("{name} takes plain arguments")).found(other.to_string());
                    return Err(problem.expected("an expression"));
                }
            }
        }
        function(&name, arguments)
    }
}

/// `f(a = b AND c)`: the parser takes `a =` for the name of an argument, here it is a comparison again.
fn equal_to(name: &Ident, value: &Expr) -> Result<Expr, Problem> {
    match value {
        Expr::BinaryOp { left, op: op @ (BinaryOperator::And | BinaryOperator::Or), right } => {
            let left = Box::new(equal_to(name, left)?);
            Ok(Expr::BinaryOp { left, op: op.clone(), right: right.clone() })
        }
        Expr::BinaryOp { op, .. } if !binds_tighter(op) => Err(in_parentheses(name, value)),
        Expr::BinaryOp { .. }
        | Expr::Value(_)
        | Expr::Identifier(_)
        | Expr::CompoundIdentifier(_)
        | Expr::Nested(_)
        | Expr::Function(_)
        | Expr::Cast { .. }
        | Expr::Case { .. }
        | Expr::TypedString(_)
        | Expr::Interval(_)
        | Expr::UnaryOp { .. } => Ok(Expr::BinaryOp {
            left: Box::new(Expr::Identifier(name.clone())),
            op: BinaryOperator::Eq,
            right: Box::new(value.clone()),
        }),
        _ => Err(in_parentheses(name, value)),
    }
}

fn binds_tighter(operator: &BinaryOperator) -> bool {
    use BinaryOperator as B;
    matches!(
        operator,
        B::Plus | B::Minus | B::Multiply | B::Divide | B::DuckIntegerDivide | B::Modulo | B::StringConcat
    )
}

fn in_parentheses(name: &Ident, value: &Expr) -> Problem {
    Problem::new("a comparison as an argument is read as a named argument")
        .at(name.span)
        .found(format!("{name} = {value}"))
        .hint("put the comparison in parentheses")
}

fn plain_rounding(kind: &CeilFloorKind) -> bool {
    matches!(kind, CeilFloorKind::DateTimeField(ast::DateTimeField::NoDateTime))
}

fn binary(operator: &BinaryOperator, left: Bound, right: Bound) -> Result<Bound, Problem> {
    use BinaryOperator as B;
    let comparison = match operator {
        B::Plus => return arithmetic::arithmetic(Operator::Add, left, right),
        B::Minus => return arithmetic::arithmetic(Operator::Subtract, left, right),
        B::Multiply => return arithmetic::arithmetic(Operator::Multiply, left, right),
        B::Divide => return arithmetic::arithmetic(Operator::Divide, left, right),
        B::DuckIntegerDivide => return arithmetic::arithmetic(Operator::WholeDivide, left, right),
        B::Modulo => return arithmetic::arithmetic(Operator::Remainder, left, right),
        B::And => return compare::logic(true, left, right),
        B::Or => return compare::logic(false, left, right),
        B::StringConcat => return concatenate(left, right),
        B::PGRegexMatch => return function("regexp_full_match", vec![left, right]),
        B::PGRegexNotMatch => return compare::not(function("regexp_full_match", vec![left, right])?),
        B::PGExp | B::BitwiseXor => return function("power", vec![left, right]),
        B::Eq => Comparison::Equal,
        B::NotEq => Comparison::NotEqual,
        B::Lt => Comparison::Less,
        B::LtEq => Comparison::LessOrEqual,
        B::Gt => Comparison::Greater,
        B::GtEq => Comparison::GreaterOrEqual,
        other => return Err(Problem::new(format!("the operator {other} is not known")).found(other.to_string())),
    };
    compare::compare(comparison, left, right)
}

fn literal(value: &Value) -> Result<Bound, Problem> {
    let (value, open) = match value {
        Value::Null => return Ok(Bound::null()),
        Value::Boolean(value) => (one(BooleanArray::from(vec![*value])), None),
        Value::SingleQuotedString(text) | Value::EscapedStringLiteral(text) => {
            (one(StringArray::from(vec![text.as_str()])), Some(OpenLiteral::Text))
        }
        Value::Number(text, _) => number(&text.replace('_', ""))?,
        other => return Err(Problem::new(format!("the literal {other} is not known")).found(other.to_string())),
    };
    Ok(Bound::literal(value, open))
}

fn one(value: impl Array + 'static) -> ArrayRef {
    Arc::new(value)
}

/// Whole numbers are INTEGER or BIGINT, those with a point DECIMAL, those with an exponent DOUBLE.
fn number(text: &str) -> Result<(ArrayRef, Option<OpenLiteral>), Problem> {
    let bad = || Problem::new(format!("{text} is not a number")).found(text);
    if let Ok(value) = text.parse::<i32>() {
        return Ok((one(Int32Array::from(vec![value])), Some(OpenLiteral::Integer)));
    }
    if let Ok(value) = text.parse::<i64>() {
        return Ok((one(Int64Array::from(vec![value])), Some(OpenLiteral::Integer)));
    }
    if text.bytes().all(|digit| digit.is_ascii_digit()) {
        return Err(Problem::new(format!("{text} does not fit into 64 bits"))
            .found(text)
            .expected("at most 9223372036854775807")
            .hint("write it with a point or an exponent, e.g. 1e20"));
    }
    if let (Some((whole, fraction)), false) = (text.split_once('.'), text.contains(['e', 'E'])) {
        let (digits, scale) = ((whole.len() + fraction.len()).max(1), fraction.len());
        if digits <= usize::from(sql_type::DIGITS_MAX) {
            let value = cast::read_exact(text, scale as i32).ok_or_else(bad)?;
            let value = Decimal128Array::from(vec![value]).with_precision_and_scale(digits as u8, scale as i8);
            return Ok((one(value.map_err(|error| Problem::new(error.to_string()))?), None));
        }
    }
    Ok((one(Float64Array::from(vec![text.parse::<f64>().map_err(|_| bad())?])), None))
}

/// The length of a constant interval.
pub(crate) fn micros(expr: &Expr) -> Result<i64, Problem> {
    let scope = Scope::default();
    let bound = Binder::new(&scope).bind(expr)?;
    let found = sql_type::name(&bound.data_type);
    let problem = |message: &str| Problem::new(message).at(expr.span()).found(expr.to_string());
    let value = bound.constant().map_err(|problem| problem.at(expr.span()))?;
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
