//! Rows of an answer as a table for a terminal.

use super::wire::Answer;

/// The widest a cell is shown; longer ones are cut with an ellipsis.
const CELL_MAX: usize = 60;

/// Cells, and how wide each column is.
pub struct Table {
    columns: Vec<String>,
    rows: Vec<Vec<String>>,
    numeric: Vec<bool>,
}

impl Table {
    pub fn of(answer: &Answer) -> Table {
        let rows: Vec<Vec<String>> = answer
            .rows
            .iter()
            .map(|row| row.iter().map(|cell| cell.as_deref().map_or_else(String::new, shorten)).collect())
            .collect();
        let is_number = |at: usize| {
            let mut cells = rows.iter().filter_map(|row: &Vec<String>| row.get(at)).filter(|cell| !cell.is_empty());
            let all = cells.clone().all(|cell| cell.parse::<f64>().is_ok());
            all && cells.next().is_some()
        };
        let numeric = (0..answer.columns.len()).map(is_number).collect();
        Table { columns: answer.columns.clone(), rows, numeric }
    }

    pub fn to_text(&self) -> String {
        let width = |at: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(at)).map(|cell| cell.chars().count());
            let name = self.columns.get(at).map_or(0, |name| name.chars().count());
            cells.max().unwrap_or(0).max(name)
        };
        let widths: Vec<usize> = (0..self.columns.len()).map(width).collect();
        let mut out = String::new();
        push_row(&mut out, &self.columns, &widths, &vec![false; widths.len()]);
        let lines: Vec<String> = widths.iter().map(|width| "─".repeat(width + 2)).collect();
        out.push_str(&lines.join("┼"));
        out.push('\n');
        for row in &self.rows {
            push_row(&mut out, row, &widths, &self.numeric);
        }
        out
    }
}

fn push_row(out: &mut String, cells: &[String], widths: &[usize], right: &[bool]) {
    let mut parts = Vec::with_capacity(cells.len());
    for ((cell, width), right) in cells.iter().zip(widths).zip(right) {
        let pad = " ".repeat(width.saturating_sub(cell.chars().count()));
        parts.push(if *right { format!(" {pad}{cell} ") } else { format!(" {cell}{pad} ") });
    }
    out.push_str(parts.join("│").trim_end());
    out.push('\n');
}

/// One line, not too long.
fn shorten(cell: &str) -> String {
    let line: String = cell.chars().map(|c| if c.is_control() { ' ' } else { c }).take(CELL_MAX + 1).collect();
    if line.chars().count() <= CELL_MAX { line } else { line.chars().take(CELL_MAX - 1).collect::<String>() + "…" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stand_right_and_long_cells_are_cut() {
        let answer = Answer {
            columns: vec!["n".into(), "name".into()],
            rows: vec![
                vec![Some("1".into()), Some("é".repeat(200))],
                vec![Some("100".into()), None],
                vec![Some("-2.5".into()), Some("a\nb".into())],
            ],
            count: 3,
            has_rows: true,
        };
        let text = Table::of(&answer).to_text();
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[2].starts_with("    1 │ é") && lines[2].ends_with('…'), "{text}");
        assert_eq!(lines[4], " -2.5 │ a b");
        assert_eq!(lines[3], "  100 │");
    }
}
