//! Redraws lines at the bottom of a terminal, and hides them while others are printed.

use std::io::{IsTerminal as _, Write};
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex};

use crate::lock::lock;

/// Clears the line from the cursor on.
const CLEAR_LINE: &str = "\x1b[K";
/// Clears the screen from the cursor on.
const CLEAR_BELOW: &str = "\x1b[J";
/// The size assumed for a terminal that doesn't report one.
const USUAL_SIZE: (usize, usize) = (80, 24);

/// A part of a terminal; clones share it.
#[derive(Clone)]
pub(super) struct Screen {
    shared: Arc<Mutex<Painted>>,
}

struct Painted {
    writer: Box<dyn Write + Send>,
    /// Columns and rows, queried each time, since the window may be resized.
    size: fn() -> (usize, usize),
    /// The lines on the screen; the cursor is below them.
    lines: Vec<String>,
}

impl Screen {
    /// The terminal of stderr.
    pub(super) fn stderr() -> Self {
        Self::on(Box::new(std::io::stderr()), size_of_stderr)
    }

    fn on(writer: Box<dyn Write + Send>, size: fn() -> (usize, usize)) -> Self {
        Self { shared: Arc::new(Mutex::new(Painted { writer, size, lines: Vec::new() })) }
    }

    /// Replaces the lines shown before by `lines`.
    pub(super) fn paint(&self, lines: &[String]) {
        lock(&self.shared).paint(lines);
    }

    /// Removes the lines from the screen.
    pub(super) fn clear(&self) {
        lock(&self.shared).paint(&[]);
    }

    /// Runs `write`, which writes to the same terminal, while the lines are hidden.
    pub(super) fn beside<T>(&self, write: impl FnOnce() -> T) -> T {
        let mut painted = lock(&self.shared);
        let lines = painted.lines.clone();
        painted.paint(&[]);
        let done = write();
        painted.paint(&lines);
        done
    }
}

impl Painted {
    fn paint(&mut self, lines: &[String]) {
        if lines.is_empty() && self.lines.is_empty() {
            return;
        }
        let (columns, rows) = (self.size)();
        let mut text = String::new();
        // Up by what was drawn last, not by what will be drawn.
        if !self.lines.is_empty() {
            text = format!("\x1b[{}A\r", self.lines.len());
        }
        // The cursor needs a row of its own, and a line that fills the last column may wrap.
        self.lines =
            lines.iter().take(rows.saturating_sub(1)).map(|line| cut(line, columns.saturating_sub(1))).collect();
        for line in &self.lines {
            text.push_str(line);
            text.push_str(CLEAR_LINE);
            text.push('\n');
        }
        text.push_str(CLEAR_BELOW);
        // A terminal that is gone must not fail the step.
        let _ = self.writer.write_all(text.as_bytes()).and_then(|()| self.writer.flush());
    }
}

/// Cuts a line to the width. Characters outside ASCII may be two columns wide.
fn cut(line: &str, columns: usize) -> String {
    let mut room = columns;
    let fits = |character: &char| {
        let width = if character.is_ascii() { 1 } else { 2 };
        let fits = width <= room;
        room = room.saturating_sub(width);
        fits
    };
    line.chars().take_while(fits).collect()
}

fn size_of_stderr() -> (usize, usize) {
    size_of(std::io::stderr())
}

/// Columns and rows of a terminal.
pub(super) fn size_of(terminal: impl AsFd) -> (usize, usize) {
    match rustix::termios::tcgetwinsize(terminal) {
        Ok(size) if size.ws_col > 0 && size.ws_row > 0 => (size.ws_col.into(), size.ws_row.into()),
        _ => USUAL_SIZE,
    }
}

/// Whether bars can be drawn: stderr is a terminal with a movable cursor, outside of any CI system.
pub(super) fn interactive() -> bool {
    let variable = |name| std::env::var(name).ok();
    wants_bars(std::io::stderr().is_terminal(), variable("TERM").as_deref(), variable("CI").as_deref())
}

/// The rule of [`interactive`], for given values of `TERM` and `CI`.
pub(super) fn wants_bars(terminal: bool, term: Option<&str>, ci: Option<&str>) -> bool {
    terminal && term != Some("dumb") && matches!(ci, None | Some("" | "0" | "false"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::console::Verbosity;
    use super::super::console::tests::{Captured, captured as console};
    use super::super::level::LogStyle;
    use super::super::terminal::Terminal;
    use super::*;

    const SIZE: (usize, usize) = (20, 8);

    fn screen() -> (Screen, Captured) {
        let captured = Captured::default();
        (Screen::on(Box::new(captured.clone()), || SIZE), captured)
    }

    fn lines(number: usize, word: &str) -> Vec<String> {
        (0..number).map(|line| format!("{word} {line}")).collect()
    }

    #[test]
    fn nothing_is_left_behind_when_the_height_changes() {
        let (screen, captured) = screen();
        captured.clone().write_all(b"$ imgstep\n").unwrap();
        for (round, height) in [1, 3, 2, 6, 1, 5].into_iter().enumerate() {
            screen.paint(&lines(height, &format!("round {round}")));
            let text = captured.text();
            let expected = [vec!["$ imgstep".to_owned()], lines(height, &format!("round {round}"))].concat();
            assert_eq!(Terminal::of(&text, SIZE).text(), expected);
        }
        screen.clear();
        assert_eq!(Terminal::of(&captured.text(), SIZE).text(), ["$ imgstep"]);
    }

    #[test]
    fn what_is_printed_meanwhile_stands_above() {
        let (screen, captured) = screen();
        screen.beside(|| captured.clone().write_all(b"first\n").unwrap());
        screen.paint(&lines(2, "bar"));
        screen.beside(|| captured.clone().write_all(b"second\nthird\n").unwrap());
        assert_eq!(Terminal::of(&captured.text(), SIZE).text(), ["first", "second", "third", "bar 0", "bar 1"]);
    }

    #[test]
    fn lines_of_a_console_are_printed_while_a_screen_is_attached() {
        let (console, said) = console(Verbosity::Normal, LogStyle::PLAIN);
        let (screen, painted) = screen();
        console.attach(Some(screen.clone()));
        screen.paint(&lines(1, "bar"));
        console.note("above the bars");
        console.attach(None);
        console.note("after them");
        assert_eq!(said.text(), "above the bars\nafter them\n");
        assert_eq!(painted.text().matches("bar 0").count(), 2, "it made room and came back");
    }

    #[test]
    fn a_line_that_is_too_long_is_cut_and_so_are_lines_without_a_row() {
        let (screen, captured) = screen();
        screen.paint(&["x".repeat(50)]);
        assert_eq!(Terminal::of(&captured.text(), SIZE).text(), ["x".repeat(19)]);
        assert_eq!(cut("äöü", 5), "äö");
        screen.paint(&lines(50, "bar"));
        screen.clear();
        assert!(Terminal::of(&captured.text(), SIZE).text().is_empty());
    }

    proptest! {
        #[test]
        fn whatever_is_painted_the_last_is_all_there_is(
            steps in prop::collection::vec((0_usize..10, prop::option::of(0_usize..3)), 1..30)
        ) {
            let (screen, captured) = screen();
            let mut above = Vec::new();
            let mut bars = Vec::new();
            for (step, (height, printed)) in steps.into_iter().enumerate() {
                bars = lines(height, &format!("bar {step}"));
                bars.truncate(SIZE.1 - 1);
                screen.paint(&bars);
                if let Some(number) = printed {
                    let said = lines(number, &format!("said {step}"));
                    let text: String = said.iter().flat_map(|line| [line.as_str(), "\n"]).collect();
                    screen.beside(|| captured.clone().write_all(text.as_bytes()).unwrap());
                    above.extend(said);
                }
            }
            above.extend(bars);
            let terminal = Terminal::of(&captured.text(), SIZE);
            prop_assert_eq!(terminal.text(), above);
        }
    }

    #[test]
    fn bars_are_for_people_at_terminals() {
        assert!(wants_bars(true, Some("xterm"), None));
        assert!(wants_bars(true, None, Some("false")));
        assert!(!wants_bars(false, Some("xterm"), None));
        assert!(!wants_bars(true, Some("dumb"), None));
        assert!(!wants_bars(true, Some("xterm"), Some("true")));
    }
}
