//! Tables that read well in 100 columns.
//!
//! Columns are as wide as their widest cell; a cell beyond its column's limit is cut with an ellipsis.
//! It draws no lines and no colours, so that the text can be cut and grepped.

use super::output::plain;

/// Characters between columns.
const GAP: &str = "  ";

/// A table under construction.
pub(super) struct Table {
    columns: Vec<Column>,
    rows: Vec<Vec<String>>,
}

struct Column {
    head: &'static str,
    right: bool,
    most: usize,
}

impl Table {
    /// An empty one.
    pub(super) fn new() -> Self {
        Self { columns: Vec::new(), rows: Vec::new() }
    }

    /// A column of text, cut at `most` characters.
    pub(super) fn text(mut self, head: &'static str, most: usize) -> Self {
        self.columns.push(Column { head, right: false, most });
        self
    }

    /// A column of numbers.
    pub(super) fn number(mut self, head: &'static str) -> Self {
        self.columns.push(Column { head, right: true, most: usize::MAX });
        self
    }

    /// One more row, with a cell for each column.
    pub(super) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        let columns = self.columns.iter();
        self.rows
            .push(cells.into_iter().zip(columns).map(|(cell, c)| c.cut(&plain(&cell))).collect());
    }

    /// The whole as text; every line ends without spaces.
    pub(super) fn render(&self) -> String {
        let heads = self.columns.iter().map(|column| column.head.to_owned()).collect();
        let lines: Vec<&Vec<String>> = std::iter::once(&heads).chain(&self.rows).collect();
        let width = |at: usize| lines.iter().map(|l| l[at].chars().count()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..self.columns.len()).map(width).collect();
        let mut text = String::new();
        for line in lines {
            let cells = line.iter().zip(&self.columns).zip(&widths);
            let padded = cells.map(|((cell, column), width)| {
                if column.right { format!("{cell:>width$}") } else { format!("{cell:<width$}") }
            });
            text.push_str(padded.collect::<Vec<_>>().join(GAP).trim_end());
            text.push('\n');
        }
        text
    }
}

impl Column {
    fn cut(&self, cell: &str) -> String {
        if cell.chars().count() <= self.most {
            return cell.to_owned();
        }
        cell.chars().take(self.most.saturating_sub(1)).chain(['…']).collect()
    }
}

/// A list of names and values, one a line, the values aligned; values that are absent are left out.
pub(super) fn sheet<'a>(lines: impl IntoIterator<Item = (&'a str, Option<String>)>) -> String {
    let lines: Vec<_> =
        lines.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
    let width = lines.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    let line = |(name, value): &(&str, String)| format!("{name:<width$}{GAP}{}\n", plain(value));
    lines.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_align_numbers_right_and_cut_what_is_too_long() {
        let mut table = Table::new().number("ID").text("KIND", 6).text("STATE", 9);
        table.row(["7".into(), "send_email".into(), "available".into()]);
        table.row(["1234".into(), "a\nb".into(), String::new()]);
        assert_eq!(table.render(), "  ID  KIND    STATE\n   7  send_…  available\n1234  a\\nb\n");
    }

    #[test]
    fn a_sheet_leaves_out_what_is_absent() {
        let sheet =
            sheet([("id", Some("7".into())), ("reason", None), ("queue", Some("q".into()))]);
        assert_eq!(sheet, "id     7\nqueue  q\n");
    }
}
