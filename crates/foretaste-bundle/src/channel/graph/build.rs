//! Building a graph: nodes enter in batches, each batch looking at the graph before it, so that the
//! result does not depend on the number of threads.
//!
//! Nodes are numbered in the order in which they enter; upper layers hold the first of them and
//! serve the building only (searches begin from a sample, see above).
//!
//! Searches rank by inner product. With inner products as nearness, a few long vectors are
//! everybody's neighbours and short ones nobody's; with cosines, long vectors, which are most
//! answers, are reached by way of short ones only. Nearness here lies between the two ([`TEMPER`]).
//!
//! # Source
//! Malkov & Yashunin, "Efficient and robust approximate nearest neighbor search using hierarchical
//! navigable small world graphs", TPAMI 2020, algorithms 1, 2 and 4; layers have fixed sizes here
//! instead of random ones. Dobson et al., "ParlayANN", PPoPP 2024: batches.

use std::cmp::Reverse;
use std::ops::Range;

use foretaste_core::{Progress, Rng};
use rayon::prelude::{
    IndexedParallelIterator, IntoParallelIterator, IntoParallelRefIterator, ParallelIterator,
};

use super::GraphConfig;
use super::walk::{Layer, NONE, Target, WalkScratch};
use crate::kernels::{ByteQuery, dot_i8_rows};

/// Nearness is the inner product over the lengths to this power: 0 inner product, 1 cosine.
/// Measured on factors of a real catalogue and on planted groups (`docs/vector-search.md`).
const TEMPER: f64 = 0.25;
/// The greatest nearness as an integer.
const ONE: f64 = (1 << 29) as f64;
/// Most nodes of a batch, and the part of the graph so far that a batch may be.
const BATCH: (usize, usize) = (2048, 16);

/// Links rows of `padded` bytes. Returns the order in which they entered and the links of each row.
pub(super) fn build(
    bytes: &[i8],
    padded: usize,
    (config, progress): (&GraphConfig, &dyn Progress),
) -> (Vec<u32>, Vec<u32>) {
    let n = bytes.len() / padded;
    let mut order: Vec<u32> = (0..n as u32).collect();
    Rng::new(config.seed).shuffle(&mut order);
    let space = Space::new(bytes, padded, &order);
    let mut layers = layers(n, config.links);
    let mut start = 1;
    while start < n {
        let top = layers.iter().rposition(|layer| start < layer.n).unwrap_or(0);
        let end = start + (start / BATCH.1).clamp(1, BATCH.0);
        let batch = start as u32..end.min(layers[top].n) as u32;
        start = batch.end as usize;
        progress.advance(batch.len() as u64);
        space.enter(&mut layers[..], (top, batch), config);
    }
    let mut links = vec![NONE; n * 2 * config.links];
    for (node, &row) in order.iter().enumerate() {
        let places = &mut links[row as usize * 2 * config.links..];
        let of_node = layers[0].view().of(node as u32).iter();
        of_node.zip(places).for_each(|(&link, place)| *place = order[link as usize]);
    }
    (order, links)
}

/// Links of the first `n` nodes.
struct OwnedLayer {
    links: Vec<u32>,
    stride: usize,
    n: usize,
}

impl OwnedLayer {
    fn new(n: usize, stride: usize) -> Self {
        Self { links: vec![NONE; n * stride], stride, n }
    }

    fn view(&self) -> Layer<'_> {
        Layer { links: &self.links, stride: self.stride }
    }

    fn set(&mut self, node: u32, links: &[u32]) {
        let places = &mut self.links[node as usize * self.stride..][..self.stride];
        places.fill(NONE);
        places[..links.len()].copy_from_slice(links);
    }
}

/// The bottom layer with twice the links, and upper ones, each a part of the one below.
fn layers(n: usize, links: usize) -> Vec<OwnedLayer> {
    let sizes = std::iter::successors(Some(n / links), |size| Some(size / links));
    let upper = sizes.take_while(|&size| size > 1).map(|size| OwnedLayer::new(size, links));
    std::iter::once(OwnedLayer::new(n, 2 * links)).chain(upper).collect()
}

/// All nodes' bytes in the order of entering.
struct Space {
    bytes: Vec<i8>,
    padded: usize,
    /// What inner products with each node are multiplied by; 0 for a vector of zeros.
    factors: Vec<f32>,
}

impl Space {
    fn new(rows: &[i8], padded: usize, order: &[u32]) -> Self {
        let of = |&row: &u32| &rows[row as usize * padded..][..padded];
        let square = |row: &[i8]| row.iter().map(|&b| i32::from(b) * i32::from(b)).sum::<i32>();
        let squares: Vec<i32> = order.iter().map(|row| square(of(row))).collect();
        let longest = squares.iter().copied().max().unwrap_or(0);
        // The longest vector is at ONE from itself.
        let unit = (ONE / f64::from(longest.max(1)).powf(1.0 - TEMPER)).sqrt();
        let factor = |&square: &i32| match square {
            0 => 0.0,
            square => (unit * f64::from(square).powf(-TEMPER / 2.0)) as f32,
        };
        Self {
            bytes: order.iter().flat_map(of).copied().collect(),
            padded,
            factors: squares.iter().map(factor).collect(),
        }
    }

    fn target(&self, node: u32) -> Target<'_> {
        let row = &self.bytes[node as usize * self.padded..][..self.padded];
        Target { bytes: &self.bytes, padded: self.padded, query: ByteQuery::new(row) }
    }

    /// How near two nodes are; the same from both sides, and at most [`ONE`] but for rounding.
    #[inline]
    fn nearness(&self, a: u32, b: u32, product: i32) -> i32 {
        (product as f32 * (self.factors[a as usize] * self.factors[b as usize])) as i32
    }

    /// Puts a batch of nodes, whose highest layer is `top`, into the layers.
    fn enter(
        &self,
        layers: &mut [OwnedLayer],
        (top, batch): (usize, Range<u32>),
        config: &GraphConfig,
    ) {
        let before: &[OwnedLayer] = layers;
        let nodes = batch.clone().into_par_iter();
        let found: Vec<Vec<Vec<u32>>> = nodes
            .map_init(WalkScratch::default, |scratch, node| {
                self.neighbours(before, (top, node), config, scratch)
            })
            .collect();
        for (at, layer) in layers.iter_mut().enumerate().take(top + 1) {
            let of_layer = || batch.clone().zip(found.iter().map(|lists| &lists[at]));
            of_layer().for_each(|(node, links)| layer.set(node, links));
            let back = of_layer().flat_map(|(node, links)| links.iter().map(move |&to| (to, node)));
            self.link_back(layer, back.collect());
        }
    }

    /// The links of a new node in the layers up to `top`.
    fn neighbours(
        &self,
        layers: &[OwnedLayer],
        (top, node): (usize, u32),
        config: &GraphConfig,
        scratch: &mut WalkScratch,
    ) -> Vec<Vec<u32>> {
        let (target, mut nearest) = (self.target(node), 0);
        let score = |other: u32, product: i32| self.nearness(node, other, product);
        let mut lists = vec![Vec::new(); top + 1];
        for (at, layer) in layers.iter().enumerate().rev() {
            let ef = if at > top { 1 } else { config.ef_construction };
            scratch.begin(layer.n, ef, ef);
            scratch.offer(&[nearest], target, score);
            scratch.walk(layer.view(), target, score, |_| true);
            let candidates: Vec<(u32, i32)> = scratch.pool.sorted().collect();
            nearest = candidates.first().map_or(0, |&(other, _)| other);
            if at <= top {
                lists[at] = self.choose(&candidates, config.links);
            }
        }
        lists
    }

    /// Of candidates, nearest first, those that are nearer to the node than to any one chosen
    /// before: links in many directions; then the nearest of the rest, while there are places.
    fn choose(&self, candidates: &[(u32, i32)], most: usize) -> Vec<u32> {
        let mut chosen: Vec<u32> = Vec::with_capacity(most);
        let mut products = vec![0; most];
        for &(candidate, near) in candidates {
            if chosen.len() == most {
                break;
            }
            let products = &mut products[..chosen.len()];
            dot_i8_rows(self.target(candidate).query, &self.bytes, &chosen, products);
            let mut others = chosen.iter().zip(&*products);
            if others.all(|(&other, &dot)| self.nearness(candidate, other, dot) < near) {
                chosen.push(candidate);
            }
        }
        let n_apart = chosen.len();
        let rest = candidates.iter().map(|&(candidate, _)| candidate);
        for candidate in rest {
            if chosen.len() == most {
                break;
            }
            if !chosen[..n_apart].contains(&candidate) {
                chosen.push(candidate);
            }
        }
        chosen
    }

    /// Adds links (from, to) that answer those of new nodes; where there is no room for all, the
    /// node chooses anew.
    fn link_back(&self, layer: &mut OwnedLayer, mut links: Vec<(u32, u32)>) {
        links.sort_unstable();
        let groups: Vec<&[(u32, u32)]> = links.chunk_by(|a, b| a.0 == b.0).collect();
        let (view, stride) = (layer.view(), layer.stride);
        let renewed = groups.par_iter().with_min_len(16).map(|group| {
            let node = group[0].0;
            let mut all = view.of(node).to_vec();
            all.extend(group.iter().map(|&(_, to)| to));
            let links =
                if all.len() <= stride { all } else { self.chosen_anew(node, &all, stride) };
            (node, links)
        });
        let renewed: Vec<(u32, Vec<u32>)> = renewed.collect();
        renewed.iter().for_each(|(node, links)| layer.set(*node, links));
    }

    fn chosen_anew(&self, node: u32, links: &[u32], most: usize) -> Vec<u32> {
        let mut products = vec![0; links.len()];
        dot_i8_rows(self.target(node).query, &self.bytes, links, &mut products);
        let near = links.iter().zip(&products).map(|(&o, &dot)| (o, self.nearness(node, o, dot)));
        let mut candidates: Vec<(u32, i32)> = near.collect();
        candidates.sort_unstable_by_key(|&(other, near)| (Reverse(near), other));
        self.choose(&candidates, most)
    }
}
