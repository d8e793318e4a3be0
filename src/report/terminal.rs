//! As much of a terminal as progress speaks to, for tests.

/// A window that scrolls.
pub struct Terminal {
    /// Columns and rows of the window.
    size: (usize, usize),
    /// All rows there ever were; the window shows the last of them.
    rows: Vec<Vec<char>>,
    /// The row of the cursor and its column.
    cursor: (usize, usize),
}

impl Terminal {
    /// What a window of this many columns and rows shows of `text`.
    pub fn of(text: &str, size: (usize, usize)) -> Self {
        let mut terminal = Self { size, rows: vec![Vec::new()], cursor: (0, 0) };
        let mut rest = text;
        while let Some(character) = rest.chars().next() {
            rest = &rest[character.len_utf8()..];
            match character {
                '\x1b' => {
                    let end = rest.find(|letter: char| letter.is_ascii_alphabetic()).unwrap();
                    let (sequence, behind) = rest.split_at(end + 1);
                    terminal.obey(sequence);
                    rest = behind;
                }
                '\r' => terminal.cursor.1 = 0,
                '\n' => terminal.feed(),
                other => terminal.write(other),
            }
        }
        terminal
    }

    fn obey(&mut self, sequence: &str) {
        let row = self.cursor.0;
        match sequence {
            "[K" => self.rows[row].truncate(self.cursor.1),
            "[J" => {
                self.rows[row].truncate(self.cursor.1);
                self.rows[row + 1..].iter_mut().for_each(Vec::clear);
            }
            up => {
                let lines: usize = up.strip_prefix('[').and_then(|up| up.strip_suffix('A')).unwrap().parse().unwrap();
                // Not beyond the top of the window.
                self.cursor.0 = (row - lines.min(row)).max(self.rows.len().saturating_sub(self.size.1));
            }
        }
    }

    /// As the driver of a terminal does it: to the beginning of the next line.
    fn feed(&mut self) {
        self.cursor = (self.cursor.0 + 1, 0);
        if self.cursor.0 == self.rows.len() {
            self.rows.push(Vec::new());
        }
    }

    fn write(&mut self, character: char) {
        if self.cursor.1 == self.size.0 {
            self.feed();
        }
        let (row, column) = self.cursor;
        let line = &mut self.rows[row];
        while line.len() <= column {
            line.push(' ');
        }
        line[column] = character;
        self.cursor.1 += 1;
    }

    /// All rows, to the last that is not empty.
    pub fn text(&self) -> Vec<String> {
        let end = self.rows.iter().rposition(|row| !row.is_empty()).map_or(0, |last| last + 1);
        self.rows[..end].iter().map(|row| row.iter().collect()).collect()
    }
}
