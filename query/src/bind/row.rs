//! Rows as values, `(a, b)`: compared item by item, each pair made comparable as if it stood alone.

use super::Binder;
use super::plan::{Comparison, Ex};
use super::types::Typed;
use crate::ast::{Expr, Span};
use crate::error::{QueryError, Result, SqlState};
use crate::types::SqlType;

impl Binder<'_> {
    pub(super) fn row(&mut self, items: &[Expr]) -> Result<Typed> {
        let mut row = Vec::with_capacity(items.len());
        for item in items {
            row.push((self.expr(item)?, item.span));
        }
        let values = row.iter().map(|(item, _)| item.ex.clone()).collect();
        // An untyped item takes its type from what it is compared with, so none is given one here.
        Ok(Typed { row, ..Typed::new(Ex::Row(values), SqlType::Ion) })
    }

    /// SQL's comparison of rows, if both are rows; `None` if neither is.
    pub(super) fn compare_rows(
        &mut self,
        op: Comparison,
        a: &Typed,
        b: &Typed,
        spans: (Span, Span),
    ) -> Result<Option<Ex>> {
        let Some(pairs) = self.row_pairs(a, b, op.symbol(), spans)? else { return Ok(None) };
        let strict = match op {
            Comparison::Eq | Comparison::NotEq => {
                let parts = pairs.iter().map(|pair| self.compare_pair(op, pair)).collect::<Result<_>>()?;
                return Ok(Some(if op == Comparison::Eq { Ex::And(parts) } else { Ex::Or(parts) }));
            }
            Comparison::LtEq | Comparison::Lt => Comparison::Lt,
            Comparison::GtEq | Comparison::Gt => Comparison::Gt,
        };
        let mut result: Option<Ex> = None;
        for pair in pairs.iter().rev() {
            result = Some(match result {
                None => self.compare_pair(op, pair)?,
                Some(rest) => {
                    let equal = Ex::And(vec![self.compare_pair(Comparison::Eq, pair)?, rest]);
                    Ex::Or(vec![self.compare_pair(strict, pair)?, equal])
                }
            });
        }
        Ok(result)
    }

    fn compare_pair(&mut self, op: Comparison, ((x, x_span), (y, y_span)): &(Part, Part)) -> Result<Ex> {
        self.compare(op, x.clone(), y.clone(), (*x_span, *y_span))
    }

    /// `IS DISTINCT FROM` of rows, if both are rows; `None` if neither is.
    pub(super) fn distinct_rows(
        &mut self,
        a: &Typed,
        b: &Typed,
        negated: bool,
        spans: (Span, Span),
    ) -> Result<Option<Ex>> {
        let Some(pairs) = self.row_pairs(a, b, "IS DISTINCT FROM", spans)? else { return Ok(None) };
        let mut parts = Vec::with_capacity(pairs.len());
        for ((x, x_span), (y, y_span)) in pairs {
            parts.push(self.distinct_from(x, y, negated, (x_span, y_span))?);
        }
        Ok(Some(if negated { Ex::And(parts) } else { Ex::Or(parts) }))
    }

    fn row_pairs(
        &self,
        a: &Typed,
        b: &Typed,
        operator: &str,
        spans: (Span, Span),
    ) -> Result<Option<Vec<(Part, Part)>>> {
        let wrong = |code, why: String| Err(QueryError::new(code, why).at(spans.0.to(spans.1)));
        match (&a.ex, &b.ex) {
            (Ex::Row(_), Ex::Row(_)) if a.row.len() != b.row.len() => {
                wrong(SqlState::SYNTAX_ERROR, "unequal number of entries in row expressions".to_owned())
            }
            (Ex::Row(items), Ex::Row(_)) if items.is_empty() => {
                wrong(SqlState::FEATURE_NOT_SUPPORTED, "cannot compare rows of zero length".to_owned())
            }
            (Ex::Row(_), Ex::Row(_)) => Ok(Some(a.row.iter().cloned().zip(b.row.iter().cloned()).collect())),
            (Ex::Const(None), _) | (_, Ex::Const(None)) => Ok(None),
            // A document's value may be a list of as many items.
            (Ex::Row(_), _) | (_, Ex::Row(_)) if !self.partiql && !(a.is_ion() && b.is_ion()) => {
                let shown = |t: &Typed| match &t.ty {
                    _ if matches!(t.ex, Ex::Row(_)) => "record".to_owned(),
                    Some(ty) => ty.to_string(),
                    None => "unknown".to_owned(),
                };
                let message = format!("operator does not exist: {} {operator} {}", shown(a), shown(b));
                wrong(SqlState::UNDEFINED_FUNCTION, message)
                    .map_err(|error| error.hint("Compare a row with a row of as many items."))
            }
            _ => Ok(None),
        }
    }
}

/// An item of a row and where it stands.
type Part = (Typed, Span);
