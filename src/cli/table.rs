//! Tables that read well in 100 columns.
//!
//! Columns are as wide as their widest cell. A cell beyond its column's limit is cut with an ellipsis, and
//! where the whole would be wider than 100, so are the widest columns of text.
//! It draws no lines and no colours, so that the text can be cut and grepped.

use super::output::plain;

/// Characters between columns.
const GAP: &str = "  ";

/// Widest table, in characters.
const WIDTH_MAX: usize = 100;

/// No column is made narrower than this to fit, in characters.
const CUT_MIN: usize = 8;

/// A table under construction.
pub(super) struct Table {
    columns: Vec<Column>,
    rows: Vec<Vec<String>>,
    width_max: usize,
}

struct Column {
    head: &'static str,
    right: bool,
    most: usize,
}

impl Table {
    /// An empty one.
    pub(super) fn new() -> Self {
        Self { columns: Vec::new(), rows: Vec::new(), width_max: WIDTH_MAX }
    }

    /// However wide it gets: where half a cell would be no answer.
    pub(super) fn uncut(mut self) -> Self {
        self.width_max = usize::MAX;
        self
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
        self.rows.push(cells.into_iter().map(|cell| plain(&cell)).collect());
    }

    /// The whole as text; every line ends without spaces.
    pub(super) fn render(&self) -> String {
        let heads = self.columns.iter().map(|column| column.head.to_owned()).collect();
        let lines: Vec<&Vec<String>> = std::iter::once(&heads).chain(&self.rows).collect();
        let widths = self.widths(&lines);
        let mut text = String::new();
        for line in lines {
            let cells = line.iter().zip(&self.columns).zip(&widths);
            let padded = cells.map(|((cell, column), width)| {
                let cell = cut(cell, *width);
                if column.right { format!("{cell:>width$}") } else { format!("{cell:<width$}") }
            });
            text.push_str(padded.collect::<Vec<_>>().join(GAP).trim_end());
            text.push('\n');
        }
        text
    }

    /// What each column needs, less what it may not have.
    fn widths(&self, lines: &[&Vec<String>]) -> Vec<usize> {
        let needs = |at: usize| lines.iter().map(|l| l[at].chars().count()).max().unwrap_or(0);
        let columns = self.columns.iter().enumerate();
        let mut widths: Vec<usize> = columns.map(|(at, c)| needs(at).min(c.most)).collect();
        while widths.iter().sum::<usize>() + GAP.len() * (widths.len() - 1) > self.width_max {
            let text = widths.iter_mut().zip(&self.columns).filter(|(_, column)| !column.right);
            match text.map(|(width, _)| width).filter(|width| **width > CUT_MIN).max() {
                Some(widest) => *widest -= 1,
                None => break,
            }
        }
        widths
    }
}

fn cut(cell: &str, most: usize) -> String {
    if cell.chars().count() <= most {
        return cell.to_owned();
    }
    cell.chars().take(most.saturating_sub(1)).chain(['…']).collect()
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
    fn a_table_fits_100_columns_and_cuts_the_widest_text_first() {
        let mut table = Table::new().number("ID").text("KIND", 128).text("QUEUE", 128).text("X", 9);
        table.row([i64::MAX.to_string(), "k".repeat(128), "q".repeat(50), "x".repeat(9)]);
        let text = table.render();
        let row = text.lines().nth(1).expect("a row");
        assert_eq!(row.chars().count(), WIDTH_MAX);
        let cells: Vec<usize> = row.split(GAP).map(|cell| cell.chars().count()).collect();
        assert_eq!(cells, [19, 33, 33, 9]);
    }

    #[test]
    fn an_uncut_table_shows_all_however_wide() {
        let mut table = Table::new().text("KEY", usize::MAX).text("SOURCE", usize::MAX).uncut();
        table.row(["k".repeat(128), "s".repeat(200)]);
        assert!(table.render().ends_with(&format!(
            "{}{GAP}{}\n",
            "k".repeat(128),
            "s".repeat(200)
        )));
    }

    #[test]
    fn a_sheet_leaves_out_what_is_absent() {
        let sheet =
            sheet([("id", Some("7".into())), ("reason", None), ("queue", Some("q".into()))]);
        assert_eq!(sheet, "id     7\nqueue  q\n");
    }
}
