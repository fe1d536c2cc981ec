//! Files as bytes: opened, decompressed where needed, digested, and counted for progress.

use std::io::{BufReader, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use flate2::read::MultiGzDecoder;
use foretaste_core::{Progress, Result};

const BUFFER_BYTES: usize = 1 << 20;

/// How far the reading of a file is.
#[derive(Clone, Debug, Default)]
pub struct Meter {
    read: Arc<AtomicU64>,
}

impl Meter {
    /// Tells how many bytes were read since the last call.
    pub fn report(&self, progress: &dyn Progress) {
        progress.advance(self.read.swap(0, Ordering::Relaxed));
    }
}

struct Metered {
    file: fs_err::File,
    meter: Meter,
}

impl Read for Metered {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let n = self.file.read(buffer)?;
        self.meter.read.fetch_add(n as u64, Ordering::Relaxed);
        Ok(n)
    }
}

/// Opens a file, through gzip when it begins like a gzip file.
pub fn open(path: &Path, meter: &Meter) -> Result<Box<dyn Read + Send>> {
    let mut magic = [0u8; 2];
    let zipped = fs_err::File::open(path)?.read_exact(&mut magic).is_ok() && magic == [0x1f, 0x8b];
    let file = Metered { file: fs_err::File::open(path)?, meter: meter.clone() };
    let buffered = BufReader::with_capacity(BUFFER_BYTES, file);
    Ok(if zipped { Box::new(MultiGzDecoder::new(buffered)) } else { Box::new(buffered) })
}

/// The digest of a file and of the settings it is read with.
pub fn digest(path: &Path, settings: &str) -> Result<String> {
    let mut hasher = blake3::Hasher::new();
    let mut file = fs_err::File::open(path)?;
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        match file.read(&mut buffer)? {
            0 => break,
            n => hasher.update(&buffer[..n]),
        };
    }
    hasher.update(settings.as_bytes());
    Ok(hasher.finalize().to_hex()[..32].to_owned())
}
