//! Packed files: the bytes of a binary file in blocks, each made smaller by itself, so that all
//! cores unpack one file. `docs/bundle-format.md` has the grammar.
//!
//! Numbers of a block are taken apart into their first, second, third bytes, and those that ascend
//! into differences first: exponents, and the ends of rounded mantissas, then stand side by side,
//! which is what zstd's entropy coder needs.

use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use foretaste_core::{Error, ErrorKind, Result};
use rayon::prelude::{
    IndexedParallelIterator, IntoParallelIterator, IntoParallelRefIterator, ParallelIterator,
};
use zstd::bulk::{Compressor, Decompressor};

use crate::format::{ALIGNMENT, DTYPE_BYTES, header_of, read_only};
use crate::mmap::MappedFile;

const MAGIC: [u8; 8] = *b"FTPACKED";
const VERSION: u32 = 1;
const HEADER_BYTES: usize = 32;
const ENTRY_BYTES: usize = 16;
/// Bytes of a block before it is packed: a few hundred blocks in a large file, each of which fits
/// the second cache of a core.
const BLOCK: usize = 1 << 18;
/// Blocks that are packed before they are written.
const AT_ONCE: usize = 256;
/// Higher levels find no more in what is left of such numbers.
const LEVEL: i32 = 3;

/// How the bytes of a block stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Coding {
    /// Bytes of a number, 1, 4 or 8: first come all first bytes, then all second ones. 0: the block
    /// is as it was, without zstd.
    width: u8,
    /// Whether numbers are differences from the one before, the first from 0.
    is_delta: bool,
}

impl Coding {
    const STORED: Self = Self { width: 0, is_delta: false };

    fn number(self) -> u32 {
        u32::from(self.width) | u32::from(self.is_delta) << 8
    }

    fn of_number(number: u32) -> Option<Self> {
        let (width, is_delta) = ((number & 0xff) as u8, number >> 8 == 1);
        let known = matches!((width, number >> 8), (0 | 1, 0) | (4 | 8, 0 | 1));
        known.then_some(Self { width, is_delta })
    }

    /// What may make numbers of this type small.
    fn candidates(dtype: u32) -> &'static [Self] {
        const PLANES: [Coding; 4] = [
            Coding { width: 4, is_delta: false },
            Coding { width: 4, is_delta: true },
            Coding { width: 8, is_delta: false },
            Coding { width: 8, is_delta: true },
        ];
        const BYTES: [Coding; 1] = [Coding { width: 1, is_delta: false }];
        match DTYPE_BYTES.get(dtype as usize) {
            Some(4) => &PLANES[..2],
            Some(8) => &PLANES[2..],
            _ => &BYTES,
        }
    }
}

/// One block on disk.
#[derive(Clone, Copy, Debug)]
struct Entry {
    raw: u32,
    packed: u32,
    coding: Coding,
}

impl Entry {
    fn bytes(self) -> [u8; ENTRY_BYTES] {
        let mut bytes = [0; ENTRY_BYTES];
        let fields = [self.raw, self.packed, self.coding.number()];
        for (to, field) in bytes.chunks_exact_mut(4).zip(fields) {
            to.copy_from_slice(&field.to_le_bytes());
        }
        bytes
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let field = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four"));
        let coding = Coding::of_number(field(8))?;
        let (raw, packed) = (field(0), field(4));
        let is_sound = (1..=BLOCK as u32).contains(&raw) && packed <= raw && field(12) == 0;
        let is_fitting = match coding.width {
            0 => packed == raw,
            width => raw.is_multiple_of(u32::from(width)),
        };
        (is_sound && is_fitting).then_some(Self { raw, packed, coding })
    }
}

/// What a packed file's name has more than that of the plain one.
pub(crate) const ENDING: &str = ".packed";

/// Where the packed form of a file stands.
pub(crate) fn packed_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ENDING);
    name.into()
}

/// Writes the packed form of a binary file to `to`, synced and read-only.
///
/// # Errors
/// `Corrupt` when `file` has no header of a binary file, `Io` as the system says.
///
/// # Cost
/// Two goes of zstd over its bytes on all threads of the current rayon pool; 64 MiB of memory.
pub(crate) fn write(file: &MappedFile, name: &str, to: &Path) -> Result<()> {
    let bytes = file.bytes();
    let blocks = blocks_of(bytes, name)?;
    let mut out = fs_err::OpenOptions::new().write(true).create(true).truncate(true).open(to)?;
    let mut table = Vec::with_capacity(HEADER_BYTES + blocks.len() * ENTRY_BYTES);
    table.extend_from_slice(&MAGIC);
    table.extend_from_slice(&VERSION.to_le_bytes());
    table.extend_from_slice(&0u32.to_le_bytes());
    table.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
    table.extend_from_slice(&(blocks.len() as u64).to_le_bytes());
    out.seek(SeekFrom::Start(table.capacity() as u64))?;
    for group in blocks.chunks(AT_ONCE) {
        let packed = group.par_iter().map(|(range, dtype)| pack(&bytes[range.clone()], *dtype));
        for (entry, block) in packed.collect::<Result<Vec<_>>>()? {
            table.extend_from_slice(&entry.bytes());
            out.write_all(&block)?;
        }
    }
    out.seek(SeekFrom::Start(0))?;
    out.write_all(&table)?;
    out.sync_all()?;
    read_only(to)
}

type Block = (std::ops::Range<usize>, u32);

/// The parts of a file with the type of their numbers: its header, then each array with the zeros
/// that fill it up.
fn blocks_of(bytes: &[u8], name: &str) -> Result<Vec<Block>> {
    let (_, entries) = header_of(bytes, name)?;
    let starts = entries.iter().map(|&(_, offset, _)| offset as usize);
    let ends = starts.clone().skip(1).chain([bytes.len()]);
    let first = starts.clone().next().unwrap_or(bytes.len());
    let mut parts = vec![(0..first, 1)];
    parts.extend(starts.zip(ends).zip(&entries).map(|((start, end), entry)| (start..end, entry.0)));
    let is_sound = |part: &Block| {
        part.0.start <= part.0.end && part.0.end <= bytes.len() && aligned(part.0.start)
    };
    if !parts.iter().all(is_sound) || !aligned(bytes.len()) {
        return Err(Error::corrupt(format!("{name}: an array is out of place")));
    }
    let blocks = parts.into_iter().flat_map(|(part, dtype)| {
        let end = part.end;
        part.step_by(BLOCK).map(move |at| (at..end.min(at + BLOCK), dtype))
    });
    Ok(blocks.collect())
}

fn aligned(at: usize) -> bool {
    (at as u64).is_multiple_of(ALIGNMENT)
}

fn pack(raw: &[u8], dtype: u32) -> Result<(Entry, Vec<u8>)> {
    let mut best = (Coding::STORED, raw.to_vec());
    let mut zstd = Compressor::new(LEVEL)?;
    for &coding in Coding::candidates(dtype) {
        let packed = zstd.compress(&taken_apart(raw, coding))?;
        if packed.len() < best.1.len() {
            best = (coding, packed);
        }
    }
    let (coding, packed) = best;
    Ok((Entry { raw: raw.len() as u32, packed: packed.len() as u32, coding }, packed))
}

/// Unpacks the file at `path`, which must come to `expected` bytes, into memory.
///
/// # Errors
/// `NotFound` without the file, `Corrupt` when it is damaged, `Unsupported` for another version,
/// `Exhausted` without memory for it, `Io` as the system says.
///
/// # Cost
/// About three seconds of a core for a gigabyte, divided among the threads of the current rayon
/// pool.
pub(crate) fn read(path: &Path, expected: u64) -> Result<MappedFile> {
    let named = |e: Error| e.context(path.display());
    let file = MappedFile::open(path)?;
    let (entries, data) = table(file.bytes(), expected).map_err(named)?;
    MappedFile::in_memory(expected as usize, |out| unpack(&entries, data, out)).map_err(named)
}

/// Whether there is a file at `path` whose table speaks of `expected` bytes and which is as long as
/// its table says.
pub(crate) fn is_there(path: &Path, expected: u64) -> bool {
    MappedFile::open(path).is_ok_and(|file| table(file.bytes(), expected).is_ok())
}

/// The blocks of a packed file that must come to `expected` bytes, and their data.
fn table(bytes: &[u8], expected: u64) -> Result<(Vec<Entry>, &[u8])> {
    let is_sound = |header: &&[u8]| header[..8] == MAGIC && header[12..16] == [0; 4];
    let header = bytes.get(..HEADER_BYTES).filter(is_sound);
    let header = header.ok_or_else(|| Error::corrupt("does not start as a packed file"))?;
    let version = u32::from_le_bytes(header[8..12].try_into().expect("four bytes"));
    if version != VERSION {
        let text = format!("version {version} of a packed file, this build reads {VERSION}");
        return Err(Error::new(ErrorKind::Unsupported, text));
    }
    let u64_at = |at: usize| u64::from_le_bytes(header[at..at + 8].try_into().expect("eight"));
    let (raw, n_blocks) = (u64_at(16), u64_at(24));
    if raw != expected {
        return Err(Error::corrupt(format!("unpacks to {raw} bytes, expected {expected}")));
    }
    let damaged = || Error::corrupt("its table of blocks is damaged");
    let end = usize::try_from(n_blocks).ok().and_then(|n| n.checked_mul(ENTRY_BYTES));
    let end = end.and_then(|n| n.checked_add(HEADER_BYTES)).ok_or_else(damaged)?;
    let table = bytes.get(HEADER_BYTES..end).ok_or_else(damaged)?;
    let entries = table.chunks_exact(ENTRY_BYTES).map(Entry::read).collect::<Option<Vec<_>>>();
    let entries = entries.ok_or_else(damaged)?;
    let total = |of: fn(&Entry) -> u32| entries.iter().map(|e| u64::from(of(e))).sum::<u64>();
    let data = &bytes[end..];
    match total(|e| e.raw) == raw && total(|e| e.packed) == data.len() as u64 {
        true => Ok((entries, data)),
        false => Err(damaged()),
    }
}

/// Unpacks all blocks side by side into `out`, which is as long as all of them.
fn unpack(entries: &[Entry], mut packed: &[u8], mut out: &mut [u8]) -> Result<()> {
    let mut jobs = Vec::with_capacity(entries.len());
    for &entry in entries {
        let (from, rest) = packed.split_at(entry.packed as usize);
        let (to, left) = out.split_at_mut(entry.raw as usize);
        jobs.push((entry.coding, from, to));
        (packed, out) = (rest, left);
    }
    let scratch = || (Decompressor::new(), vec![0; BLOCK]);
    jobs.into_par_iter().with_min_len(4).try_for_each_init(scratch, |(zstd, planes), job| {
        let (coding, from, to) = job;
        if coding == Coding::STORED {
            to.copy_from_slice(from);
            return Ok(());
        }
        let zstd = zstd.as_mut().map_err(|e| Error::from(std::io::Error::from(e.kind())))?;
        let planes = &mut planes[..to.len()];
        let n = zstd.decompress_to_buffer(from, planes);
        let n = n.map_err(|e| Error::corrupt("a block does not unpack").with_source(e))?;
        if n != to.len() {
            return Err(Error::corrupt("a block unpacks to too little"));
        }
        put_together(planes, coding, to);
        Ok(())
    })
}

/// The bytes of numbers by their place in a number.
fn taken_apart(raw: &[u8], coding: Coding) -> Vec<u8> {
    match coding.width {
        4 => split::<4>(raw, coding.is_delta, |now, before| {
            let (now, before) = (u32::from_le_bytes(now), u32::from_le_bytes(before));
            now.wrapping_sub(before).to_le_bytes()
        }),
        8 => split::<8>(raw, coding.is_delta, |now, before| {
            let (now, before) = (u64::from_le_bytes(now), u64::from_le_bytes(before));
            now.wrapping_sub(before).to_le_bytes()
        }),
        _ => raw.to_vec(),
    }
}

fn split<const W: usize>(
    raw: &[u8],
    is_delta: bool,
    minus: impl Fn([u8; W], [u8; W]) -> [u8; W],
) -> Vec<u8> {
    let n = raw.len() / W;
    let mut planes = vec![0; raw.len()];
    let (numbers, _) = raw.as_chunks::<W>();
    let mut before = [0; W];
    for (i, &number) in numbers.iter().enumerate() {
        let put = if is_delta { minus(number, before) } else { number };
        before = number;
        put.iter().enumerate().for_each(|(byte, &value)| planes[byte * n + i] = value);
    }
    planes
}

/// The reverse of [`taken_apart`].
fn put_together(planes: &[u8], coding: Coding, to: &mut [u8]) {
    match coding.width {
        4 => join::<4>(planes, to, coding.is_delta, |sum, next| {
            u32::from_le_bytes(sum).wrapping_add(u32::from_le_bytes(next)).to_le_bytes()
        }),
        8 => join::<8>(planes, to, coding.is_delta, |sum, next| {
            u64::from_le_bytes(sum).wrapping_add(u64::from_le_bytes(next)).to_le_bytes()
        }),
        _ => to.copy_from_slice(planes),
    }
}

fn join<const W: usize>(
    planes: &[u8],
    to: &mut [u8],
    is_delta: bool,
    plus: impl Fn([u8; W], [u8; W]) -> [u8; W],
) {
    let n = to.len() / W;
    let planes: [&[u8]; W] = std::array::from_fn(|byte| &planes[byte * n..][..n]);
    let numbers = to.as_chunks_mut::<W>().0;
    for (i, number) in numbers.iter_mut().enumerate() {
        *number = std::array::from_fn(|byte| planes[byte][i]);
    }
    if is_delta {
        let mut sum = [0; W];
        for number in numbers {
            sum = plus(sum, *number);
            *number = sum;
        }
    }
}
