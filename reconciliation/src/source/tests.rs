use std::io::Write as _;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::*;

/// What the file at this path holds.
fn read(path: &Path) -> Result<String, String> {
    let opened = Source::from(path).open().map_err(|error| with_cause(&error))?;
    let (mut reader, position) = opened.into_parts();
    let mut content = String::new();
    let read = reader.read_to_string(&mut content);
    read.map_err(|error| error.to_string())?;
    assert_eq!(position.bytes(), position.size, "all of it was read");
    Ok(content)
}

fn with_cause(error: &dyn std::error::Error) -> String {
    error.source().map_or(error.to_string(), |cause| format!("{error}: {cause}"))
}

fn gzip(content: &str) -> Vec<u8> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
    gzip.write_all(content.as_bytes()).unwrap();
    gzip.finish().unwrap()
}

fn zstd(content: &str) -> Vec<u8> {
    ruzstd::encoding::compress_to_vec(content.as_bytes(), ruzstd::encoding::CompressionLevel::Fastest)
}

fn file(content: &[u8]) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(content).unwrap();
    file
}

/// More than any buffer holds.
fn long() -> String {
    (0..100_000).map(|number| format!("line {number}\n")).collect()
}

#[test]
fn a_compressed_file_is_read_as_if_it_were_not() {
    let passed_over = [&[0x5a, 0x2a, 0x4d, 0x18, 3, 0, 0, 0][..], b"abc"].concat();
    let (first, second) = (long(), "and more".to_owned());
    let both = format!("{first}{second}");
    for (content, expected) in [
        (Vec::new(), ""),
        (b"a".to_vec(), "a"),
        (first.clone().into_bytes(), first.as_str()),
        (gzip(""), ""),
        (gzip(&first), &first),
        ([gzip(&first), gzip(&second)].concat(), &both),
        (zstd(""), ""),
        (zstd(&first), &first),
        ([zstd(&first), passed_over.clone(), zstd(&second)].concat(), &both),
        ([passed_over, zstd(&second)].concat(), &second),
    ] {
        assert_eq!(read(file(&content).path()).as_deref(), Ok(expected));
    }
}

#[test]
fn a_compressed_file_that_is_cut_off_or_damaged_is_refused() {
    let check = |content: &[u8], format: &str| {
        let error = read(file(content).path()).expect_err("it is not whole");
        let expected = format!("it begins as {format} does and is not whole or no {format}: ");
        assert!(error.contains(&expected), "{error}");
    };
    for whole in [gzip(&long()), gzip("short")] {
        for end in [3, 9, whole.len() / 2, whole.len() - 1] {
            check(&whole[..end], "gzip");
        }
        check(&[whole.clone(), b"more".to_vec()].concat(), "gzip");
        let mut damaged = whole;
        let middle = damaged.len() - 6;
        damaged[middle] ^= 1;
        check(&damaged, "gzip");
    }
    for whole in [zstd(&long()), zstd("short")] {
        for end in [4, 5, whole.len() / 2, whole.len() - 1] {
            check(&whole[..end], "zstd");
        }
        check(&[whole.clone(), b"more".to_vec()].concat(), "zstd");
        let mut damaged = whole;
        let last = damaged.len() - 1;
        damaged[last] ^= 1;
        check(&damaged, "zstd");
    }
    check(&[0x50, 0x2a, 0x4d, 0x18, 9, 0, 0, 0, b'a'], "zstd");
}

#[test]
fn a_folder_is_its_files_in_the_order_of_their_names() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["b.csv", "a.csv.gz", ".c.csv.part"] {
        std::fs::write(folder.path().join(name), "").unwrap();
    }
    std::fs::create_dir(folder.path().join("done")).unwrap();
    let files = Source::of_argument(folder.path()).unwrap();
    let names: Vec<String> = files.iter().map(Source::name).collect();
    assert_eq!(names, ["a.csv.gz", "b.csv"]);

    let empty = Source::of_argument(&folder.path().join("done")).unwrap_err().to_string();
    let shown = folder.path().join("done").display().to_string();
    assert_eq!(empty, format!("{shown}: found a folder without files, expected files"));
}

#[test]
fn a_file_or_standard_input_is_itself() {
    let path = Path::new("nowhere/settlement.csv");
    assert_eq!(Source::of_argument(path).unwrap(), [Source::from(path)]);
    assert_eq!(Source::of_argument(Path::new("-")).unwrap(), [Source::StandardInput]);
    let error = with_cause(&Source::from(path).open().err().unwrap());
    assert!(error.starts_with("nowhere/settlement.csv could not be read: No such file"), "{error}");
}
