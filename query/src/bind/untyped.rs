//! Literals and parameters that stand alone in a SELECT list: they take the type of the column they go into, or of the one
//! beside them in a set operation (PostgreSQL, 10.3 and 10.5).

use ledgerstone_digest::ion::Value;

use super::names::sql_name;
use super::types::unsized_type;
use crate::ast::{Distinct, Expr, ExprKind, Name, Projection, SelectItem, SetExpr, Span, TypeName};
use crate::types::SqlType;

/// The places in the SELECT list whose type nothing says yet.
pub(super) fn untyped_items(body: &SetExpr) -> Vec<usize> {
    let SetExpr::Select(select) = body else { return Vec::new() };
    let Projection::Items(items) = &select.projection else { return Vec::new() };
    // DISTINCT has compared them, so they are text by then.
    if select.distinct != Distinct::No {
        return Vec::new();
    }
    let untyped = |item: &SelectItem| match item {
        SelectItem::Expr { expr, .. } => {
            matches!(expr.kind, ExprKind::Literal(Value::String(_)) | ExprKind::Parameter(_))
        }
        _ => false,
    };
    // Behind a `*` nobody knows yet which column an item belongs to.
    let known = items.iter().take_while(|item| matches!(item, SelectItem::Expr { .. }));
    known.enumerate().filter(|(_, item)| untyped(item)).map(|(at, _)| at).collect()
}

/// The same with those places cast to these types, by place; `None` if there are none. Lengths stay the assignment's business: a
/// cast would cut.
pub(super) fn typed_as(body: &SetExpr, untyped: &[usize], types: &[SqlType]) -> Option<SetExpr> {
    let SetExpr::Select(select) = body else { return None };
    if untyped.is_empty() {
        return None;
    }
    let mut typed = (**select).clone();
    let Projection::Items(items) = &mut typed.projection else { return None };
    for &at in untyped {
        if let (Some(SelectItem::Expr { expr, alias }), Some(ty)) = (items.get_mut(at), types.get(at)) {
            // A column is named after what was written.
            alias.get_or_insert_with(|| Name::exact(sql_name(expr), true, expr.span));
            let ty = type_name(&unsized_type(ty), expr.span);
            let inner = std::mem::replace(expr, Expr { kind: ExprKind::Missing, span: expr.span });
            *expr = Expr { span: inner.span, kind: ExprKind::Cast { expr: Box::new(inner), ty } };
        }
    }
    Some(SetExpr::Select(Box::new(typed)))
}

/// A type as a statement would write it; one without length or precision.
pub(crate) fn type_name(ty: &SqlType, span: Span) -> TypeName {
    let text = ty.to_string();
    let name = text.trim_end_matches("[]");
    let array_depth = u8::from(name.len() < text.len());
    TypeName { name: name.into(), arguments: Vec::new(), array_depth, span }
}
