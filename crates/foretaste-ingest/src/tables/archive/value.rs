//! Cells of any table between what a server sends, Arrow, and the one text that stands for each.
//!
//! A cell has a type of Arrow only where its text can be made again from the value, to the byte.
//! What cannot (a zero date, infinity, a number with leading zeros) does not fit, and the column is
//! text in that file. Floats are the exception: of these the value counts.

use std::borrow::Cow;
use std::sync::Arc;

use arrow_array::builder::{
    BinaryBuilder, BooleanBuilder, Date32Builder, Decimal128Builder, Float32Builder,
    Float64Builder, Int64Builder, StringBuilder, TimestampMicrosecondBuilder, UInt64Builder,
};
use arrow_array::cast::AsArray;
use arrow_array::types::{
    Date32Type, Decimal128Type, Float32Type, Float64Type, Int64Type, TimestampMicrosecondType,
    UInt64Type,
};
use arrow_array::{Array, ArrayRef};
use arrow_schema::{DataType, TimeUnit};
use foretaste_core::time;
use serde::{Deserialize, Serialize};

use crate::tables::moment;

const DAY_US: i64 = 86_400_000_000;
/// From 1970 to 2000, where PostgreSQL begins to count.
const PG_EPOCH_US: i64 = 10_957 * DAY_US;

/// How the cells of a column are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A whole number.
    Int,
    /// One without sign.
    Uint,
    /// Single precision.
    Float,
    /// Double precision.
    Double,
    /// True or false.
    Bool,
    /// A decimal number.
    Decimal {
        /// Digits in all.
        precision: u8,
        /// Digits behind the point.
        scale: u8,
    },
    /// A day.
    Day,
    /// A moment, in microseconds.
    Moment {
        /// Digits behind the seconds, where they are always shown.
        digits: Option<u8>,
        /// Whether it is one of UTC; else of no known zone.
        utc: bool,
    },
    /// Bytes that are sent as they are.
    Bytes,
    /// Bytes that are sent in hexadecimal, with `\x` before them.
    Hex,
    /// All else.
    Text,
}

/// A cell that fits its kind.
#[derive(Clone, Debug, PartialEq)]
pub enum Value<'a> {
    /// Of [`Kind::Int`].
    Int(i64),
    /// Of [`Kind::Uint`].
    Uint(u64),
    /// Of [`Kind::Float`].
    Float(f32),
    /// Of [`Kind::Double`].
    Double(f64),
    /// Of [`Kind::Bool`].
    Bool(bool),
    /// Of [`Kind::Decimal`], without its point.
    Decimal(i128),
    /// Of [`Kind::Day`], since 1970.
    Day(i32),
    /// Of [`Kind::Moment`], since 1970.
    Moment(i64),
    /// Of [`Kind::Bytes`] and [`Kind::Hex`].
    Bytes(Cow<'a, [u8]>),
    /// Of [`Kind::Text`].
    Text(&'a str),
}

impl Kind {
    /// The type of its column.
    pub fn arrow(self) -> DataType {
        match self {
            Self::Int => DataType::Int64,
            Self::Uint => DataType::UInt64,
            Self::Float => DataType::Float32,
            Self::Double => DataType::Float64,
            Self::Bool => DataType::Boolean,
            Self::Decimal { precision, scale } => DataType::Decimal128(precision, scale as i8),
            Self::Day => DataType::Date32,
            Self::Moment { utc, .. } => {
                DataType::Timestamp(TimeUnit::Microsecond, utc.then(|| "UTC".into()))
            }
            Self::Bytes | Self::Hex => DataType::Binary,
            Self::Text => DataType::Utf8,
        }
    }

    /// What a server has sent; `None` when it does not fit.
    pub fn read(self, sent: &[u8]) -> Option<Value<'_>> {
        if self == Self::Bytes {
            return Some(Value::Bytes(sent.into()));
        }
        let text = std::str::from_utf8(sent).ok()?;
        let value = match self {
            Self::Text => return Some(Value::Text(text)),
            Self::Float => return text.parse().ok().map(Value::Float),
            Self::Double => return text.parse().ok().map(Value::Double),
            Self::Int => Value::Int(text.parse().ok()?),
            Self::Uint => Value::Uint(text.parse().ok()?),
            Self::Bool => Value::Bool(text == "true"),
            Self::Decimal { precision, scale } => Value::Decimal(decimal(text, precision, scale)?),
            Self::Day => Value::Day(moment::day_of(text, false)?.try_into().ok()?),
            Self::Moment { .. } => Value::Moment(microseconds(text)?),
            Self::Hex => Value::Bytes(unhex(text.strip_prefix("\\x")?)?.into()),
            Self::Bytes => return None,
        };
        let mut again = Vec::with_capacity(sent.len());
        self.write(&value, &mut again);
        (again == sent).then_some(value)
    }

    /// The text of a value, as it stands in names of rows and in statements.
    pub fn write(self, value: &Value<'_>, out: &mut Vec<u8>) {
        let shown = match value {
            Value::Int(number) => number.to_string(),
            Value::Uint(number) => number.to_string(),
            Value::Float(number) => f64::from(*number).to_string(),
            Value::Double(number) => number.to_string(),
            Value::Bool(is) => is.to_string(),
            Value::Day(day) => time::date(i64::from(*day)),
            Value::Decimal(number) => {
                let scale = if let Self::Decimal { scale, .. } = self { scale.into() } else { 0 };
                return write_decimal(*number, scale, out);
            }
            Value::Moment(us) => return self.write_moment(*us, out),
            Value::Bytes(bytes) => return self.write_hex(bytes, out),
            Value::Text(text) => return out.extend_from_slice(text.as_bytes()),
        };
        out.extend_from_slice(shown.as_bytes());
    }

    fn write_moment(self, us: i64, out: &mut Vec<u8>) {
        let Self::Moment { digits, utc } = self else { return };
        let Some(since_2000) = us.checked_sub(PG_EPOCH_US) else { return };
        let Some(digits) = digits else { return moment::write_pg(since_2000, utc, out) };
        let from = out.len();
        moment::write_pg(since_2000, false, out);
        let point = out[from..].iter().position(|&byte| byte == b'.');
        if point.is_none() && digits > 0 {
            out.push(b'.');
        }
        let shown = point.map_or(0, |at| out.len() - from - at - 1);
        out.resize(out.len() + usize::from(digits).saturating_sub(shown), b'0');
    }

    fn write_hex(self, bytes: &[u8], out: &mut Vec<u8>) {
        let digits: &[u8; 16] = match self {
            Self::Hex => {
                out.extend_from_slice(b"\\x");
                b"0123456789abcdef"
            }
            _ => b"0123456789ABCDEF",
        };
        let both = |byte: &u8| [digits[usize::from(byte >> 4)], digits[usize::from(byte & 15)]];
        out.extend(bytes.iter().flat_map(both));
    }

    /// The value in a row of a column of this kind; `None` is NULL.
    pub fn value(self, column: &dyn Array, row: usize) -> Option<Value<'_>> {
        if column.is_null(row) {
            return None;
        }
        Some(match self {
            Self::Int => Value::Int(column.as_primitive::<Int64Type>().value(row)),
            Self::Uint => Value::Uint(column.as_primitive::<UInt64Type>().value(row)),
            Self::Float => Value::Float(column.as_primitive::<Float32Type>().value(row)),
            Self::Double => Value::Double(column.as_primitive::<Float64Type>().value(row)),
            Self::Bool => Value::Bool(column.as_boolean().value(row)),
            Self::Decimal { .. } => {
                Value::Decimal(column.as_primitive::<Decimal128Type>().value(row))
            }
            Self::Day => Value::Day(column.as_primitive::<Date32Type>().value(row)),
            Self::Moment { .. } => {
                Value::Moment(column.as_primitive::<TimestampMicrosecondType>().value(row))
            }
            Self::Bytes | Self::Hex => Value::Bytes(column.as_binary::<i32>().value(row).into()),
            Self::Text => Value::Text(column.as_string::<i32>().value(row)),
        })
    }
}

/// Gathers the cells of a column.
pub enum Builder {
    Int(Int64Builder),
    Uint(UInt64Builder),
    Float(Float32Builder),
    Double(Float64Builder),
    Bool(BooleanBuilder),
    Decimal(Decimal128Builder),
    Day(Date32Builder),
    Moment(TimestampMicrosecondBuilder),
    Bytes(BinaryBuilder),
    Text(StringBuilder),
}

impl Builder {
    /// For a column of this kind.
    pub fn new(kind: Kind) -> Self {
        match kind {
            Kind::Int => Self::Int(Int64Builder::new()),
            Kind::Uint => Self::Uint(UInt64Builder::new()),
            Kind::Float => Self::Float(Float32Builder::new()),
            Kind::Double => Self::Double(Float64Builder::new()),
            Kind::Bool => Self::Bool(BooleanBuilder::new()),
            Kind::Decimal { .. } => {
                Self::Decimal(Decimal128Builder::new().with_data_type(kind.arrow()))
            }
            Kind::Day => Self::Day(Date32Builder::new()),
            Kind::Moment { .. } => {
                Self::Moment(TimestampMicrosecondBuilder::new().with_data_type(kind.arrow()))
            }
            Kind::Bytes | Kind::Hex => Self::Bytes(BinaryBuilder::new()),
            Kind::Text => Self::Text(StringBuilder::new()),
        }
    }

    /// Appends a value of the column's kind; anything else counts as NULL.
    pub fn push(&mut self, value: Option<Value<'_>>) {
        match (self, value) {
            (Self::Int(to), Some(Value::Int(value))) => to.append_value(value),
            (Self::Int(to), _) => to.append_null(),
            (Self::Uint(to), Some(Value::Uint(value))) => to.append_value(value),
            (Self::Uint(to), _) => to.append_null(),
            (Self::Float(to), Some(Value::Float(value))) => to.append_value(value),
            (Self::Float(to), _) => to.append_null(),
            (Self::Double(to), Some(Value::Double(value))) => to.append_value(value),
            (Self::Double(to), _) => to.append_null(),
            (Self::Bool(to), Some(Value::Bool(value))) => to.append_value(value),
            (Self::Bool(to), _) => to.append_null(),
            (Self::Decimal(to), Some(Value::Decimal(value))) => to.append_value(value),
            (Self::Decimal(to), _) => to.append_null(),
            (Self::Day(to), Some(Value::Day(value))) => to.append_value(value),
            (Self::Day(to), _) => to.append_null(),
            (Self::Moment(to), Some(Value::Moment(value))) => to.append_value(value),
            (Self::Moment(to), _) => to.append_null(),
            (Self::Bytes(to), Some(Value::Bytes(value))) => to.append_value(value),
            (Self::Bytes(to), _) => to.append_null(),
            (Self::Text(to), Some(Value::Text(value))) => to.append_value(value),
            (Self::Text(to), _) => to.append_null(),
        }
    }

    /// The column, and an empty builder again.
    pub fn finish(&mut self) -> ArrayRef {
        match self {
            Self::Int(builder) => Arc::new(builder.finish()),
            Self::Uint(builder) => Arc::new(builder.finish()),
            Self::Float(builder) => Arc::new(builder.finish()),
            Self::Double(builder) => Arc::new(builder.finish()),
            Self::Bool(builder) => Arc::new(builder.finish()),
            Self::Decimal(builder) => Arc::new(builder.finish()),
            Self::Day(builder) => Arc::new(builder.finish()),
            Self::Moment(builder) => Arc::new(builder.finish()),
            Self::Bytes(builder) => Arc::new(builder.finish()),
            Self::Text(builder) => Arc::new(builder.finish()),
        }
    }
}

fn decimal(text: &str, precision: u8, scale: u8) -> Option<i128> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = whole.trim_start_matches('-').len() + fraction.len();
    if fraction.len() != usize::from(scale) || digits > usize::from(precision).max(1) + 1 {
        return None;
    }
    let value: i128 = format!("{whole}{fraction}").parse().ok()?;
    (value.unsigned_abs() < 10_u128.pow(precision.into())).then_some(value)
}

fn write_decimal(number: i128, scale: usize, out: &mut Vec<u8>) {
    let digits = format!("{:0>width$}", number.unsigned_abs(), width = scale + 1);
    if number < 0 {
        out.push(b'-');
    }
    let (whole, fraction) = digits.split_at(digits.len() - scale);
    out.extend_from_slice(whole.as_bytes());
    if scale > 0 {
        out.push(b'.');
        out.extend_from_slice(fraction.as_bytes());
    }
}

/// Microseconds since 1970 of `YYYY-MM-DD HH:MM:SS[.f]`, whatever follows.
fn microseconds(text: &str) -> Option<i64> {
    let day = moment::day_of(text, false)?;
    let clock = text.split(' ').nth(1)?.split('+').next()?;
    let (clock, fraction) = clock.split_once('.').unwrap_or((clock, ""));
    let mut seconds = 0;
    for part in clock.split(':') {
        seconds = seconds * 60 + part.parse::<i64>().ok()?;
    }
    let us: i64 = format!("{fraction:0<6}").parse().ok()?;
    day.checked_mul(DAY_US)?.checked_add(seconds * 1_000_000 + us)
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digit = |at: usize| char::from(text.as_bytes()[at]).to_digit(16);
    let byte = |at: usize| Some((digit(2 * at)? * 16 + digit(2 * at + 1)?) as u8);
    if !text.len().is_multiple_of(2) {
        return None;
    }
    (0..text.len() / 2).map(byte).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MYSQL: Kind = Kind::Moment { digits: Some(3), utc: false };
    const POSTGRES: Kind = Kind::Moment { digits: None, utc: true };
    const MONEY: Kind = Kind::Decimal { precision: 5, scale: 2 };

    /// Through Arrow and back.
    #[track_caller]
    fn kept(kind: Kind, sent: &[u8], expected: Option<&str>) {
        let text = kind.read(sent).map(|value| {
            let mut builder = Builder::new(kind);
            builder.push(Some(value));
            builder.push(None);
            let column = builder.finish();
            assert_eq!(column.data_type(), &kind.arrow());
            assert_eq!(kind.value(&column, 1), None);
            let mut out = Vec::new();
            kind.write(&kind.value(&column, 0).unwrap(), &mut out);
            String::from_utf8(out).unwrap()
        });
        assert_eq!(text.as_deref(), expected, "{kind:?}");
    }

    #[test]
    fn what_fits_comes_back_to_the_byte_and_all_else_does_not_fit() {
        let same = |kind, text: &str| kept(kind, text.as_bytes(), Some(text));
        let unfit = |kind, text: &str| kept(kind, text.as_bytes(), None);
        same(Kind::Int, "-9223372036854775808");
        same(Kind::Uint, "18446744073709551615");
        unfit(Kind::Int, "0042");
        same(Kind::Bool, "true");
        same(Kind::Bool, "false");
        unfit(Kind::Bool, "t");
        ["123.45", "-0.05", "0.00", "-999.99"].iter().for_each(|text| same(MONEY, text));
        ["1.5", "NaN", "1000.00", "-0.00", "01.00", "1.2.3"].iter().for_each(|t| unfit(MONEY, t));
        same(Kind::Decimal { precision: 38, scale: 0 }, &"9".repeat(38));
        ["2024-02-29", "1969-12-31", "12345-01-01"].iter().for_each(|text| same(Kind::Day, text));
        ["0000-00-00", "2024-00-10", "infinity", "0044-03-15 BC"]
            .iter()
            .for_each(|text| unfit(Kind::Day, text));
        same(MYSQL, "2024-02-29 23:59:59.120");
        same(MYSQL, "1000-01-01 00:00:00.000");
        ["0000-00-00 00:00:00.000", "2024-02-30 00:00:00.000", "2024-02-29 23:59:59.1"]
            .iter()
            .for_each(|text| unfit(MYSQL, text));
        same(Kind::Moment { digits: Some(0), utc: true }, "2024-02-29 23:59:59");
        ["2024-02-29 23:59:59.12+00", "0044-03-15 00:00:00+00 BC", "1969-12-31 23:59:59+00"]
            .iter()
            .for_each(|text| same(POSTGRES, text));
        ["infinity", "-infinity", "2024-02-29 23:59:59"].iter().for_each(|t| unfit(POSTGRES, t));
        same(Kind::Text, "it's ü 😀");
        kept(Kind::Text, b"\xff", None);
        kept(Kind::Bytes, b"\x00\xff", Some("00FF"));
        same(Kind::Hex, "\\x00ff");
        unfit(Kind::Hex, "\\x0g");
    }

    #[test]
    fn of_floats_the_value_is_kept() {
        kept(Kind::Double, b"1e+300", Some(&format!("1{}", "0".repeat(300))));
        kept(Kind::Double, b"0.1", Some("0.1"));
        kept(Kind::Double, b"-Infinity", Some("-inf"));
        kept(Kind::Float, b"0.1", Some("0.10000000149011612"));
        kept(Kind::Float, b"0.10000000149011612", Some("0.10000000149011612"));
        kept(Kind::Double, b"x", None);
    }
}
