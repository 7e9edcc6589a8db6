use std::io::{self, Read};

use sha2::{Digest, Sha256};

/// Passes bytes on, and remembers their hash and whether their quotes are paired.
pub(super) struct Digesting<R> {
    inner: R,
    sha256: Sha256,
    quotes: u64,
}

impl<R> Digesting<R> {
    pub fn new(inner: R) -> Self {
        Self { inner, sha256: Sha256::new(), quotes: 0 }
    }

    /// Of what was read so far.
    pub fn sha256(&self) -> [u8; 32] {
        self.sha256.clone().finalize().into()
    }

    /// A quoted field that never ends swallows the rest of a file, so it must be noticed.
    pub const fn quotes_are_paired(&self) -> bool {
        self.quotes.is_multiple_of(2)
    }
}

impl<R: Read> Read for Digesting<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        let bytes = buffer.get(..count).unwrap_or_default();
        self.sha256.update(bytes);
        self.quotes += bytes.iter().map(|&byte| u64::from(byte == b'"')).sum::<u64>();
        Ok(count)
    }
}
