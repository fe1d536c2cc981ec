//! One record of the log: the events of one append in a compact binary form.
//!
//! ```text
//! frame   = length u32 LE, crc32c u32 LE (of length and payload), payload
//! payload = version u8 (1), first sequence number, count, count x event
//! event   = flags u8, user, item, kind, time (zigzag), then what the flags name
//! ```
//! Numbers are LEB128 varints, text is a length and UTF-8. Event `i` has the sequence number
//! `first + i`.

use foretaste_core::{Error, ErrorKind, Event, EventContext, Result};

const VERSION: u8 = 1;

/// Bytes before the payload.
pub(crate) const FRAME_BYTES: usize = 8;

/// No record is longer; a longer length is damage.
pub(crate) const MAX_RECORD_BYTES: u32 = 64 << 20;

const EVENT_ID: u8 = 1;
const VALUE: u8 = 2;
const CONTEXT: u8 = 4;
const SESSION: u8 = 8;
const SCENE: u8 = 16;
const POSITION: u8 = 32;
const REQUEST: u8 = 64;

/// Appends the frame of `events`, the first of which has number `first_seq`, to `out`.
pub(crate) fn encode<'a>(
    first_seq: u64,
    events: impl ExactSizeIterator<Item = &'a Event>,
    out: &mut Vec<u8>,
) {
    let start = out.len();
    out.extend_from_slice(&[0; FRAME_BYTES]);
    out.push(VERSION);
    number(first_seq, out);
    number(events.len() as u64, out);
    events.for_each(|event| encode_event(event, out));
    let length = (out.len() - start - FRAME_BYTES) as u32;
    let crc = checksum(length, &out[start + FRAME_BYTES..]);
    out[start..start + 4].copy_from_slice(&length.to_le_bytes());
    out[start + 4..start + 8].copy_from_slice(&crc.to_le_bytes());
}

/// The checksum that a frame of this payload carries.
pub(crate) fn checksum(length: u32, payload: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&length.to_le_bytes()), payload)
}

fn encode_event(event: &Event, out: &mut Vec<u8>) {
    let context = event.context.as_ref();
    let position = context.and_then(|c| c.position);
    let texts = [
        (EVENT_ID, event.event_id.as_deref()),
        (SESSION, context.and_then(|c| c.session.as_deref())),
        (SCENE, context.and_then(|c| c.scene.as_deref())),
        (REQUEST, context.and_then(|c| c.request_id.as_deref())),
    ];
    let mut flags = texts.iter().filter(|(_, t)| t.is_some()).fold(0, |all, (flag, _)| all | flag);
    flags |= if event.value.to_bits() == 1f32.to_bits() { 0 } else { VALUE };
    flags |= if context.is_some() { CONTEXT } else { 0 };
    flags |= if position.is_some() { POSITION } else { 0 };
    out.push(flags);
    [&event.user, &event.item, &event.kind].iter().for_each(|t| text(t, out));
    number(zigzag(event.time_ms), out);
    if flags & VALUE != 0 {
        out.extend_from_slice(&event.value.to_le_bytes());
    }
    texts.iter().filter_map(|(_, t)| *t).for_each(|t| text(t, out));
    if let Some(position) = position {
        number(u64::from(position), out);
    }
}

fn number(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn text(value: &str, out: &mut Vec<u8>) {
    number(value.len() as u64, out);
    out.extend_from_slice(value.as_bytes());
}

fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

/// The first sequence number and the events of a payload whose checksum is right.
///
/// # Errors
/// `Corrupt` when it does not follow the grammar, `Unsupported` for a newer version.
pub(crate) fn decode(payload: &[u8]) -> Result<(u64, Vec<Event>)> {
    let mut input = Input(payload);
    input.version()?;
    let (first, count) = (input.number()?, input.number()?);
    if count > payload.len() as u64 {
        return Err(malformed());
    }
    let events = (0..count).map(|_| input.event()).collect::<Result<Vec<_>>>()?;
    if input.0.is_empty() { Ok((first, events)) } else { Err(malformed()) }
}

/// The sequence number of the last event of a payload.
///
/// # Errors
/// As [`decode`].
pub(crate) fn last_seq(payload: &[u8]) -> Result<u64> {
    let mut input = Input(payload);
    input.version()?;
    let (first, count) = (input.number()?, input.number()?);
    first.checked_add(count).and_then(|end| end.checked_sub(1)).ok_or_else(malformed)
}

fn malformed() -> Error {
    Error::corrupt("log record does not follow its grammar")
}

struct Input<'a>(&'a [u8]);

impl Input<'_> {
    fn take(&mut self, n: usize) -> Result<&[u8]> {
        let (head, rest) = self.0.split_at_checked(n).ok_or_else(malformed)?;
        self.0 = rest;
        Ok(head)
    }

    fn byte(&mut self) -> Result<u8> {
        Ok(self.take(1)?[0])
    }

    fn version(&mut self) -> Result<()> {
        let version = self.byte()?;
        if version == VERSION {
            return Ok(());
        }
        let text = format!("log record has version {version}, this build reads {VERSION}");
        Err(Error::new(ErrorKind::Unsupported, text))
    }

    fn number(&mut self) -> Result<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(malformed())
    }

    fn text(&mut self) -> Result<String> {
        let len = usize::try_from(self.number()?).map_err(|_| malformed())?;
        let bytes = self.take(len)?;
        Ok(std::str::from_utf8(bytes).map_err(|_| malformed())?.to_owned())
    }

    fn text_if(&mut self, present: bool) -> Result<Option<String>> {
        if present { self.text().map(Some) } else { Ok(None) }
    }

    fn event(&mut self) -> Result<Event> {
        let flags = self.byte()?;
        let has = |flag: u8| flags & flag != 0;
        let (user, item, kind) = (self.text()?, self.text()?, self.text()?);
        let time = self.number()?;
        let mut value = 1f32.to_le_bytes();
        if has(VALUE) {
            value.copy_from_slice(self.take(4)?);
        }
        let event_id = self.text_if(has(EVENT_ID))?;
        let context = EventContext {
            session: self.text_if(has(SESSION))?,
            scene: self.text_if(has(SCENE))?,
            request_id: self.text_if(has(REQUEST))?,
            position: if has(POSITION) { Some(self.position()?) } else { None },
        };
        Ok(Event {
            event_id,
            user,
            item,
            kind,
            value: f32::from_le_bytes(value),
            time_ms: (time >> 1) as i64 ^ -((time & 1) as i64),
            context: has(CONTEXT).then_some(context),
        })
    }

    fn position(&mut self) -> Result<u16> {
        u16::try_from(self.number()?).map_err(|_| malformed())
    }
}
