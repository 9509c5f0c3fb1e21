//! What clients write: SQL, PartiQL, rows of COPY.

use std::sync::Arc;

use ledgerstone_query::Parsed;
use ledgerstone_query::error::QueryError;
use ledgerstone_query::session::copy_format::{Fields, Layout, Reader};

pub fn sql(bytes: &[u8]) {
    parsed(bytes, ledgerstone_query::sql::parse);
}

pub fn partiql(bytes: &[u8]) {
    parsed(bytes, ledgerstone_query::partiql::parse);
}

/// Statements stand in the text one behind the other; an error has a state, a message and a place in the text.
fn parsed(bytes: &[u8], parse: fn(&str) -> Result<Vec<Parsed>, QueryError>) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    match parse(text) {
        Ok(statements) => {
            let mut end = 0;
            for statement in &statements {
                let span = statement.text;
                assert!(end <= span.start && span.start <= span.end && span.end as usize <= text.len());
                end = span.end;
                let own = &text[span.start as usize..span.end as usize];
                assert!(parse(own).is_ok_and(|again| again.len() == 1), "its own text is a statement: {own:?}");
            }
        }
        Err(error) => {
            assert!(error.code.0.len() == 5 && !error.message.is_empty());
            assert_ne!(error.code.0, "XX000", "{error:?}");
            if let Some(span) = error.span {
                assert!(span.start as usize <= text.len(), "{span:?}");
                let _ = error.position(text);
            }
        }
    }
}

/// Rows are the same however the input is cut, and what is written reads back. The first byte chooses the layout.
pub fn copy(bytes: &[u8]) {
    let Some((choice, input)) = bytes.split_first() else { return };
    let csv = choice & 1 != 0;
    let layout = Layout {
        binary: false,
        csv,
        header: choice & 2 != 0,
        delimiter: if choice & 4 != 0 { b';' } else { b'\t' },
        null: Arc::from(if csv { "" } else { "\\N" }),
        quote: if choice & 8 != 0 { b'\'' } else { b'"' },
        escape: if choice & 16 != 0 { b'\\' } else { b'"' },
    };
    let whole = rows(&layout, input, input.len().max(1));
    for piece in [1, 7] {
        let cut = rows(&layout, input, piece);
        assert_eq!(whole.as_ref().ok(), cut.as_ref().ok(), "in pieces of {piece}");
    }
    let Ok(rows_read) = whole else { return };
    let plain = Layout { header: false, ..layout };
    let mut written = Vec::new();
    rows_read.iter().for_each(|row| plain.write(row, &mut written));
    // A quote and an escape that differ from the usual are for reading.
    if choice & 24 == 0 {
        assert_eq!(
            rows(&plain, &written, 4096).ok().as_ref(),
            Some(&rows_read),
            "{}",
            String::from_utf8_lossy(&written)
        );
    }
}

fn rows(layout: &Layout, input: &[u8], piece: usize) -> Result<Vec<Fields>, QueryError> {
    let mut reader = Reader::new(layout.clone());
    let mut rows = Vec::new();
    let mut keep = |number: u64, line: &[u8]| {
        rows.push(layout.fields(line, number)?);
        Ok(())
    };
    for piece in input.chunks(piece) {
        reader.push(piece, &mut keep)?;
    }
    reader.finish(&mut keep)?;
    Ok(rows)
}
