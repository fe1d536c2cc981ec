//! Self-contained HTML pages with plots: what reports of evaluation, load tests and data quality
//! share.
//!
//! A page loads nothing: plots are inline SVG, colours follow the reader's light or dark theme.
//! Nothing here knows what the figures mean.

mod page;
pub mod svg;

pub use page::Page;
