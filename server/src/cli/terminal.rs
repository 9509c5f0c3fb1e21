//! What the command line needs of a terminal: colours where somebody looks, and a progress line that leaves nothing
//! behind. Redirected output has neither.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

/// As `println!`, for output that somebody may stop reading: `ledgerstone verify … | head` is no reason to panic, nor to
/// end with another exit status.
macro_rules! say {
    ($($text:tt)*) => {{
        use std::io::Write as _;
        let _ = writeln!(std::io::stdout(), $($text)*);
    }};
}

/// As `print!`, likewise.
macro_rules! put {
    ($($text:tt)*) => {{
        use std::io::Write as _;
        let _ = write!(std::io::stdout(), $($text)*);
    }};
}

pub(crate) use {put, say};

/// How often a progress line is drawn at most.
const REDRAW: Duration = Duration::from_millis(100);

/// Whether standard output shows colours: a terminal, or CLICOLOR_FORCE, and no NO_COLOR (no-color.org).
pub fn colours() -> bool {
    let forced = std::env::var_os("CLICOLOR_FORCE").is_some_and(|value| value != "0");
    (forced || std::io::stdout().is_terminal()) && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// How wide the terminal on standard output is, unless COLUMNS says otherwise; nothing if it is none.
pub fn width() -> Option<usize> {
    if !std::io::stdout().is_terminal() {
        return None;
    }
    let told = std::env::var("COLUMNS").ok();
    told.as_deref().and_then(columns).or_else(|| {
        let (columns, _) = rustyline::DefaultEditor::new().ok()?.dimensions()?;
        (columns > 0).then_some(usize::from(columns))
    })
}

fn columns(told: &str) -> Option<usize> {
    told.trim().parse().ok().filter(|columns| *columns > 0)
}

/// Text in one of the few styles used here.
#[derive(Debug, Clone, Copy)]
pub struct Style(bool);

impl Style {
    pub fn stdout() -> Style {
        Style(colours())
    }

    #[cfg(test)]
    pub fn plain() -> Style {
        Style(false)
    }

    pub fn bold(self, text: &str) -> String {
        self.wrap("1", text)
    }

    pub fn dim(self, text: &str) -> String {
        self.wrap("2", text)
    }

    pub fn green(self, text: &str) -> String {
        self.wrap("32", text)
    }

    pub fn red(self, text: &str) -> String {
        self.wrap("31;1", text)
    }

    pub fn yellow(self, text: &str) -> String {
        self.wrap("33", text)
    }

    fn wrap(self, code: &str, text: &str) -> String {
        if self.0 { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

/// A line on standard error that says how far something is; silent when nobody looks.
pub struct Progress {
    what: String,
    unit: &'static str,
    shown: bool,
    drawn: Option<Instant>,
    started: Instant,
}

impl Progress {
    pub fn new(what: impl Into<String>, unit: &'static str) -> Progress {
        let shown = std::io::stderr().is_terminal();
        Progress { what: what.into(), unit, shown, drawn: None, started: Instant::now() }
    }

    /// Nothing is drawn, whoever looks.
    pub fn quiet(mut self) -> Progress {
        self.shown = false;
        self
    }

    /// `total` 0: not known.
    pub fn at(&mut self, done: u64, total: u64) {
        if !self.shown || self.drawn.is_some_and(|drawn| drawn.elapsed() < REDRAW) {
            return;
        }
        self.drawn = Some(Instant::now());
        let done_text = match self.unit {
            "bytes" => bytes(done),
            unit => format!("{} {unit}", thousands(done)),
        };
        let rate = done as f64 / self.started.elapsed().as_secs_f64().max(0.001);
        let rate = if self.unit == "bytes" { bytes(rate as u64) } else { thousands(rate as u64) };
        let share = if total > 0 {
            format!("{:3} % ", (done as f64 / total as f64 * 100.0).min(100.0) as u64)
        } else {
            String::new()
        };
        eprint!("\r\x1b[K{} {share}{done_text}, {rate}/s", self.what);
        let _ = std::io::stderr().flush();
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.drawn.is_some() {
            eprint!("\r\x1b[K");
            let _ = std::io::stderr().flush();
        }
    }
}

/// 1234567 as 1,234,567.
pub fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A number of things: 1 row, 2 rows.
pub fn counted(number: u64, one: &str) -> String {
    format!("{} {one}{}", thousands(number), if number == 1 { "" } else { "s" })
}

/// A number of bytes with a unit that fits.
pub fn bytes(number: u64) -> String {
    const UNITS: [&str; 5] = ["bytes", "KiB", "MiB", "GiB", "TiB"];
    let mut value = number as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{number} bytes") } else { format!("{value:.1} {}", UNITS.get(unit).unwrap_or(&"")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped() {
        let cases = [(0, "0"), (999, "999"), (1000, "1,000"), (52_345, "52,345"), (1_234_567, "1,234,567")];
        for (number, text) in cases {
            assert_eq!(thousands(number), text);
        }
        assert_eq!(bytes(1023), "1023 bytes");
        assert_eq!(bytes(1536), "1.5 KiB");
        assert_eq!([0, 1, 2000].map(|n| counted(n, "row")), ["0 rows", "1 row", "2,000 rows"]);
    }

    #[test]
    fn columns_that_are_no_width_are_not_taken_for_one() {
        assert_eq!(["120", " 80\n", "0", "", "-1", "wide"].map(columns), [Some(120), Some(80), None, None, None, None]);
    }
}
