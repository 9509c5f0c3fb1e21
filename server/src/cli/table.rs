//! Rows of an answer as a table. On a terminal it is fitted to the width; what goes elsewhere is whole.

use super::wire::Answer;

/// A column of a terminal is never made narrower than this, or than its name.
const COLUMN_MIN: usize = 8;
/// Cells that are shorter get spaces up to the longest of their column. Longer ones stand out: one long document must not make
/// every row as long.
const PADDED_MAX: usize = 200;
/// What stands between two columns, and a space at each end of the row.
const BETWEEN: usize = 3;

/// Cells, each one line, and which columns are numbers.
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
            .map(|row| row.iter().map(|cell| cell.as_deref().map_or_else(String::new, one_line)).collect())
            .collect();
        let is_number = |at: usize| {
            let mut cells = rows.iter().filter_map(|row: &Vec<String>| row.get(at)).filter(|cell| !cell.is_empty());
            let all = cells.clone().all(|cell| cell.parse::<f64>().is_ok());
            all && cells.next().is_some()
        };
        let numeric = (0..answer.columns.len()).map(is_number).collect();
        Table { columns: answer.columns.iter().map(|name| one_line(name)).collect(), rows, numeric }
    }

    /// `width`: the columns of the terminal that it is for, where cells that are too long are cut with an ellipsis; without it
    /// nothing is.
    pub fn to_text(&self, width: Option<usize>) -> String {
        let mut widths: Vec<usize> = (0..self.columns.len()).map(|at| self.natural_width(at)).collect();
        match width {
            Some(width) => self.fit(&mut widths, width),
            None => widths.iter_mut().for_each(|width| *width = (*width).min(PADDED_MAX)),
        }
        let mut out = String::new();
        push_row(&mut out, &self.columns, &widths, &vec![false; widths.len()]);
        let lines: Vec<String> = widths.iter().map(|width| "─".repeat(width + 2)).collect();
        out.push_str(&lines.join("┼"));
        out.push('\n');
        for row in &self.rows {
            match width {
                Some(_) => {
                    let cut: Vec<String> = row.iter().zip(&widths).map(|(cell, width)| shorten(cell, *width)).collect();
                    push_row(&mut out, &cut, &widths, &self.numeric);
                }
                None => push_row(&mut out, row, &widths, &self.numeric),
            }
        }
        out
    }

    fn natural_width(&self, at: usize) -> usize {
        let cells = self.rows.iter().filter_map(|row| row.get(at)).map(|cell| cell.chars().count());
        cells.max().unwrap_or(0).max(self.name_width(at))
    }

    fn name_width(&self, at: usize) -> usize {
        self.columns.get(at).map_or(0, |name| name.chars().count())
    }

    /// Makes the widest columns narrower, all to the same width, until the row fits or nothing more can go. Numbers stay whole,
    /// since a part of one looks like another, unless one is wider than the terminal.
    fn fit(&self, widths: &mut [usize], width: usize) {
        let room = width.saturating_sub(widths.len().saturating_mul(BETWEEN).saturating_sub(1));
        let least = |at: usize, natural: usize| match self.numeric.get(at) {
            Some(true) => natural.min(room.max(COLUMN_MIN)),
            _ => natural.min(self.name_width(at).max(COLUMN_MIN)),
        };
        let at_most = |widths: &[usize], most: usize| -> Vec<usize> {
            let narrowed = widths.iter().enumerate().map(|(at, natural)| (*natural).min(most.max(least(at, *natural))));
            narrowed.collect()
        };
        // The largest common width that fits: what is needed grows with it.
        let (mut fits, mut too_wide) = (0, widths.iter().copied().max().unwrap_or(0) + 1);
        while fits + 1 < too_wide {
            let middle = fits + (too_wide - fits) / 2;
            let needed = at_most(widths, middle).into_iter().fold(0_usize, usize::saturating_add);
            if needed <= room { fits = middle } else { too_wide = middle }
        }
        let fitted = at_most(widths, fits);
        widths.copy_from_slice(&fitted);
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

fn one_line(cell: &str) -> String {
    cell.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// At most so many characters.
fn shorten(cell: &str, most: usize) -> String {
    if cell.chars().nth(most).is_none() {
        return cell.to_owned();
    }
    cell.chars().take(most.saturating_sub(1)).collect::<String>() + "…"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(columns: &[&str], rows: &[&[Option<&str>]]) -> Answer {
        let texts = |row: &&[Option<&str>]| row.iter().map(|cell| cell.map(str::to_owned)).collect();
        Answer {
            columns: columns.iter().map(|name| (*name).to_owned()).collect(),
            rows: rows.iter().map(texts).collect(),
            count: rows.len() as u64,
            has_rows: true,
        }
    }

    #[test]
    fn numbers_stand_right_and_a_cell_is_one_line() {
        let answer = answer(
            &["n", "name"],
            &[&[Some("1"), Some(&"é".repeat(70))], &[Some("100"), None], &[Some("-2.5"), Some("a\nb")]],
        );
        let text = Table::of(&answer).to_text(None);
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[2].starts_with("    1 │ é"), "{text}");
        assert_eq!(lines[4], " -2.5 │ a b");
        assert_eq!(lines[3], "  100 │");
    }

    #[test]
    fn what_is_not_for_a_terminal_is_never_cut_and_one_long_cell_does_not_make_every_row_long() {
        let long = "é".repeat(5_000);
        let text = Table::of(&answer(&["a", "b"], &[&[Some(&long), Some("x")], &[Some("y"), Some("z")]])).to_text(None);
        assert!(text.contains(&format!(" {long} │ x\n")), "{text}");
        let others = text.lines().filter(|line| !line.contains('é'));
        assert!(others.map(|line| line.chars().count()).max() < Some(PADDED_MAX + 10), "{text}");
    }

    #[test]
    fn a_table_on_a_terminal_is_as_wide_as_the_terminal_and_its_numbers_are_whole() {
        let (text, number) = ("é".repeat(300), "1".repeat(30));
        let row: &[Option<&str>] = &[Some("p1"), Some(&text), Some(&number), Some(&text)];
        let table = Table::of(&answer(&["id", "name", "n", "more"], &[row]));
        for width in [60, 80, 81, 200] {
            let shown = table.to_text(Some(width));
            let widest = shown.lines().map(|line| line.chars().count()).max().unwrap();
            assert!(widest <= width && widest + 2 >= width, "{width}: {shown}");
            assert!(shown.contains(&format!("{number} │")) && shown.contains("é…"), "{shown}");
        }
        // One number that is wider than the terminal does not make every row as wide.
        let wide = Table::of(&answer(&["n"], &[&[Some(&"1".repeat(5_000))], &[Some("2")]]));
        assert!(wide.to_text(Some(60)).lines().all(|line| line.chars().count() <= 60));
        // Where nothing has to be cut nothing is, and a narrow terminal still shows something.
        assert_eq!(table.to_text(Some(1_000)).matches('é').count(), 600);
        assert!(table.to_text(Some(1)).contains("│ ééééééé… │"), "{}", table.to_text(Some(1)));
    }
}
