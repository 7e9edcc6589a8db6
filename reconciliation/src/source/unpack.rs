//! Compressed files, as if they were not.

use std::io::{self, BufRead, BufReader, Chain, Cursor, Read};

use flate2::bufread::MultiGzDecoder;
use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

type Input = BufReader<Chain<Cursor<Vec<u8>>, Box<dyn Read + Send>>>;

/// How a gzip file begins. Source: RFC 1952, section 2.3.1.
const GZIP: &[u8] = &[0x1f, 0x8b];
/// How a frame of a zstd file begins. Source: RFC 8878, section 3.1.1.
const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
/// How a frame that is to be passed over ends its beginning, of which the first byte is from 50 to 5f. Source: the same,
/// section 3.1.2.
const ZSTD_PASSED: [u8; 3] = [0x2a, 0x4d, 0x18];
/// What is read or unpacked at once, in bytes.
const BUFFER_BYTES: usize = 1 << 16;

/// The content of `source`: unpacked, where it begins as a compressed file does.
pub(super) fn plain(mut source: Box<dyn Read + Send>) -> io::Result<Box<dyn Read + Send>> {
    let mut begin = Vec::with_capacity(ZSTD.len());
    source.by_ref().take(ZSTD.len() as u64).read_to_end(&mut begin)?;
    let is_gzip = begin.starts_with(GZIP);
    let is_zstd = match *begin.as_slice() {
        [0x50..=0x5f, ref rest @ ..] => *rest == ZSTD_PASSED,
        ref begin => *begin == ZSTD,
    };
    let input = BufReader::with_capacity(BUFFER_BYTES, Cursor::new(begin).chain(source));
    Ok(if is_gzip {
        Box::new(Gzip(MultiGzDecoder::new(input)))
    } else if is_zstd {
        Box::new(Zstd { input, frame: None })
    } else {
        Box::new(input)
    })
}

/// An error that says what was being unpacked.
fn broken(format: &str, error: impl std::fmt::Display) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        format!("it begins as {format} does and is not whole or no {format}: {error}"),
    )
}

struct Gzip(MultiGzDecoder<Input>);

impl Read for Gzip {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer).map_err(|error| match error.kind() {
            io::ErrorKind::Interrupted => error,
            _ => broken("gzip", error),
        })
    }
}

/// Frames, one after the other.
struct Zstd {
    input: Input,
    frame: Option<FrameDecoder>,
}

impl Zstd {
    /// Begins the next frame; false at the end of the file.
    fn begin(&mut self) -> io::Result<bool> {
        while !self.input.fill_buf()?.is_empty() {
            let mut frame = FrameDecoder::new();
            match frame.reset(&mut self.input) {
                Ok(()) => {
                    self.frame = Some(frame);
                    return Ok(true);
                }
                Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame {
                    length,
                    ..
                })) => {
                    let length = u64::from(length);
                    if io::copy(&mut self.input.by_ref().take(length), &mut io::sink())? < length {
                        return Err(broken("zstd", "a frame to be passed over is cut off"));
                    }
                }
                Err(error) => return Err(broken("zstd", error)),
            }
        }
        Ok(false)
    }
}

impl Read for Zstd {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        loop {
            let Some(frame) = &mut self.frame else {
                match self.begin()? {
                    true => continue,
                    false => return Ok(0),
                }
            };
            while frame.can_collect() == 0 && !frame.is_finished() {
                let some = BlockDecodingStrategy::UptoBytes(BUFFER_BYTES);
                frame.decode_blocks(&mut self.input, some).map_err(|error| broken("zstd", error))?;
            }
            let count = frame.read(buffer)?;
            if count > 0 {
                return Ok(count);
            }
            if frame
                .get_checksum_from_data()
                .is_some_and(|told| Some(told) != frame.get_calculated_checksum())
            {
                return Err(broken("zstd", "the checksum of a frame is wrong"));
            }
            self.frame = None;
        }
    }
}
