use std::io::{self, Read};

use sha2::{Digest, Sha256};

/// Passes bytes on, and remembers their hash.
pub(super) struct Hashed<R> {
    inner: R,
    sha256: Sha256,
}

impl<R> Hashed<R> {
    pub fn new(inner: R) -> Self {
        Self { inner, sha256: Sha256::new() }
    }

    /// Of what was read so far.
    pub fn sha256(&self) -> [u8; 32] {
        self.sha256.clone().finalize().into()
    }
}

impl<R: Read> Read for Hashed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.sha256.update(buffer.get(..count).unwrap_or_default());
        Ok(count)
    }
}
