//! The bounds of everything that comes from outside, in one place.

/// Upper bounds; what exceeds one is refused with an error that names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Length of a user, item or event id, in bytes.
    pub id_bytes: usize,
    /// Length of an event kind, scene or attribute name, in bytes.
    pub name_bytes: usize,
    /// Items in one answer.
    pub k: usize,
    /// Users in one batch request.
    pub batch_users: usize,
    /// Records in one write request.
    pub batch_writes: usize,
    /// Items in one exclude list.
    pub exclude: usize,
    /// Nesting of a filter expression.
    pub filter_depth: usize,
    /// Events in one session request.
    pub session_events: usize,
    /// Body of a single-record or read request, in bytes.
    pub body_bytes: usize,
    /// Body of a batch write, in bytes.
    pub batch_body_bytes: usize,
    /// Distinct kinds of events.
    pub kinds: usize,
    /// Distinct items of a user that take part in a request, newest first.
    pub history_items: usize,
    /// Text fields of a catalogue record, in bytes.
    pub text_bytes: usize,
    /// Items in one read of features.
    pub feature_items: usize,
    /// Names of features or feature sets in one read of them.
    pub feature_names: usize,
}

impl Limits {
    /// The product's bounds.
    pub const DEFAULT: Self = Self {
        id_bytes: 128,
        name_bytes: 64,
        k: 500,
        batch_users: 100,
        batch_writes: 10_000,
        exclude: 1_000,
        filter_depth: 8,
        session_events: 200,
        body_bytes: 64 << 10,
        batch_body_bytes: 8 << 20,
        kinds: 256,
        history_items: 1_000,
        text_bytes: 16 << 10,
        feature_items: 500,
        feature_names: 512,
    };
}

impl Default for Limits {
    fn default() -> Self {
        Self::DEFAULT
    }
}
