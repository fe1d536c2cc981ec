//! The container of every binary file in a bundle: a fixed header, then typed arrays, each
//! aligned to 64 bytes, all little-endian. `docs/bundle-format.md` has the grammar.

use std::io::{Seek, SeekFrom, Write};
use std::marker::PhantomData;
use std::path::Path;
use std::sync::Arc;

use bytemuck::Pod;
use foretaste_core::{Error, ErrorKind, Result};

use crate::mmap::MappedFile;

/// First bytes of every file.
const MAGIC: [u8; 8] = *b"FTBUNDLE";
/// Version of the container and of all structures in it.
pub const FORMAT_VERSION: u32 = 1;
/// Bytes before the first array.
const HEADER_BYTES: usize = 1024;
const ENTRY_BYTES: usize = 24;
const FIRST_ENTRY: usize = 24;
/// Most arrays in one file.
const MAX_SECTIONS: usize = (HEADER_BYTES - FIRST_ENTRY) / ENTRY_BYTES;
/// Every array begins at a multiple of it, and every file ends at one.
pub(crate) const ALIGNMENT: u64 = 64;

/// What a file holds; the number stands in its header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum FileKind {
    /// The item table.
    Items = 1,
    /// The user ids.
    Users = 2,
    /// Histories of users and their transpose.
    Histories = 3,
    /// Popularity and trends.
    Popularity = 4,
    /// Popular items by user attribute.
    Segments = 5,
    /// An item-item channel.
    ItemItem = 6,
    /// A low-rank linear channel.
    LowRank = 7,
    /// An iALS channel.
    Ials = 8,
    /// A user-user channel.
    UserUser = 9,
    /// A content channel.
    Content = 10,
    /// Kinds of events behind the histories.
    Kinds = 11,
    /// A graph over the vectors of a channel.
    Graph = 12,
    /// Values of a feature set by user or by item; in a folder of features.
    Features = 13,
    /// Values of a feature set by user and item; in a folder of features.
    FeaturePairs = 14,
    /// The last events of users; in a folder of features.
    LastEvents = 15,
}

/// A type that arrays are made of.
pub trait Element: Pod {
    /// Its number in a header.
    const DTYPE: u32;
}

macro_rules! elements {
    ($($t:ty = $n:expr),*) => { $(impl Element for $t { const DTYPE: u32 = $n; })* };
}
elements!(u8 = 1, i8 = 2, u32 = 3, i32 = 4, u64 = 5, i64 = 6, f32 = 7);

/// Bytes of a value of each type by its number; there is no type 0.
pub(crate) const DTYPE_BYTES: [usize; 8] = [0, 1, 1, 4, 4, 8, 8, 4];

/// Writes one file, array by array.
pub struct SectionWriter {
    file: std::io::BufWriter<fs_err::File>,
    entries: Vec<ArrayEntry>,
    kind: FileKind,
    at: u64,
}

impl SectionWriter {
    /// Creates the file at `path`, which must not exist.
    ///
    /// # Errors
    /// `Io` as the system says.
    pub fn create(path: &Path, kind: FileKind) -> Result<Self> {
        let file = fs_err::OpenOptions::new().write(true).create_new(true).open(path)?;
        let mut file = std::io::BufWriter::with_capacity(1 << 20, file);
        file.write_all(&[0; HEADER_BYTES])?;
        Ok(Self { file, entries: Vec::new(), kind, at: HEADER_BYTES as u64 })
    }

    /// Appends an array.
    ///
    /// # Errors
    /// `Io` as the system says.
    ///
    /// # Panics
    /// Beyond the arrays that a header has room for, which no structure comes near.
    pub fn put<T: Element>(&mut self, values: &[T]) -> Result<()> {
        assert!(self.entries.len() < MAX_SECTIONS, "too many arrays in one file");
        let bytes: &[u8] = bytemuck::cast_slice(values);
        self.entries.push((T::DTYPE, self.at, values.len() as u64));
        self.file.write_all(bytes)?;
        let end = self.at + bytes.len() as u64;
        self.at = end.next_multiple_of(ALIGNMENT);
        self.file.write_all(&[0; ALIGNMENT as usize][..(self.at - end) as usize])?;
        Ok(())
    }

    /// Writes the header, syncs, and makes the file read-only.
    ///
    /// # Errors
    /// `Io` as the system says; the file is then of no use.
    pub fn finish(mut self) -> Result<()> {
        let mut header = [0u8; HEADER_BYTES];
        header[..8].copy_from_slice(&MAGIC);
        header[8..12].copy_from_slice(&FORMAT_VERSION.to_le_bytes());
        header[12..16].copy_from_slice(&(self.kind as u32).to_le_bytes());
        header[16..20].copy_from_slice(&(self.entries.len() as u32).to_le_bytes());
        for (i, (dtype, offset, count)) in self.entries.iter().enumerate() {
            let entry = &mut header[FIRST_ENTRY + i * ENTRY_BYTES..][..ENTRY_BYTES];
            entry[..4].copy_from_slice(&dtype.to_le_bytes());
            entry[8..16].copy_from_slice(&offset.to_le_bytes());
            entry[16..24].copy_from_slice(&count.to_le_bytes());
        }
        self.file.flush()?;
        let mut file = self.file.into_inner().map_err(|e| Error::from(e.into_error()))?;
        file.seek(SeekFrom::Start(0))?;
        file.write_all(&header)?;
        file.sync_all()?;
        read_only(file.path())
    }
}

/// Takes the right to write away, so that nobody changes a mapped file by accident.
///
/// # Errors
/// `Io` as the system says.
pub fn read_only(path: &Path) -> Result<()> {
    let mut permissions = fs_err::metadata(path)?.permissions();
    permissions.set_readonly(true);
    fs_err::set_permissions(path, permissions)?;
    Ok(())
}

/// One array of a mapped file.
#[derive(Clone, Debug)]
pub struct Column<T> {
    file: Arc<MappedFile>,
    start: usize,
    len: usize,
    element: PhantomData<T>,
}

impl<T: Element> Column<T> {
    /// The values.
    #[inline]
    pub fn get(&self) -> &[T] {
        bytemuck::cast_slice(&self.file.bytes()[self.start..][..self.len * size_of::<T>()])
    }
}

/// A file opened for reading, whose arrays are taken in the order of writing.
pub struct SectionReader {
    file: Arc<MappedFile>,
    name: String,
    entries: std::vec::IntoIter<ArrayEntry>,
    /// Where the next array has to begin.
    next: u64,
}

impl SectionReader {
    /// Reads and checks the header of a mapped file; `name` is for messages.
    ///
    /// # Errors
    /// `Unsupported` for another format version, `Corrupt` for anything else that is not as
    /// [`SectionWriter`] writes it.
    pub fn new(file: Arc<MappedFile>, name: &str, kind: FileKind) -> Result<Self> {
        let (found, entries) = header_of(file.bytes(), name)?;
        if found != kind as u32 {
            let text = format!("{name}: holds kind {found}, expected {kind:?}");
            return Err(Error::corrupt(text));
        }
        Ok(Self {
            file: file.clone(),
            name: name.to_owned(),
            entries: entries.into_iter(),
            next: HEADER_BYTES as u64,
        })
    }

    /// The next array.
    ///
    /// # Errors
    /// `Corrupt` when there is none, or it has another type or lies outside the file.
    pub fn take<T: Element>(&mut self) -> Result<Column<T>> {
        let bad = |text: &str| Error::corrupt(format!("{}: {text}", self.name));
        let (dtype, offset, count) =
            self.entries.next().ok_or_else(|| bad("an array is missing"))?;
        if dtype != T::DTYPE {
            return Err(bad(&format!("an array has type {dtype}, expected {}", T::DTYPE)));
        }
        let end = count.checked_mul(size_of::<T>() as u64).and_then(|b| b.checked_add(offset));
        let inside = end.filter(|&end| end <= self.file.bytes().len() as u64);
        let Some(end) = inside.filter(|_| offset == self.next) else {
            return Err(bad(&format!("an array at {offset} with {count} values is out of place")));
        };
        self.next = end.next_multiple_of(ALIGNMENT);
        let (start, len) = (offset as usize, count as usize);
        Ok(Column { file: self.file.clone(), start, len, element: PhantomData })
    }

    /// Checks that every array was taken.
    ///
    /// # Errors
    /// `Corrupt` when one is left.
    pub fn finish(mut self) -> Result<()> {
        match self.entries.next() {
            None => Ok(()),
            Some(_) => Err(Error::corrupt(format!("{}: more arrays than expected", self.name))),
        }
    }

    /// The file's name, for messages.
    pub fn name(&self) -> &str {
        &self.name
    }
}

/// An array in a header: type, offset, number of values.
pub(crate) type ArrayEntry = (u32, u64, u64);

/// The kind of a file and its arrays, read from its header and checked; `name` is for messages.
///
/// # Errors
/// As [`SectionReader::new`].
pub(crate) fn header_of(bytes: &[u8], name: &str) -> Result<(u32, Vec<ArrayEntry>)> {
    let bad = |text: String| Error::corrupt(format!("{name}: {text}"));
    let header = bytes
        .get(..HEADER_BYTES)
        .ok_or_else(|| bad(format!("{} bytes are less than a header", bytes.len())))?;
    if header[..8] != MAGIC {
        return Err(bad("does not start as a bundle file".to_owned()));
    }
    let version = u32_at(header, 8);
    if version != FORMAT_VERSION {
        let text = format!("{name}: format version {version}, this build reads {FORMAT_VERSION}");
        return Err(Error::new(ErrorKind::Unsupported, text));
    }
    let n = u32_at(header, 16) as usize;
    if n > MAX_SECTIONS || u32_at(header, 20) != 0 {
        return Err(bad(format!("{n} arrays in the header")));
    }
    let end = FIRST_ENTRY + n * ENTRY_BYTES;
    if header[end..].iter().any(|&b| b != 0) {
        return Err(bad("bytes after the last entry of the header".to_owned()));
    }
    let entries = (0..n).map(|i| entry_at(header, i)).collect::<Option<Vec<_>>>();
    let entries = entries.ok_or_else(|| bad("an entry of the header is malformed".to_owned()))?;
    Ok((u32_at(header, 12), entries))
}

fn entry_at(header: &[u8], i: usize) -> Option<ArrayEntry> {
    let at = FIRST_ENTRY + i * ENTRY_BYTES;
    let dtype = u32_at(header, at);
    (u32_at(header, at + 4) == 0).then(|| (dtype, u64_at(header, at + 8), u64_at(header, at + 16)))
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}
