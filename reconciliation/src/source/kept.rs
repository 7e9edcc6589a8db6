use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::marker::PhantomData;
use std::os::unix::fs::FileExt as _;

use serde::Serialize;
use serde::de::DeserializeOwned;

/// How often it is noted where an item begins: so many are passed over at most to get at one.
const MARKED_ITEMS: u64 = 1_024;
/// What is read or written at once, in bytes.
const BUFFER_BYTES: usize = 1 << 17;

/// Items that were read once and are to be read again, however many: what is used is what was checked, whoever writes to
/// the file meanwhile. They lie in a temporary file without a name.
pub(crate) struct Kept<T> {
    file: File,
    count: u64,
    /// Where every so many items begin.
    marks: Vec<u64>,
    items: PhantomData<fn() -> T>,
}

impl<T: DeserializeOwned> Kept<T> {
    /// How many there are.
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// The items from the one after `passed` others.
    pub fn after(&self, passed: u64) -> io::Result<Items<'_, T>> {
        let mark = usize::try_from(passed / MARKED_ITEMS).ok().and_then(|mark| self.marks.get(mark));
        let at = At { file: &self.file, offset: mark.copied().unwrap_or_default() };
        let left = self.count - (passed - passed % MARKED_ITEMS).min(self.count);
        let file = BufReader::with_capacity(BUFFER_BYTES, at);
        let mut items = Items { file, left, bytes: Vec::new(), items: PhantomData };
        for _ in 0..(passed % MARKED_ITEMS).min(left) {
            items.pass()?;
        }
        Ok(items)
    }
}

/// Items, in their order.
pub(crate) struct Items<'a, T> {
    file: BufReader<At<'a>>,
    left: u64,
    /// The item at hand, as it was written.
    bytes: Vec<u8>,
    items: PhantomData<fn() -> T>,
}

impl<T: DeserializeOwned> Items<'_, T> {
    /// Up to `count` of the next.
    pub fn take(&mut self, count: usize) -> io::Result<Vec<T>> {
        let count = usize::try_from(self.left).map_or(count, |left| count.min(left));
        let mut items = Vec::with_capacity(count);
        for _ in 0..count {
            self.pass()?;
            items.push(postcard::from_bytes(&self.bytes).map_err(io::Error::other)?);
        }
        Ok(items)
    }

    fn pass(&mut self) -> io::Result<()> {
        let mut length = [0; 4];
        self.file.read_exact(&mut length)?;
        self.bytes.resize(u32::from_le_bytes(length) as usize, 0);
        self.file.read_exact(&mut self.bytes)?;
        self.left -= 1;
        Ok(())
    }
}

/// Items that are being kept.
pub(crate) struct Keeper<T> {
    file: BufWriter<File>,
    bytes: u64,
    count: u64,
    marks: Vec<u64>,
    item: Vec<u8>,
    items: PhantomData<fn() -> T>,
}

impl<T: Serialize> Keeper<T> {
    /// None yet.
    pub fn new() -> io::Result<Self> {
        let file = BufWriter::with_capacity(BUFFER_BYTES, tempfile::tempfile()?);
        Ok(Self { file, bytes: 0, count: 0, marks: Vec::new(), item: Vec::new(), items: PhantomData })
    }

    /// Keeps one, after its length.
    pub fn add(&mut self, item: &T) -> io::Result<()> {
        if self.count.is_multiple_of(MARKED_ITEMS) {
            self.marks.push(self.bytes);
        }
        self.item.clear();
        self.item = postcard::to_extend(item, std::mem::take(&mut self.item)).map_err(io::Error::other)?;
        let length = u32::try_from(self.item.len()).map_err(io::Error::other)?;
        self.file.write_all(&length.to_le_bytes())?;
        self.file.write_all(&self.item)?;
        self.bytes += 4 + u64::from(length);
        self.count += 1;
        Ok(())
    }

    /// All of them.
    pub fn finish(self) -> io::Result<Kept<T>> {
        let file = self.file.into_inner().map_err(io::IntoInnerError::into_error)?;
        Ok(Kept { file, count: self.count, marks: self.marks, items: PhantomData })
    }
}

/// A place in a file, which readers of other places do not move.
struct At<'a> {
    file: &'a File,
    offset: u64,
}

impl Read for At<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read_at(buffer, self.offset)?;
        self.offset += count as u64;
        Ok(count)
    }
}
