//! Arrow columns of any type as texts. Written here, and only for the types that have a plain text:
//! the library of casts between all types would be a tenth of the build.

use std::fmt::Display;

use arrow_array::cast::AsArray;
use arrow_array::temporal_conversions::MILLISECONDS_IN_DAY;
use arrow_array::types::{
    ArrowPrimitiveType, ArrowTemporalType, Date32Type, Date64Type, Decimal32Type, Decimal64Type,
    Decimal128Type, Decimal256Type, DecimalType, Float16Type, Float32Type, Float64Type, Int8Type,
    Int16Type, Int32Type, Int64Type, Time32MillisecondType, Time32SecondType,
    Time64MicrosecondType, Time64NanosecondType, TimestampMicrosecondType,
    TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType, UInt8Type, UInt16Type,
    UInt32Type, UInt64Type,
};
use arrow_array::{Array, ArrayRef, BinaryArray, StringArray};
use arrow_schema::{DataType, TimeUnit};
use foretaste_core::Result;

use crate::cells::Cell;
use crate::times::exact_text;

/// Stands between the values of a list.
const BETWEEN: &str = "|";

/// A column as texts; what is null has the empty one.
pub(crate) enum Texts {
    Text(StringArray),
    Bytes(BinaryArray),
    Own(Vec<String>),
    /// For each row its place among distinct texts.
    Shared(Vec<Option<usize>>, Box<Texts>),
    None,
}

impl Texts {
    /// The texts of a column. What has none (structs, maps) is as if it were null.
    ///
    /// # Errors
    /// `Corrupt` when a column is not what its type says.
    pub(crate) fn of(column: &ArrayRef) -> Result<Self> {
        Ok(match column.data_type() {
            DataType::Utf8 => Self::Text(column.as_string::<i32>().clone()),
            DataType::LargeUtf8 => Self::Text(column.as_string::<i64>().iter().collect()),
            DataType::Utf8View => Self::Text(column.as_string_view().iter().collect()),
            DataType::Binary => Self::Bytes(column.as_binary::<i32>().clone()),
            DataType::LargeBinary => Self::Bytes(column.as_binary::<i64>().iter().collect()),
            DataType::BinaryView => Self::Bytes(column.as_binary_view().iter().collect()),
            DataType::Boolean => Self::Own(texts(column.as_boolean().iter())),
            DataType::Dictionary(_, _) => shared(column)?,
            DataType::List(_) | DataType::LargeList(_) | DataType::FixedSizeList(_, _) => {
                lists(column)?
            }
            _ => numbers(column).or_else(|| times(column)).map_or(Self::None, Self::Own),
        })
    }

    pub(crate) fn cell(&self, row: usize) -> Cell<'_> {
        match self {
            Self::Text(column) if column.is_valid(row) => column.value(row).as_bytes(),
            Self::Bytes(column) if column.is_valid(row) => column.value(row),
            Self::Own(column) => column[row].as_bytes(),
            Self::Shared(places, distinct) => places[row].map_or(b"", |at| distinct.cell(at)),
            _ => b"",
        }
    }
}

fn texts<T: Display>(values: impl Iterator<Item = Option<T>>) -> Vec<String> {
    values.map(|value| value.map(|value| value.to_string()).unwrap_or_default()).collect()
}

fn plain<T: ArrowPrimitiveType<Native: Display>>(column: &ArrayRef) -> Option<Vec<String>> {
    Some(texts(column.as_primitive::<T>().iter()))
}

fn numbers(column: &ArrayRef) -> Option<Vec<String>> {
    match column.data_type() {
        DataType::Int8 => plain::<Int8Type>(column),
        DataType::Int16 => plain::<Int16Type>(column),
        DataType::Int32 => plain::<Int32Type>(column),
        DataType::Int64 => plain::<Int64Type>(column),
        DataType::UInt8 => plain::<UInt8Type>(column),
        DataType::UInt16 => plain::<UInt16Type>(column),
        DataType::UInt32 => plain::<UInt32Type>(column),
        DataType::UInt64 => plain::<UInt64Type>(column),
        DataType::Float16 => {
            Some(texts(column.as_primitive::<Float16Type>().iter().map(|v| Some(v?.to_f32()))))
        }
        DataType::Float32 => plain::<Float32Type>(column),
        DataType::Float64 => plain::<Float64Type>(column),
        DataType::Decimal32(_, _) => decimals::<Decimal32Type>(column),
        DataType::Decimal64(_, _) => decimals::<Decimal64Type>(column),
        DataType::Decimal128(_, _) => decimals::<Decimal128Type>(column),
        DataType::Decimal256(_, _) => decimals::<Decimal256Type>(column),
        _ => None,
    }
}

fn decimals<T: DecimalType>(column: &ArrayRef) -> Option<Vec<String>> {
    let column = column.as_primitive::<T>();
    let text = |row| column.is_valid(row).then(|| column.value_as_string(row));
    Some(texts((0..column.len()).map(text)))
}

/// Days and moments in UTC, and times of day.
fn times(column: &ArrayRef) -> Option<Vec<String>> {
    match column.data_type() {
        DataType::Timestamp(TimeUnit::Second, _) => {
            moments::<TimestampSecondType>(column, |s| s.checked_mul(1_000))
        }
        DataType::Timestamp(TimeUnit::Millisecond, _) => {
            moments::<TimestampMillisecondType>(column, Some)
        }
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            moments::<TimestampMicrosecondType>(column, |us| Some(us / 1_000))
        }
        DataType::Timestamp(TimeUnit::Nanosecond, _) => {
            moments::<TimestampNanosecondType>(column, |ns| Some(ns / 1_000_000))
        }
        DataType::Date32 => {
            moments::<Date32Type>(column, |day| Some(i64::from(day) * MILLISECONDS_IN_DAY))
        }
        DataType::Date64 => moments::<Date64Type>(column, Some),
        DataType::Time32(TimeUnit::Second) => clocks::<Time32SecondType>(column),
        DataType::Time32(TimeUnit::Millisecond) => clocks::<Time32MillisecondType>(column),
        DataType::Time64(TimeUnit::Microsecond) => clocks::<Time64MicrosecondType>(column),
        DataType::Time64(TimeUnit::Nanosecond) => clocks::<Time64NanosecondType>(column),
        _ => None,
    }
}

fn moments<T: ArrowPrimitiveType>(
    column: &ArrayRef,
    ms: impl Fn(T::Native) -> Option<i64>,
) -> Option<Vec<String>> {
    let column = column.as_primitive::<T>();
    Some(column.iter().map(|value| time_text(value.and_then(&ms))).collect())
}

fn clocks<T>(column: &ArrayRef) -> Option<Vec<String>>
where
    T: ArrowTemporalType,
    i64: From<T::Native>,
{
    let column = column.as_primitive::<T>();
    let text = |row| column.is_valid(row).then(|| column.value_as_time(row)).flatten();
    Some(texts((0..column.len()).map(text)))
}

/// A time that is known to be in ms must not be guessed at by its magnitude; 0 is not known.
pub(crate) fn time_text(ms: Option<i64>) -> String {
    ms.filter(|&ms| ms != 0).and_then(exact_text).unwrap_or_default()
}

fn shared(column: &ArrayRef) -> Result<Texts> {
    let dictionary = column.as_any_dictionary();
    if dictionary.values().is_empty() {
        return Ok(Texts::None);
    }
    let keys = dictionary.normalized_keys().into_iter().enumerate();
    let places = keys.map(|(row, key)| column.is_valid(row).then_some(key)).collect();
    Ok(Texts::Shared(places, Box::new(Texts::of(dictionary.values())?)))
}

/// The values of each list, one after the other.
fn lists(column: &ArrayRef) -> Result<Texts> {
    let (values, bounds): (&ArrayRef, Vec<usize>) = match column.data_type() {
        DataType::List(_) => {
            let lists = column.as_list::<i32>();
            (lists.values(), lists.value_offsets().iter().map(|&at| at as usize).collect())
        }
        DataType::LargeList(_) => {
            let lists = column.as_list::<i64>();
            (lists.values(), lists.value_offsets().iter().map(|&at| at as usize).collect())
        }
        _ => {
            let lists = column.as_fixed_size_list();
            let bounds = (0..=lists.len()).map(|row| row * lists.value_length() as usize);
            (lists.values(), bounds.collect())
        }
    };
    let values = Texts::of(values)?;
    let joined = |(row, bound): (usize, &[usize])| {
        let range = if column.is_valid(row) { bound[0]..bound[1] } else { 0..0 };
        let words = range.map(|at| String::from_utf8_lossy(values.cell(at)));
        words.collect::<Vec<_>>().join(BETWEEN)
    };
    Ok(Texts::Own(bounds.windows(2).enumerate().map(joined).collect()))
}
