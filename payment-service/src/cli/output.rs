//! What a command answers: a few lines for people, or JSON for a script.

use std::io::Write as _;

use clap::Args;
use serde::Serialize;

use super::CliError;

#[derive(Debug, Clone, Copy, Args)]
pub(super) struct OutputArgs {
    /// Print JSON, for a script
    #[arg(long)]
    json: bool,
}

impl OutputArgs {
    /// Prints the answer as JSON, or as the lines that `people` makes.
    pub(super) fn print(
        self,
        answer: &impl Serialize,
        people: impl FnOnce() -> String,
    ) -> Result<(), CliError> {
        let failed = |error| CliError::Io("cannot write to standard output".to_owned(), error);
        let text = match self.json {
            true => serde_json::to_string(answer).map_err(|error| failed(error.into()))?,
            false => people(),
        };
        let mut out = std::io::stdout().lock();
        if !text.is_empty() {
            writeln!(out, "{text}").map_err(failed)?;
        }
        out.flush().map_err(failed)
    }
}

/// Columns of equal width, two spaces between them.
pub(super) fn table<const N: usize>(heads: [&str; N], rows: &[[String; N]]) -> String {
    let heads = heads.map(str::to_owned);
    let lines: Vec<&[String; N]> = std::iter::once(&heads).chain(rows).collect();
    let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
    let widths: [usize; N] = std::array::from_fn(width);
    let render = |line: &&[String; N]| {
        let cells = line.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    lines.iter().map(render).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_aligned() {
        let rows = [["a".to_owned(), "long one".to_owned()], ["größer".to_owned(), String::new()]];
        assert_eq!(table(["ID", "NAME"], &rows), "ID      NAME\na       long one\ngrößer");
    }
}
