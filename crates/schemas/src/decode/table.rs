//! A batch as a table, for tests. Arrow's own printer is behind a feature that this crate alone does not turn on.

use arrow::{
    array::RecordBatch,
    util::display::{ArrayFormatter, FormatOptions},
};

pub(super) fn table(batch: &RecordBatch) -> String {
    let options = FormatOptions::default();
    let columns = batch.columns().iter().zip(batch.schema_ref().fields()).map(|(array, field)| {
        let cells = ArrayFormatter::try_new(array, &options).expect("printable");
        let cells = (0..batch.num_rows()).map(|row| cells.value(row).to_string());
        [field.name().clone()].into_iter().chain(cells).collect::<Vec<_>>()
    });
    let columns: Vec<Vec<String>> = columns.collect();
    let widths: Vec<usize> =
        columns.iter().map(|cells| cells.iter().map(|cell| cell.chars().count()).max().unwrap_or(0)).collect();
    let rule: String = widths.iter().map(|width| format!("+{}", "-".repeat(width + 2))).collect::<String>() + "+";
    let mut lines = vec![rule.clone()];
    for row in 0..=batch.num_rows() {
        let cells = columns.iter().zip(&widths).map(|(cells, width)| format!("| {:<width$} ", cells[row]));
        lines.push(cells.collect::<String>() + "|");
        if row == 0 {
            lines.push(rule.clone());
        }
    }
    lines.push(rule);
    lines.join("\n")
}
