//! Window functions (PostgreSQL's documentation, 9.22): which there are and what they return. Their work is in
//! [`crate::exec`], which has the partitions.

use super::aggregate::AggregateKind;
use crate::types::SqlType;

#[derive(Debug, Clone, PartialEq)]
pub enum WindowKind {
    RowNumber,
    Rank,
    DenseRank,
    PercentRank,
    CumeDist,
    Ntile,
    Lag,
    Lead,
    FirstValue,
    LastValue,
    NthValue,
    Aggregate(AggregateKind),
}

/// The window function of this name and number of arguments, the types its arguments are cast to, and its result type.
pub fn resolve(name: &str, types: &[Option<SqlType>]) -> Option<(WindowKind, Vec<Option<SqlType>>, SqlType)> {
    let value = || types.first().cloned().flatten().unwrap_or(SqlType::Text);
    Some(match (name, types.len()) {
        ("row_number", 0) => (WindowKind::RowNumber, vec![], SqlType::Int8),
        ("rank", 0) => (WindowKind::Rank, vec![], SqlType::Int8),
        ("dense_rank", 0) => (WindowKind::DenseRank, vec![], SqlType::Int8),
        ("percent_rank", 0) => (WindowKind::PercentRank, vec![], SqlType::Float8),
        ("cume_dist", 0) => (WindowKind::CumeDist, vec![], SqlType::Float8),
        ("ntile", 1) => (WindowKind::Ntile, vec![Some(SqlType::Int4)], SqlType::Int4),
        ("lag" | "lead", 1..=3) => {
            let casts = [Some(value()), Some(SqlType::Int4), Some(value())].into_iter().take(types.len()).collect();
            (if name == "lag" { WindowKind::Lag } else { WindowKind::Lead }, casts, value())
        }
        ("first_value", 1) => (WindowKind::FirstValue, vec![Some(value())], value()),
        ("last_value", 1) => (WindowKind::LastValue, vec![Some(value())], value()),
        ("nth_value", 2) => (WindowKind::NthValue, vec![Some(value()), Some(SqlType::Int4)], value()),
        _ => return None,
    })
}

/// Names that need an OVER clause.
pub fn is_window_only(name: &str) -> bool {
    matches!(
        name,
        "row_number"
            | "rank"
            | "dense_rank"
            | "percent_rank"
            | "cume_dist"
            | "ntile"
            | "lag"
            | "lead"
            | "first_value"
            | "last_value"
            | "nth_value"
    )
}
