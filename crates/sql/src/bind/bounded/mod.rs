//! Queries over input that ends: GROUP BY, DISTINCT, ORDER BY, LIMIT, UNION and joins, over streams, views, output tables
//! and the results of each other, with subqueries that are answered once. What a stream can answer by itself is bound as in a view, and everything after it
//! becomes steps over rows that end.

mod define;

mod canonical;
mod early;

mod from;
mod known;
mod order;

mod subqueries;

mod plain;

mod grouped;

mod select;

mod query;

pub(crate) use query::query;
