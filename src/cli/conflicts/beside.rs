//! Versions of an entity beside each other: a field a line, a column a version, fitted to a width.
//!
//! Values are shown as JSON, wrapped and not cut, up to [`CELL_LINES_MAX`] lines; nothing in them moves a cursor.

use std::collections::BTreeSet;

use unicode_width::UnicodeWidthChar;

use crate::algebra::{Existence, State, Version};
use crate::cli::words;

/// So many lines a value takes at most: a long text shall not push the other fields off the screen.
const CELL_LINES_MAX: usize = 12;

/// Columns get no narrower than this, even where lines are wider than a terminal for it.
const CELL_WIDTH_MIN: usize = 8;

/// Names of fields take no more than this.
const NAME_WIDTH_MAX: usize = 24;

/// What stands before a value: its mark and a space.
const MARK_WIDTH: usize = 2;

/// A version under its title.
pub(in crate::cli) struct Column<'c> {
    pub(in crate::cli) title: &'static str,
    pub(in crate::cli) version: &'c Version,
    /// Whether it is one of the two that changed something; what they changed is seen from the first column.
    is_side: bool,
}

impl<'c> Column<'c> {
    pub(in crate::cli) fn of(title: &'static str, version: &'c Version) -> Self {
        Column { title, version, is_side: false }
    }

    pub(in crate::cli) fn side(title: &'static str, version: &'c Version) -> Self {
        Column { title, version, is_side: true }
    }

    fn raw(&self, field: &str) -> Option<&'c str> {
        self.version.existence.live().and_then(|state| state.raw(field))
    }

    fn heading(&self) -> String {
        match self.version.existence {
            Existence::Absent => format!("{} (not there)", self.title),
            Existence::Live(_) => self.title.to_owned(),
            Existence::Dead(_) => format!("{} (deleted)", self.title),
        }
    }

    /// Whether it changed a field, seen from another version.
    fn changed(&self, since: &Column<'_>, field: &str) -> bool {
        self.is_side && self.version.existence.is_live() && self.raw(field) != since.raw(field)
    }
}

/// The lines: a heading, then a field each. What the sides changed is seen from the first column; the fields of a key
/// that clashes are marked in every column.
pub(in crate::cli) fn beside(columns: &[Column<'_>], unique: &[String], width: usize) -> Vec<String> {
    let Some(since) = columns.first() else { return Vec::new() };
    let states = columns.iter().filter_map(|column| column.version.existence.live());
    let fields: BTreeSet<String> = states.flat_map(State::iter).map(|(name, _)| name).collect();
    let names: Vec<String> = fields.iter().map(|field| words::shown(field)).collect();
    let widest = names.iter().map(|name| wide(name)).max().unwrap_or(0);
    let layout = Layout::fitted(widest.min(NAME_WIDTH_MAX), columns.len(), width);
    let headings = columns.iter().map(|column| (' ', column.heading())).collect();
    let mut lines = layout.row(' ', "", headings);
    for (field, name) in fields.iter().zip(&names) {
        let sides: Vec<&Column<'_>> = columns.iter().filter(|column| column.changed(since, field)).collect();
        let differ = sides.windows(2).any(|pair| matches!(pair, [a, b] if a.raw(field) != b.raw(field)));
        let is_clashing = unique.contains(field);
        let cells = columns.iter().map(|column| {
            let mark = match column.raw(field) {
                Some(_) if is_clashing => '=',
                _ if column.changed(since, field) => '*',
                Some(_) | None => ' ',
            };
            let nothing = if column.version.existence.is_live() { "–" } else { "" };
            (mark, column.raw(field).map_or_else(|| nothing.to_owned(), words::shown))
        });
        let mark = if differ { '!' } else { ' ' };
        lines.extend(layout.row(mark, name, cells.collect()));
    }
    lines
}

/// How wide the parts of a line are.
struct Layout {
    name: usize,
    cell: usize,
}

impl Layout {
    fn fitted(name: usize, columns: usize, width: usize) -> Self {
        // Before each cell a space and its mark.
        let left = width.saturating_sub(MARK_WIDTH + name);
        let cell = (left / columns.max(1)).saturating_sub(MARK_WIDTH + 1).max(CELL_WIDTH_MIN);
        Layout { name, cell }
    }

    /// One row, as many lines as its highest cell needs.
    fn row(&self, mark: char, name: &str, cells: Vec<(char, String)>) -> Vec<String> {
        let names = wrapped(name, self.name);
        let cells: Vec<(char, Vec<String>)> =
            cells.into_iter().map(|(mark, text)| (mark, wrapped(&text, self.cell))).collect();
        let height = cells.iter().map(|(_, lines)| lines.len()).chain([names.len()]).max().unwrap_or(0);
        let part = |lines: &[String], line: usize, width: usize| {
            let text = lines.get(line).map_or("", String::as_str);
            format!("{text}{}", " ".repeat(width.saturating_sub(wide(text))))
        };
        (0..height)
            .map(|line| {
                let first = |mark: char| if line == 0 { mark } else { ' ' };
                let mut out = format!("{} {}", first(mark), part(&names, line, self.name));
                for (mark, lines) in &cells {
                    out.push_str(&format!(" {} {}", first(*mark), part(lines, line, self.cell)));
                }
                out.trim_end().to_owned()
            })
            .collect()
    }
}

/// A text in lines of at most a width; what is more than a cell takes is counted.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    let (mut filled, mut left) = (0, text.chars());
    while let Some(char) = left.next() {
        let needs = char.width().unwrap_or(0);
        if filled + needs > width {
            if lines.len() == CELL_LINES_MAX {
                let more = left.count() + 1;
                lines.push(format!("… {} more", words::count(more as u64)));
                return lines;
            }
            lines.push(String::new());
            filled = 0;
        }
        filled += needs;
        if let Some(line) = lines.last_mut() {
            line.push(char);
        }
    }
    lines
}

/// How many columns of a terminal a text takes.
fn wide(text: &str) -> usize {
    text.chars().map(|char| char.width().unwrap_or(0)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn live(json: &str) -> Version {
        Version { existence: Existence::Live(State::from_json(json).unwrap()), ..Version::default() }
    }

    fn three(base: &Version, local: &Version, remote: &Version, width: usize) -> Vec<String> {
        let columns =
            [Column::of("base", base), Column::side("local", local), Column::side("remote", remote)];
        beside(&columns, &[], width)
    }

    #[test]
    fn what_each_side_changed_is_marked_and_what_both_did_differently_too() {
        let base = live(r#"{"a":1,"b":1,"c":1,"d":1}"#);
        let lines =
            three(&base, &live(r#"{"a":2,"b":1,"c":2,"d":1,"e":1}"#), &live(r#"{"a":3,"c":2,"d":1}"#), 60);
        assert_eq!(
            lines,
            [
                "      base               local              remote",
                "! a   1                * 2                * 3",
                "  b   1                  1                * –",
                "  c   1                * 2                * 2",
                "  d   1                  1                  1",
                "  e   –                * 1                  –",
            ]
        );
        let dead = Version { existence: Existence::Dead(State::empty()), ..Version::default() };
        let lines = three(&base, &live(r#"{"a":2}"#), &dead, 60);
        assert_eq!(lines.first().unwrap(), "      base               local              remote (deleted)");
        assert_eq!(lines.get(1).unwrap(), "  a   1                * 2");
    }

    #[test]
    fn no_line_is_wider_than_asked_for_and_no_character_is_lost() {
        let text = "漢字 and a long text of many words, 0123456789 ".repeat(3);
        let (base, local) = (live("{}"), live(&format!(r#"{{"text":"{text}"}}"#)));
        for width in [60, 80, 100, 133] {
            let lines = three(&base, &local, &base, width);
            assert!(lines.iter().all(|line| wide(line) <= width), "{lines:#?}");
            let shown: String = lines.concat().chars().filter(char::is_ascii_digit).collect();
            assert_eq!(shown, "0123456789".repeat(3), "{lines:#?}");
        }
        // Too narrow for three columns: readable all the same.
        assert!(
            three(&base, &local, &base, 5).iter().all(|line| wide(line) <= 2 + 4 + 3 * (CELL_WIDTH_MIN + 3))
        );
    }

    #[test]
    fn a_value_of_many_lines_is_counted_and_one_with_control_characters_spelled_out() {
        let (base, local) = (live("{}"), live(&format!(r#"{{"text":"{}"}}"#, "x".repeat(10_000))));
        let lines = three(&base, &local, &base, 80);
        assert_eq!(lines.len(), 1 + CELL_LINES_MAX + 1);
        assert!(lines.last().unwrap().contains("more"), "{lines:#?}");
        let lines = three(&base, &live("{\"a\\u001b\":\"\u{9b}2J\"}"), &base, 80);
        assert!(lines.iter().all(|line| !line.chars().any(char::is_control)), "{lines:#?}");
    }
}
