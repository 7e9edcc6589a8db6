//! `transitions`

use clap::{Args, ValueEnum};

use super::CliError;
use super::output::{OutputArgs, table};
use crate::transitions::{Machine, machines};

/// How they are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// A table for each state machine
    Text,
    /// A state diagram for each
    Mermaid,
}

#[derive(Debug, Args)]
pub(super) struct Transitions {
    /// How to print them
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    format: Format,
    #[command(flatten)]
    output: OutputArgs,
}

impl Transitions {
    pub(super) fn run(self) -> Result<(), CliError> {
        let render = match self.format {
            Format::Text => text,
            Format::Mermaid => Machine::mermaid,
        };
        let machines = machines();
        self.output.print(&machines, || machines.iter().map(render).collect::<Vec<_>>().join("\n"))
    }
}

fn text(machine: &Machine) -> String {
    let rows: Vec<[String; 3]> = machine
        .transitions
        .iter()
        .map(|way| [way.from.to_owned(), way.event.to_owned(), way.to.to_owned()])
        .collect();
    let head = [machine.name.to_uppercase(), "EVENT".to_owned(), "BECOMES".to_owned()];
    table(head.each_ref().map(String::as_str), &rows) + "\n"
}
