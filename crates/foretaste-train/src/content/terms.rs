//! Terms of items and their TF-IDF weights.

use foretaste_core::{Csr, IdTable, Item};

use super::ContentConfig;

/// What a term counts by where it stands.
const CATEGORY: f32 = 2.0;
const TAG: f32 = 2.0;
const TITLE: f32 = 2.0;
const DESCRIPTION: f32 = 1.0;
/// Letters of a word that are read.
const WORD_CHARS: usize = 24;

/// Items x terms: rows of length 1, terms of one item only and too frequent terms left out.
pub(super) fn term_matrix(items: &[Item], config: &ContentConfig) -> Csr {
    let mut table = IdTable::new();
    let mut text = String::new();
    let mut counts = Csr { n_cols: 0, indptr: vec![0], ..Csr::default() };
    let mut row: Vec<(u32, f32)> = Vec::new();
    for item in items {
        row.clear();
        let mut add = |prefix: char, term: &str, weight: f32| {
            text.clear();
            text.push(prefix);
            text.push_str(term);
            row.push((table.intern(&text), weight));
        };
        item.categories.iter().for_each(|c| add('c', c, CATEGORY));
        item.tags.iter().for_each(|t| add('t', t, TAG));
        words(&item.title, usize::MAX, &mut |word| add('w', word, TITLE));
        let limit = config.description_chars;
        words(&item.description, limit, &mut |word| add('w', word, DESCRIPTION));
        row.sort_by_key(|e| e.0);
        let merged = row.chunk_by(|a, b| a.0 == b.0);
        counts.push_row(merged.map(|terms| (terms[0].0, terms.iter().map(|e| e.1).sum())));
    }
    counts.n_cols = table.len();
    weighted(&counts, config.work)
}

/// Calls `word` with every word in lower case; runs of Chinese, Japanese and Korean characters
/// give their overlapping pairs.
pub(super) fn words(text: &str, limit_chars: usize, word: &mut dyn FnMut(&str)) {
    let mut run = String::new();
    let mut last_wide: Option<char> = None;
    let mut wide_run = 0;
    for c in text.chars().take(limit_chars).flat_map(char::to_lowercase).chain([' ']) {
        if is_wide(c) {
            flush(&mut run, word);
            if let Some(before) = last_wide {
                word(String::from_iter([before, c]).as_str());
            }
            (last_wide, wide_run) = (Some(c), wide_run + 1);
            continue;
        }
        if let (Some(single), 1) = (last_wide.take(), wide_run) {
            word(single.encode_utf8(&mut [0; 4]));
        }
        wide_run = 0;
        if c.is_alphanumeric() {
            run.push(c);
        } else {
            flush(&mut run, word);
        }
    }
}

/// Ends a word; very long ones are cut.
fn flush(run: &mut String, word: &mut dyn FnMut(&str)) {
    if run.is_empty() {
        return;
    }
    if let Some((at, _)) = run.char_indices().nth(WORD_CHARS) {
        run.truncate(at);
    }
    word(run);
    run.clear();
}

/// Characters of scripts that are written without spaces between words.
fn is_wide(c: char) -> bool {
    matches!(c,
        '\u{3040}'..='\u{30ff}' | '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}'
        | '\u{ac00}'..='\u{d7af}' | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{2ffff}'
        | '\u{0e00}'..='\u{0e7f}')
}

/// TF-IDF rows of length 1 of the terms that are kept.
fn weighted(counts: &Csr, work: u64) -> Csr {
    let frequencies = counts.col_counts();
    let most = frequency_cap(&frequencies, work);
    let n = counts.n_rows() as f32;
    let mut out = Csr { n_cols: counts.n_cols, indptr: vec![0], ..Csr::default() };
    for i in 0..counts.n_rows() {
        let (terms, values) = counts.row(i);
        let row: Vec<(u32, f32)> = terms
            .iter()
            .zip(values)
            .filter(|(t, _)| (2..=most).contains(&frequencies[**t as usize]))
            .map(|(&t, &v)| (t, (1.0 + v).ln() * (1.0 + n / frequencies[t as usize] as f32).ln()))
            .collect();
        let norm = row.iter().map(|e| e.1 * e.1).sum::<f32>().sqrt();
        out.push_row(row.into_iter().map(|(t, v)| (t, v / norm)));
    }
    out
}

/// The largest frequency up to which the terms' squared frequencies sum up to at most `work`.
fn frequency_cap(frequencies: &[u32], work: u64) -> u32 {
    let mut sorted: Vec<u32> = frequencies.iter().copied().filter(|&f| f > 1).collect();
    sorted.sort_unstable();
    let (mut sum, mut cap) = (0u64, 0);
    for same in sorted.chunk_by(|a, b| a == b) {
        sum = sum.saturating_add(u64::from(same[0]).pow(2).saturating_mul(same.len() as u64));
        if sum > work {
            break;
        }
        cap = same[0];
    }
    cap
}
