//! Tables: the layout is a library's; here only what all our tables have in common.

use comfy_table::presets::{ASCII_MARKDOWN, NOTHING};
use comfy_table::{CellAlignment, ContentArrangement};

use crate::render::style::Style;

/// Rows under a header.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Table {
    /// The titles of the columns.
    pub header: Vec<&'static str>,
    /// As many cells each as there are titles.
    pub rows: Vec<Vec<String>>,
    /// Columns that hold amounts: aligned to the right.
    pub amounts: &'static [usize],
}

impl Table {
    /// For a person: no lines, cells wrapped to the width. Every line ends with a line break.
    pub fn text(&self, style: Style) -> String {
        let mut table = self.laid_out();
        table.load_style(NOTHING);
        table.set_content_arrangement(ContentArrangement::Dynamic);
        table.set_width(u16::try_from(style.width).unwrap_or(u16::MAX));
        trimmed(&table)
    }

    /// As a Markdown table; `|` in cells is escaped.
    pub fn markdown(&self) -> String {
        let escaped = Table {
            rows: self
                .rows
                .iter()
                .map(|row| row.iter().map(|cell| escape(cell)).collect())
                .collect(),
            ..self.clone()
        };
        let mut table = escaped.laid_out();
        table.load_style(ASCII_MARKDOWN);
        trimmed(&table)
    }

    fn laid_out(&self) -> comfy_table::Table {
        let mut table = comfy_table::Table::new();
        table.set_header(self.header.clone());
        table.add_rows(&self.rows);
        for column in self.amounts {
            if let Some(column) = table.column_mut(*column) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        table
    }
}

fn escape(cell: &str) -> String {
    cell.replace('|', "\\|").replace('\n', " ")
}

fn trimmed(table: &comfy_table::Table) -> String {
    table.lines().map(|line| format!("{}\n", line.trim_end())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_rows_for_a_person_and_as_markdown() {
        let table = Table {
            header: vec!["machine", "bytes"],
            rows: vec![vec!["web-01".into(), "64".into()], vec!["a|b".into(), "4096".into()]],
            amounts: &[1],
        };
        assert_eq!(
            table.text(Style::PLAIN),
            " machine  bytes
 web-01      64
 a|b       4096
"
        );
        let markdown = "| machine | bytes |
|---------|-------|
| web-01  |    64 |
| a\\|b    |  4096 |
";
        assert_eq!(table.markdown(), markdown);
    }
}
