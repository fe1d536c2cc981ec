//! Which columns a reader wants.

/// What to read of each event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Columns {
    /// Everything, the situation of each event too.
    All,
    /// Everything but the context: what training needs, at a fraction of the cost.
    NoContext,
}
