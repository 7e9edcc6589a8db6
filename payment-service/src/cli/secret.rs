//! Secrets come from files, variables and standard input, and never from an argument, which every user of the machine
//! could see.

use std::env::VarError;
use std::io::Read as _;
use std::os::unix::ffi::OsStringExt as _;
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
    from_value(what, name, std::env::var(name))
}

fn from_value(
    what: &'static str,
    name: &str,
    value: Result<String, VarError>,
) -> Result<SecretString, CliError> {
    // the error's own text holds the value
    let wrong = match value.map(Zeroizing::new) {
        Ok(text) => return Ok(text.trim().into()),
        Err(VarError::NotPresent) => "it is not set",
        Err(VarError::NotUnicode(value)) => {
            drop(Zeroizing::new(value.into_vec()));
            "it is not UTF-8"
        }
    };
    Err(CliError::Argument { argument: what, expected: format!("variable {name}: {wrong}") })
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

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::*;

    #[test]
    fn a_variable_that_cannot_be_read_is_named_and_its_value_is_not_shown() {
        let broken = OsString::from_vec(b"sk_test_secret\xff".to_vec());
        for (value, reason) in
            [(VarError::NotPresent, "it is not set"), (VarError::NotUnicode(broken), "it is not UTF-8")]
        {
            let error = from_value("API secret", "STRIPE_KEY", Err(value)).unwrap_err();
            assert_eq!(error.to_string(), format!("API secret: variable STRIPE_KEY: {reason}"));
            assert!(!format!("{error:?}").contains("sk_test_secret"), "{error:?}");
        }
    }
}
