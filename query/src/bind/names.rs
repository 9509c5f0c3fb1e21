//! The names of result columns, and PartiQL's row made of them.

use std::sync::Arc;

use ledgerstone_digest::ion::Value;

use super::plan::Ex;
use super::select::OutputItem;
use crate::ast::{Expr, ExprKind, Projection, SelectItem, SetExpr};
use crate::types::SqlType;

/// PartiQL's row: a struct of the items, with the fields of `*` items side by side.
pub(super) fn partiql_row(items: Vec<OutputItem>) -> Ex {
    if !items.iter().any(|i| i.name.starts_with('*')) {
        return Ex::Struct(items.into_iter().map(|i| (Ex::text(i.name), i.bound.ex)).collect());
    }
    Ex::Merge(
        items
            .into_iter()
            .map(|i| match i.name.strip_prefix('*') {
                Some("") => (Arc::from("_1"), i.bound.ex),
                Some(alias) => (Arc::from(alias), i.bound.ex),
                None => (i.name.clone(), Ex::Struct(vec![(Ex::text(i.name), i.bound.ex)])),
            })
            .collect(),
    )
}

/// The name PartiQL gives an item without alias: the last name of a path.
pub(super) fn partiql_name(e: &Expr) -> Option<Arc<str>> {
    match &e.kind {
        ExprKind::Name(name) | ExprKind::LocalName(name) => Some(name.text.clone()),
        ExprKind::Path { steps, .. } => match steps.last() {
            Some(crate::ast::PathStep::Field(name)) => Some(name.text.clone()),
            Some(crate::ast::PathStep::Index(Expr { kind: ExprKind::Literal(Value::String(s)), .. })) => {
                Some(s.clone().into())
            }
            _ => None,
        },
        _ => None,
    }
}

/// PostgreSQL's `FigureColname`.
pub(super) fn sql_name(e: &Expr) -> Arc<str> {
    figure(e).map_or_else(|| Arc::from("?column?"), |(name, _)| name)
}

/// The name an expression gives a column, and whether a cast around it keeps it: the name of a column or a function stays,
/// that of a type or of CASE gives way to the outer type's.
fn figure(e: &Expr) -> Option<(Arc<str>, bool)> {
    let strong = |name: &str| Some((Arc::from(name), true));
    let weak = |name: &str| Some((Arc::from(name), false));
    match &e.kind {
        ExprKind::Name(name) | ExprKind::LocalName(name) => Some((name.text.clone(), true)),
        ExprKind::Path { base, steps } => {
            let field = steps.iter().rev().find_map(|s| match s {
                crate::ast::PathStep::Field(name) => Some((name.text.clone(), true)),
                _ => None,
            });
            field.or_else(|| figure(base))
        }
        // A slice is called what its array is.
        ExprKind::Function(call) if &*call.name.name.text == crate::sql::ARRAY_SLICE => {
            call.arguments.first().and_then(figure)
        }
        ExprKind::Function(call) if call.is_operator => None,
        ExprKind::Function(call) => Some((call.name.name.text.clone(), true)),
        ExprKind::Cast { expr, ty } => match figure(expr) {
            Some((name, true)) => Some((name, true)),
            // The type's short name, as in `select '1'::int` giving int4.
            _ => Some((SqlType::parse(ty).map_or_else(|_| ty.name.clone(), |ty| ty.catalogue_name().into()), false)),
        },
        ExprKind::Case { otherwise, .. } => match otherwise.as_deref().and_then(figure) {
            Some((name, true)) => Some((name, true)),
            _ => weak("case"),
        },
        ExprKind::Exists(_) => strong("exists"),
        ExprKind::ArraySubquery(_) | ExprKind::List(_) => strong("array"),
        ExprKind::Subquery(query) => match &query.body {
            SetExpr::Select(select) => match &select.projection {
                Projection::Items(items) => match items.first() {
                    Some(SelectItem::Expr { alias: Some(alias), .. }) => Some((alias.text.clone(), true)),
                    Some(SelectItem::Expr { expr, .. }) => figure(expr).map(|(name, _)| (name, true)),
                    _ => None,
                },
                _ => None,
            },
            _ => None,
        },
        ExprKind::Row(_) => strong("row"),
        ExprKind::Extract { .. } => strong("extract"),
        ExprKind::Literal(Value::Bool(_)) => weak("bool"),
        _ => None,
    }
}
