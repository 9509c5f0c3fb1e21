//! Results onto the wire: column descriptions and rows in the formats a client asked for.

use ledgerstone_digest::ion::Value;
use ledgerstone_query::bind::plan::ResultColumn;
use ledgerstone_query::error::QueryError;
use ledgerstone_query::exec::{Found, Row};

use super::message::{Field, Outbound, put_column};
use super::{encode, types};

/// Text or binary, per column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Formats {
    AllText,
    AllBinary,
    Each(Vec<bool>),
}

impl Formats {
    /// From the codes of a Bind message: none, one for all, or one per column. `None` is a code there is not.
    pub fn read(codes: &[i16]) -> Option<Formats> {
        let binary = |code: &i16| match code {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        };
        Some(match codes {
            [] => Formats::AllText,
            [code] => {
                if binary(code)? {
                    Formats::AllBinary
                } else {
                    Formats::AllText
                }
            }
            codes => Formats::Each(codes.iter().map(binary).collect::<Option<_>>()?),
        })
    }

    pub fn is_binary(&self, column: usize) -> bool {
        match self {
            Formats::AllText => false,
            Formats::AllBinary => true,
            Formats::Each(each) => each.get(column).copied().unwrap_or(false),
        }
    }

    /// Whether there are as many codes as columns, where there are codes for each.
    pub fn fits(&self, columns: usize) -> bool {
        !matches!(self, Formats::Each(each) if each.len() != columns)
    }
}

/// Writes a RowDescription.
pub fn describe(out: &mut Outbound, columns: &[ResultColumn], formats: &Formats) {
    out.row_description(columns.iter().enumerate().map(|(at, column)| Field {
        name: &column.name,
        table: column.origin.map_or(0, |origin| origin.table),
        column: column.origin.map_or(0, |origin| origin.column),
        oid: types::oid(&column.ty),
        size: types::size(&column.ty),
        modifier: types::modifier(&column.ty),
        binary: formats.is_binary(at),
    }));
}

/// Writes a DataRow; on an error nothing of the row is left in the buffer.
pub fn write(out: &mut Outbound, row: &Row, columns: &[ResultColumn], formats: &Formats) -> Result<(), QueryError> {
    write_columns(out, columns, formats, |each| {
        columns.iter().zip(0..).for_each(|(column, at)| each(at, column, row.get(at).and_then(Option::as_ref)));
    })
}

/// The same for a row that is still a document.
pub fn write_found(
    out: &mut Outbound,
    found: &Found<'_>,
    columns: &[ResultColumn],
    formats: &Formats,
) -> Result<(), QueryError> {
    write_columns(out, columns, formats, |each| {
        found.columns(|at, value| {
            if let Some(column) = columns.get(at) {
                each(at, column, value);
            }
        });
    })
}

/// Takes a column's number, what it is, and its value.
type Column<'c> = &'c mut dyn FnMut(usize, &ResultColumn, Option<&Value>);

fn write_columns(
    out: &mut Outbound,
    columns: &[ResultColumn],
    formats: &Formats,
    each_of: impl FnOnce(Column<'_>),
) -> Result<(), QueryError> {
    let start = out.len();
    let mut outcome = Ok(());
    out.data_row(columns.len(), |body| {
        each_of(&mut |at, column, value| {
            let written = put_column(body, |body| {
                let Some(value) = value else { return Ok(false) };
                if formats.is_binary(at) {
                    encode::write_binary(value, &column.ty, body)?;
                } else {
                    encode::write_text(value, &column.ty, body);
                }
                Ok(true)
            });
            if outcome.is_ok() {
                outcome = written;
            }
        });
    });
    if outcome.is_err() {
        out.truncate(start);
    }
    outcome
}
