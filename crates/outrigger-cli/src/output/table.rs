//! Tables and lists of names and values, for people. No lines are drawn: they would be copied along with the text.

use comfy_table::{Attribute, Cell, CellAlignment, Color, ContentArrangement, Row, Table, presets};

use super::{bold, clean};

/// A table with a head. Columns whose head ends with `>` are aligned to the right.
#[must_use]
pub fn table(head: &[&str], rows: impl IntoIterator<Item = Vec<Cell>>) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).enforce_styling().style_text_only();
    // A terminal that is narrower than this, or does not say how wide it is, wraps lines by itself.
    const NARROWEST: u16 = 60;
    if let Some(width) = table.width().filter(|width| *width >= NARROWEST) {
        table.set_width(width).set_content_arrangement(ContentArrangement::Dynamic);
    }
    let names = head.iter().map(|name| {
        let cell = Cell::new(name.trim_end_matches('>')).add_attribute(Attribute::Bold);
        if name.ends_with('>') { cell.set_alignment(CellAlignment::Right) } else { cell }
    });
    table.set_header(Row::from(names.collect::<Vec<_>>()));
    for row in rows {
        table.add_row(Row::from(row));
    }
    for (index, name) in head.iter().enumerate() {
        if let Some(column) = table.column_mut(index) {
            column.set_padding((0, if index + 1 == head.len() { 0 } else { 2 }));
            if name.ends_with('>') {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
    }
    table.trim_fmt()
}

/// A table, or a sentence where it would be empty.
#[must_use]
pub fn table_or(empty: &str, head: &[&str], rows: Vec<Vec<Cell>>) -> String {
    match rows.is_empty() {
        true => empty.to_owned(),
        false => table(head, rows),
    }
}

/// A cell with a text that others wrote.
pub fn cell(text: impl AsRef<str>) -> Cell {
    Cell::new_owned(clean(text.as_ref()))
}

/// A cell with a word that says how something is, in the colour of it.
pub fn status(word: &str) -> Cell {
    let color = match word {
        "active" | "healthy" | "ok" | "yes" | "installed" | "succeeded" | "delivered" => Some(Color::Green),
        "failed" | "unhealthy" | "error" | "dead" => Some(Color::Red),
        "cancelled" | "disabled" | "degraded" | "waiting_for_approval" | "warning" | "warn" | "deactivated" => {
            Some(Color::Yellow)
        }
        _ => None,
    };
    match color {
        Some(color) => Cell::new(clean(word)).fg(color),
        None => Cell::new(clean(word)),
    }
}

/// Names and values, one pair a line, values below each other. A pair with an empty value is left out.
#[must_use]
pub fn fields(pairs: &[(&str, String)]) -> String {
    let widest = pairs.iter().map(|(name, _)| name.chars().count()).max().unwrap_or_default();
    let mut text = String::new();
    for (name, value) in pairs.iter().filter(|(_, value)| !value.is_empty()) {
        let padding = " ".repeat(widest - name.chars().count() + 2);
        let continued = format!("\n{}", " ".repeat(widest + 2));
        text.push_str(&format!("{}{padding}{}\n", bold(name), clean(value).replace('\n', &continued)));
    }
    text
}

/// A titled part of a longer text, or nothing where it would be empty.
#[must_use]
pub fn section(title: &str, body: &str) -> String {
    match body.trim_end() {
        "" => String::new(),
        body => format!("\n{}\n{}\n", bold(title), indent(body, "  ")),
    }
}

/// A text with something before each line that is not empty.
#[must_use]
pub fn indent(text: &str, by: &str) -> String {
    let lines: Vec<_> =
        text.lines().map(|line| if line.is_empty() { String::new() } else { format!("{by}{line}") }).collect();
    lines.join("\n")
}

/// A bulleted list.
#[must_use]
pub fn bullets<S: AsRef<str>>(items: impl IntoIterator<Item = S>) -> String {
    items.into_iter().map(|item| format!("• {}\n", clean(item.as_ref()).replace('\n', "\n  "))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(text: &str) -> String {
        anstream::adapter::strip_str(text).to_string()
    }

    #[test]
    fn columns_stand_below_each_other() {
        let rows = vec![vec![cell("pricing"), cell("3")], vec![cell("a"), cell("12")]];
        assert_eq!(plain(&table(&["NAME", "CALLS>"], rows)), "NAME     CALLS\npricing      3\na           12");
    }

    #[test]
    fn values_stand_below_each_other() {
        let pairs = [("Name", "x".to_owned()), ("Version", "1\n2".to_owned()), ("Empty", String::new())];
        assert_eq!(plain(&fields(&pairs)), "Name     x\nVersion  1\n         2\n");
    }
}
