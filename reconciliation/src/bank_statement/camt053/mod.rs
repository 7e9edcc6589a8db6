//! camt.053.001, ISO 20022's bank-to-customer statement.
//!
//! Elements are known by their names, whatever their namespace's prefix; what is not known here is passed over. Versions 02 and 08
//! are those that banks send; in the others between 02 and 13 the elements that are read have the same names.
//!
//! Only entries with the status BOOK have changed the balance. Those that are pending (PDNG), to come (FUTR) or for information
//! (INFO) are counted and left out: they come again once they are booked. A reversal (`RvslInd`) is in the direction that
//! its own `CdtDbtInd` says, by the standard's definition, so it turns no sign. A page of a statement that is sent in
//! several messages has balances of its own (`SubTp` INTM), and is a statement here.

mod balance;
mod entry;
mod leaf;
mod statement;
mod summary;

use std::collections::VecDeque;
use std::io::Read;

use leaf::Leaf;
use statement::Statement;

use super::part::Part;
use super::source::Source;
use super::xml::{Node, Xml, column};
use crate::statement::refusal::quoted;
use crate::statement::{Error, Refusal};

/// What a message's namespace begins with; two digits follow.
const NAMESPACE: &str = "urn:iso:std:iso:20022:tech:xsd:camt.053.001.";
/// What is expected where it is another.
const VERSIONS: &str =
    "urn:iso:std:iso:20022:tech:xsd:camt.053.001.08, or another version of camt.053.001 from 02 to 13";

/// A file being read.
pub(super) struct File<R> {
    xml: Xml<R>,
    /// What was read and not yet asked for.
    parts: VecDeque<Part>,
    has_header: bool,
    statement: Option<Statement>,
    statements: u64,
    is_ended: bool,
}

impl<R: Read> File<R> {
    /// Reads the message's outermost element.
    ///
    /// # Errors
    /// When it is no camt.053, or the file cannot be got at.
    pub fn open(file: &str, source: Source<R>) -> Result<Self, Error> {
        let mut xml = Xml::open(file, source)?;
        let node = xml.next()?;
        let (parts, statement) = (VecDeque::new(), None);
        match node {
            Node::Open { line, namespace } if xml.path() == "Document" => {
                let namespace = namespace.unwrap_or_default();
                if !is_known(&namespace) {
                    return Err(Refusal::of_value(file, line, "xmlns", &namespace, VERSIONS).into());
                }
            }
            Node::Open { line, .. } | Node::Close { line, .. } => {
                return Err(Refusal::of_line(file, line, quoted(xml.path()), "Document").into());
            }
            Node::End => return Err(Refusal::of_file(file, "nothing", "a camt.053").into()),
        }
        Ok(Self { xml, parts, has_header: false, statement, statements: 0, is_ended: false })
    }

    pub fn source(&self) -> &Source<R> {
        self.xml.source()
    }

    /// The next part; none at the end.
    ///
    /// # Errors
    /// When the file cannot be read, or says something that it may not.
    pub fn next_part(&mut self) -> Result<Option<Part>, Error> {
        while self.parts.is_empty() && !self.is_ended {
            match self.xml.next()? {
                Node::Open { line, .. } => self.opened(line)?,
                Node::Close { line, text, currency } => {
                    self.closed(line, text.as_deref(), currency.as_deref())?;
                }
                Node::End => {
                    self.is_ended = true;
                    if self.statements == 0 {
                        return Err(Refusal::of_file(self.xml.file(), "no statement", "Stmt").into());
                    }
                }
            }
        }
        Ok(self.parts.pop_front())
    }

    fn opened(&mut self, line: u64) -> Result<(), Refusal> {
        let leaf = Leaf { file: self.xml.file(), line, path: self.xml.path(), text: "", currency: None };
        let path = leaf.path;
        if path != "Document/BkToCstmrStmt" && !path.starts_with("Document/BkToCstmrStmt/") {
            return Err(leaf.at().value(path, "Document/BkToCstmrStmt"));
        }
        match column(path) {
            "Stmt" if !self.has_header => Err(leaf.at().refuse("no GrpHdr before it", "GrpHdr/MsgId")),
            "Stmt" => {
                self.statement = Some(Statement::new(line));
                Ok(())
            }
            within => match (&mut self.statement, within.strip_prefix("Stmt/")) {
                (Some(statement), Some(within)) => statement.opened(&leaf, within, &mut self.parts),
                _ => Ok(()),
            },
        }
    }

    fn closed(&mut self, line: u64, text: Option<&str>, currency: Option<&str>) -> Result<(), Refusal> {
        let (file, path) = (self.xml.file(), self.xml.path());
        let leaf = Leaf { file, line, path, text: text.unwrap_or_default(), currency };
        match column(path) {
            "Stmt" => {
                self.statements += 1;
                match self.statement.take() {
                    Some(statement) => statement.finish(&leaf, &mut self.parts),
                    None => Ok(()),
                }
            }
            "GrpHdr/MsgId" => {
                self.has_header = true;
                Ok(())
            }
            within => match (&mut self.statement, within.strip_prefix("Stmt/")) {
                (Some(statement), Some(within)) => {
                    if text.is_some() {
                        statement.leaf(&leaf, within)?;
                    }
                    statement.closed(&leaf, within, &mut self.parts)
                }
                _ => Ok(()),
            },
        }
    }
}

fn is_known(namespace: &str) -> bool {
    let version = namespace.strip_prefix(NAMESPACE).filter(|version| version.len() == 2);
    let version = version.and_then(|version| version.parse::<u8>().ok());
    version.is_some_and(|version| (2..=13).contains(&version))
}

#[cfg(test)]
mod tests;
