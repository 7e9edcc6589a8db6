//! Secrets come from files, variables and standard input, and never from an argument, which every user of the machine
//! could see.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use secrecy::SecretString;
use secrecy::zeroize::Zeroizing;

use super::CliError;

/// The longest secret that is read, in bytes.
const LONGEST: u64 = 4096;

/// The secret in a file, a variable, or else on standard input.
pub(super) fn read(
    what: &'static str,
    file: Option<&Path>,
    variable: Option<&str>,
) -> Result<SecretString, CliError> {
    match (file, variable) {
        (Some(path), _) => from_file(what, path),
        (None, Some(name)) => from_variable(what, name),
        (None, None) => from_standard_input(what),
    }
}

/// The secrets in files and variables, in this order; none is fine.
pub(super) fn read_all(
    what: &'static str,
    files: &[PathBuf],
    variables: &[String],
) -> Result<Vec<SecretString>, CliError> {
    let from_files = files.iter().map(|path| from_file(what, path));
    from_files.chain(variables.iter().map(|name| from_variable(what, name))).collect()
}

fn from_file(what: &'static str, path: &Path) -> Result<SecretString, CliError> {
    let failed = |error| CliError::Io(format!("cannot read the {what} from {}", path.display()), error);
    let file = std::fs::File::open(path).map_err(failed)?;
    first_line(file).map_err(failed)
}

fn from_variable(what: &'static str, name: &str) -> Result<SecretString, CliError> {
    let text = std::env::var(name).map(Zeroizing::new);
    let text = text.map_err(|error| CliError::Argument {
        argument: what,
        expected: format!("variable {name}: {error}"),
    })?;
    Ok(text.trim().into())
}

fn from_standard_input(what: &'static str) -> Result<SecretString, CliError> {
    use std::io::IsTerminal as _;
    let input = std::io::stdin();
    if input.is_terminal() {
        eprintln!("{what} (it is shown as you type; end with Ctrl-D):");
    }
    first_line(input.lock())
        .map_err(|error| CliError::Io(format!("cannot read the {what} from standard input"), error))
}

fn first_line(source: impl std::io::Read) -> std::io::Result<SecretString> {
    let mut text = Zeroizing::new(String::new());
    source.take(LONGEST).read_to_string(&mut text)?;
    Ok(text.trim().into())
}
