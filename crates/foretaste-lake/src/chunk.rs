//! A column of one row group as Parquet keeps it, made of numbers into a dictionary that is there.
//!
//! Parquet's own writer numbers each value again, by its text: half of what a segment costs where
//! ids are numbered already. Its pages, headers and metadata are used as they are.

use std::io;

use ::parquet::basic::{Compression, Encoding, ZstdLevel};
use ::parquet::column::page::{CompressedPage, Page, PageWriter};
use ::parquet::column::writer::ColumnCloseResult;
use ::parquet::errors::Result;
use ::parquet::file::metadata::ColumnChunkMetaData;
use ::parquet::file::writer::{SerializedPageWriter, TrackedWrite};
use ::parquet::schema::types::ColumnDescPtr;
use bytes::Bytes;
use zstd::bulk::Compressor;

use crate::encode::ZSTD_LEVEL;
use crate::hybrid;

/// Rows of a page.
const PAGE_ROWS: usize = 1 << 17;

/// The values of a column.
pub(crate) struct Values<'a> {
    /// The distinct ones in Parquet's plain form, and how many they are.
    pub(crate) distinct: (&'a [u8], usize),
    /// The number of each value among them.
    pub(crate) numbers: &'a [u32],
    /// For each row 1 where it has a value, else 0; `None`: all have.
    pub(crate) levels: Option<&'a [u32]>,
}

/// Makes chunks. What it works with is used again.
pub(crate) struct ChunkWriter {
    zstd: Compressor<'static>,
    page: Vec<u8>,
}

impl ChunkWriter {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self { zstd: Compressor::new(ZSTD_LEVEL)?, page: Vec::new() })
    }

    /// The pages of a column, and what the file's end has to say of them.
    pub(crate) fn encode(
        &mut self,
        column: ColumnDescPtr,
        values: &Values<'_>,
    ) -> Result<(Bytes, ColumnCloseResult)> {
        let mut sink = TrackedWrite::new(Vec::new());
        let mut pages = SerializedPageWriter::new(&mut sink);
        let (distinct, n_distinct) = values.distinct;
        let dictionary = Page::DictionaryPage {
            buf: packed(&mut self.zstd, distinct)?,
            num_values: n_distinct as u32,
            encoding: Encoding::PLAIN,
            is_sorted: false,
        };
        let first = pages.write_page(CompressedPage::new(dictionary, distinct.len()))?;
        let (mut packed_len, mut plain_len) = (first.compressed_size, first.uncompressed_size);
        let (n, mut numbers) = (values.levels.unwrap_or(values.numbers).len(), values.numbers);
        for from in (0..n).step_by(PAGE_ROWS) {
            let rows = from..n.min(from + PAGE_ROWS);
            let n_rows = rows.len();
            let levels = values.levels.map(|levels| &levels[rows]);
            let there = levels.map_or(n_rows, |own| own.iter().map(|&level| level as usize).sum());
            let (own, rest) = numbers.split_at(there);
            numbers = rest;
            self.fill(levels, own, hybrid::width_of(n_distinct));
            let page = Page::DataPage {
                buf: packed(&mut self.zstd, &self.page)?,
                num_values: n_rows as u32,
                encoding: Encoding::RLE_DICTIONARY,
                def_level_encoding: Encoding::RLE,
                rep_level_encoding: Encoding::RLE,
                statistics: None,
            };
            let written = pages.write_page(CompressedPage::new(page, self.page.len()))?;
            packed_len += written.compressed_size;
            plain_len += written.uncompressed_size;
        }
        let level = ZstdLevel::try_new(ZSTD_LEVEL)?;
        let metadata = ColumnChunkMetaData::builder(column)
            .set_compression(Compression::ZSTD(level))
            .set_encodings(vec![Encoding::PLAIN, Encoding::RLE, Encoding::RLE_DICTIONARY])
            .set_total_compressed_size(packed_len as i64)
            .set_total_uncompressed_size(plain_len as i64)
            .set_num_values(n as i64)
            .set_dictionary_page_offset(Some(0))
            .set_data_page_offset(first.bytes_written as i64)
            .build()?;
        let closed = ColumnCloseResult {
            bytes_written: packed_len as u64,
            rows_written: n as u64,
            metadata,
            bloom_filter: None,
            column_index: None,
            offset_index: None,
        };
        Ok((Bytes::from(sink.into_inner()?), closed))
    }

    /// A page that is not compressed yet: levels with their length, then numbers with their width.
    fn fill(&mut self, levels: Option<&[u32]>, numbers: &[u32], width: u32) {
        self.page.clear();
        if let Some(levels) = levels {
            self.page.extend_from_slice(&[0; 4]);
            hybrid::encode(levels, 1, &mut self.page);
            let length = self.page.len() as u32 - 4;
            self.page[..4].copy_from_slice(&length.to_le_bytes());
        }
        self.page.push(width as u8);
        hybrid::encode(numbers, width, &mut self.page);
    }
}

fn packed(zstd: &mut Compressor<'static>, bytes: &[u8]) -> io::Result<Bytes> {
    zstd.compress(bytes).map(Bytes::from)
}
