//! XML of data: elements with either text or elements in them. No document type, and so no entities but the five that XML has
//! itself: a file cannot grow while it is read.

mod decode;

use std::io::Read;

use decode::{Decoded, Fault};
use quick_xml::errors::IllFormedError;
use quick_xml::events::{BytesRef, BytesStart, Event};
use quick_xml::reader::Reader;

use super::draft::At;
use super::source::Source;
use crate::statement::refusal::quoted;
use crate::statement::{Error, Refusal};

/// The longest tag, text or comment, in bytes.
const LONGEST_PIECE: usize = 1 << 16;
/// The most elements within each other.
const DEEPEST: usize = 32;

/// A file being read: an element's begin or end at a time.
pub(super) struct Xml<R> {
    file: String,
    reader: Reader<Decoded<R>>,
    buffer: Vec<u8>,
    /// The elements that are open, the outermost first.
    open: Vec<Element>,
    /// Their names, with slashes between.
    path: String,
    /// What the innermost has in it so far, and the line on which that began.
    text: String,
    text_line: u64,
    is_closed: bool,
    place: Place,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Nothing was read.
    Start,
    Before,
    Within,
    After,
}

/// An element that is open.
struct Element {
    /// The line on which it begins.
    line: u64,
    /// How long the path is without it.
    before: usize,
    /// The attribute `Ccy`, which is the only one that says something in a message.
    currency: Option<String>,
    has_elements: bool,
}

/// What comes next; the element is that of [`Xml::path`].
#[derive(Debug)]
pub(super) enum Node {
    /// An element begins, in this namespace where that is declared with it.
    Open { line: u64, namespace: Option<String> },
    /// An element ends. It has either this text or elements in it.
    Close { line: u64, text: Option<String>, currency: Option<String> },
    /// The document has ended, and nothing follows.
    End,
}

impl<R: Read> Xml<R> {
    /// # Errors
    /// When the file is in an encoding that is not known here, or cannot be got at.
    pub fn open(file: &str, source: Source<R>) -> Result<Self, Error> {
        let mut reader = Reader::from_reader(Decoded::open(file, source)?);
        reader.config_mut().expand_empty_elements = true;
        Ok(Self {
            file: file.to_owned(),
            reader,
            buffer: Vec::new(),
            open: Vec::new(),
            path: String::new(),
            text: String::new(),
            text_line: 1,
            is_closed: false,
            place: Place::Start,
        })
    }

    pub fn source(&self) -> &Source<R> {
        self.reader.get_ref().source()
    }

    /// The file's name.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// The element that [`Self::next`] told of, within the others.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// What comes next.
    ///
    /// # Errors
    /// When the file cannot be read, is not well-formed, or has something in it that data does not need.
    pub fn next(&mut self) -> Result<Node, Error> {
        if std::mem::take(&mut self.is_closed)
            && let Some(element) = self.open.pop()
        {
            self.path.truncate(element.before);
        }
        loop {
            self.buffer.clear();
            self.reader.get_mut().grant(LONGEST_PIECE);
            let line = self.reader.get_ref().line();
            let event = match self.reader.read_event_into(&mut self.buffer) {
                Ok(event) => event.into_owned(),
                Err(error) => return Err(self.error(line, error)),
            };
            let place = self.place;
            if place == Place::Start {
                self.place = Place::Before;
            }
            match event {
                Event::Start(start) => return Ok(self.start(line, &start)?),
                // elements without anything in them come as their begin and end
                Event::Empty(_) | Event::Comment(_) | Event::PI(_) => {}
                Event::End(_) => return Ok(self.end()?),
                Event::Text(text) => self.gather(line, &text.xml10_content())?,
                Event::CData(text) => self.gather(line, &text.xml10_content())?,
                Event::GeneralRef(reference) => {
                    let sign = self.resolve(line, &reference)?;
                    self.gather(line, sign.encode_utf8(&mut [0; 4]))?;
                }
                Event::Decl(_) if place == Place::Start => {}
                Event::Decl(_) => {
                    return Err(self.refuse(line, "an XML declaration", "it at the file's start").into());
                }
                Event::DocType(_) => {
                    return Err(self
                        .refuse(line, "a document type (DOCTYPE)", "none, as in all bank statements")
                        .into());
                }
                Event::Eof => return Ok(self.eof(line)?),
            }
        }
    }

    fn start(&mut self, line: u64, start: &BytesStart<'_>) -> Result<Node, Refusal> {
        if self.place == Place::After {
            return Err(self.refuse(line, "a second document", "the file's end"));
        }
        self.place = Place::Within;
        self.no_text()?;
        if let Some(outer) = self.open.last_mut() {
            outer.has_elements = true;
        }
        if self.open.len() >= DEEPEST {
            return Err(self.refuse(
                line,
                "an element",
                format!("at most {DEEPEST} elements within each other"),
            ));
        }
        let (namespace, currency) = self.attributes(line, start)?;
        self.open.push(Element { line, before: self.path.len(), currency, has_elements: false });
        if !self.path.is_empty() {
            self.path.push('/');
        }
        self.path.push_str(start.local_name().as_ref());
        Ok(Node::Open { line, namespace })
    }

    /// The namespace that the element declares and is in, and its currency.
    fn attributes(
        &self,
        line: u64,
        start: &BytesStart<'_>,
    ) -> Result<(Option<String>, Option<String>), Refusal> {
        let (mut namespace, mut currency) = (None, None);
        let declares = match start.name().prefix() {
            Some(prefix) => format!("xmlns:{}", prefix.as_ref()),
            None => "xmlns".to_owned(),
        };
        for attribute in start.attributes() {
            let attribute = attribute
                .map_err(|error| self.refuse(line, quoted(&error.to_string()), "well-formed XML"))?;
            match attribute.key.as_ref() {
                "Ccy" => currency = Some(attribute.value.into_owned()),
                name if name == declares => namespace = Some(attribute.value.into_owned()),
                _ => {}
            }
        }
        Ok((namespace, currency))
    }

    fn end(&mut self) -> Result<Node, Refusal> {
        let text = std::mem::take(&mut self.text);
        let Some(element) = self.open.last_mut() else {
            return Err(self.refuse(self.reader.get_ref().line(), "the end of an element", "its begin"));
        };
        let (line, currency, has_elements) = (element.line, element.currency.take(), element.has_elements);
        self.is_closed = true;
        if self.open.len() == 1 {
            self.place = Place::After;
        }
        if has_elements && !text.trim().is_empty() {
            self.text = text;
            self.no_text()?;
            return Ok(Node::Close { line, text: None, currency });
        }
        Ok(Node::Close { line, text: (!has_elements).then(|| tidy(&text)), currency })
    }

    fn gather(&mut self, line: u64, text: &str) -> Result<(), Refusal> {
        if self.text.len() + text.len() > LONGEST_PIECE {
            return Err(self.too_long(line));
        }
        if let Some(control) = text.chars().find(|sign| is_unwanted(*sign)) {
            return Err(self.refuse(line, format!("the character {control:?}"), "text"));
        }
        if self.text.is_empty() {
            self.text_line = line;
        }
        self.text.push_str(text);
        // text is only ever within an innermost element
        if self.place != Place::Within || self.open.last().is_some_and(|element| element.has_elements) {
            self.no_text()?;
        }
        Ok(())
    }

    /// What was gathered has to be nothing but white space, as elements are beside it.
    fn no_text(&mut self) -> Result<(), Refusal> {
        let text = std::mem::take(&mut self.text);
        if text.trim().is_empty() {
            return Ok(());
        }
        let before = text.chars().take_while(|sign| sign.is_whitespace());
        let line = self.text_line + before.filter(|sign| *sign == '\n').count() as u64;
        let expected =
            if self.place == Place::Within { "elements only" } else { "nothing beside the document" };
        Err(self.refuse(line, quoted(text.trim()), expected))
    }

    fn resolve(&self, line: u64, reference: &BytesRef<'_>) -> Result<char, Refusal> {
        let named = match reference.as_ref() {
            "amp" => Some('&'),
            "lt" => Some('<'),
            "gt" => Some('>'),
            "apos" => Some('\''),
            "quot" => Some('"'),
            _ => reference.resolve_char_ref().ok().flatten(),
        };
        named.ok_or_else(|| {
            let found = quoted(&format!("&{};", &**reference));
            self.refuse(line, found, "one of XML's own entities, or a character's number")
        })
    }

    fn eof(&self, line: u64) -> Result<Node, Refusal> {
        match self.place {
            Place::After => Ok(Node::End),
            Place::Within => {
                let name = self.path.rsplit('/').next().unwrap_or_default();
                Err(self.refuse(line, "the file's end", format!("</{name}>; is the file cut off?")))
            }
            Place::Start | Place::Before => Err(self.refuse(line, "no element", "a document")),
        }
    }

    fn error(&self, line: u64, error: quick_xml::Error) -> Error {
        let decoded = self.reader.get_ref();
        let refusal = match (decoded.fault(), error) {
            (Some(Fault::TooLong), _) => self.too_long(line),
            (Some(Fault::Malformed), _) => {
                let (line, name) = (decoded.line(), decoded.encoding());
                self.refuse(line, format!("bytes that are no {name}"), name)
            }
            (None, quick_xml::Error::Io(error)) => {
                return decoded.source().error(std::io::Error::new(error.kind(), error));
            }
            (None, quick_xml::Error::Syntax(_)) => {
                self.refuse(line, "an unfinished tag or comment", "its end; is the file cut off?")
            }
            (None, quick_xml::Error::IllFormed(IllFormedError::MismatchedEndTag { expected, found })) => {
                self.refuse(line, quoted(&format!("</{found}>")), quoted(&format!("</{expected}>")))
            }
            (None, error) => self.refuse(line, quoted(&error.to_string()), "well-formed XML"),
        };
        refusal.into()
    }

    fn too_long(&self, line: u64) -> Refusal {
        self.refuse(line, "a longer text or tag", format!("at most {LONGEST_PIECE} bytes"))
    }

    fn refuse(&self, line: u64, found: impl Into<String>, expected: impl Into<String>) -> Refusal {
        if self.path.is_empty() {
            return Refusal::of_line(&self.file, line, found, expected);
        }
        At { file: &self.file, line, column: column(&self.path) }.refuse(found, expected)
    }
}

/// An element as refusals name it: without those that every message is in.
pub(super) fn column(path: &str) -> &str {
    path.strip_prefix("Document/BkToCstmrStmt/").unwrap_or(path)
}

/// Whether XML has no such character: it may not even be named by its number.
fn is_unwanted(sign: char) -> bool {
    (sign < ' ' && !"\t\r\n".contains(sign)) || matches!(sign, '\u{FFFE}' | '\u{FFFF}')
}

/// Lines and indentation are the file's, not the text's.
fn tidy(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
