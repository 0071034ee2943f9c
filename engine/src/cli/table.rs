//! Tables for people: aligned columns without borders, so that they can be copied and cut.
//!
//! On a terminal a state has its colour (unless `NO_COLOR` is set) and long texts wrap; elsewhere
//! one row is one line.

use std::io::{self, IsTerminal};

use comfy_table::presets::NOTHING;
use comfy_table::{Attribute, Cell, CellAlignment, Color, ContentArrangement, Table};

use crate::cli::terminal::color;
use crate::model::State;

/// How to print.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Look {
    terminal: bool,
    color: bool,
}

impl Look {
    /// For files, pipes and tests.
    #[cfg(test)]
    pub(crate) const PLAIN: Self = Self { terminal: false, color: false };

    pub(crate) fn of_stdout() -> Self {
        Self { terminal: io::stdout().is_terminal(), color: color(&io::stdout()) }
    }

    /// A table under these column titles; those that begin with `>` are aligned to the right.
    pub(crate) fn table(self, titles: &[&str], rows: impl IntoIterator<Item = Vec<Cell>>) -> String {
        let mut table = self.empty();
        table.set_header(titles.iter().map(|title| self.bold(title.trim_start_matches('>'))));
        fill(table, titles, rows)
    }

    /// The same table without its titles.
    pub(crate) fn rows(self, titles: &[&str], rows: impl IntoIterator<Item = Vec<Cell>>) -> String {
        fill(self.empty(), titles, rows)
    }

    fn empty(self) -> Table {
        let mut table = Table::new();
        table.load_style(NOTHING);
        if self.terminal {
            table.set_content_arrangement(ContentArrangement::Dynamic);
        } else {
            table.force_no_tty();
        }
        table
    }

    /// A state in its colour.
    pub(crate) fn state(self, state: State) -> Cell {
        let color = match state {
            State::Alive => Color::Green,
            State::Suspect => Color::Yellow,
            State::Failed => Color::Red,
            State::Left | State::Unseen => Color::DarkGrey,
        };
        let cell = Cell::new(state);
        if self.color { cell.fg(color) } else { cell }
    }

    pub(crate) fn bold(self, text: &str) -> Cell {
        let cell = Cell::new(text);
        if self.color { cell.add_attribute(Attribute::Bold) } else { cell }
    }
}

fn fill(mut table: Table, titles: &[&str], rows: impl IntoIterator<Item = Vec<Cell>>) -> String {
    table.add_rows(rows);
    for (column, title) in table.column_iter_mut().zip(titles) {
        column.set_padding((0, 2));
        if title.starts_with('>') {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table.trim_fmt()
}

/// What may be absent.
pub(crate) fn or_dash(value: Option<impl ToString>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_terminal_a_row_is_a_line_and_has_no_colour() {
        let rows = [vec![Cell::new("a".repeat(300)), Look::PLAIN.state(State::Failed), Cell::new(7)]];
        let text = Look::PLAIN.table(&["NODE", "STATE", ">N"], rows);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 2, "{text}");
        assert!(lines[0].starts_with("NODE ") && lines[1].ends_with("failed  7"), "{text}");
        assert!(!text.contains('\x1b'));
    }

    #[test]
    fn colour_is_there_when_it_is_wanted() {
        let look = Look { terminal: true, color: true };
        assert_ne!(look.state(State::Failed), Look::PLAIN.state(State::Failed));
        let plain = Look { terminal: true, color: false };
        assert_eq!(plain.state(State::Failed), Look::PLAIN.state(State::Failed));
    }
}
