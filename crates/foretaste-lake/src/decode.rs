//! Arrow to columns of events. Only the distinct ids of a row group are interned.

use arrow_array::cast::AsArray;
use arrow_array::types::{Float32Type, Int64Type, UInt16Type, UInt32Type, UInt64Type};
use arrow_array::{Array, ArrayRef, ArrowPrimitiveType, DictionaryArray, RecordBatch, StringArray};
use arrow_schema::DataType;
use foretaste_core::event::content_key;
use foretaste_core::{Error, EventBatch, EventContext, IdTable, Result};

use crate::columns::{
    Columns, ITEM, KEY, KIND, POSITION, REQUEST, SCENE, SESSION, TIME, USER, VALUE, dictionary,
};

/// The events of one Arrow batch.
///
/// # Errors
/// `Corrupt` when a column is missing, of another type, or holds an index beyond its dictionary;
/// `Exhausted` for more than 256 kinds.
pub(crate) fn events(record: &RecordBatch, columns: Columns) -> Result<EventBatch> {
    let mut batch = EventBatch::default();
    batch.user = indices(record, USER, &mut batch.users)?;
    batch.item = indices(record, ITEM, &mut batch.items)?;
    batch.kind = narrow(&indices(record, KIND, &mut batch.kinds)?)?;
    batch.value = numbers::<Float32Type>(record, VALUE)?;
    batch.time_ms = numbers::<Int64Type>(record, TIME)?;
    batch.key = match record.column_by_name(KEY) {
        Some(_) => numbers::<UInt64Type>(record, KEY)?,
        None => derived_keys(&batch),
    };
    if columns == Columns::All {
        batch.context = contexts(record)?;
    }
    Ok(batch)
}

fn derived_keys(batch: &EventBatch) -> Vec<u64> {
    let key = |i: usize| {
        let (user, item) = (batch.users.get(batch.user[i]), batch.items.get(batch.item[i]));
        let kind = batch.kinds.get(u32::from(batch.kind[i]));
        content_key(user, item, kind, batch.value[i], batch.time_ms[i])
    };
    (0..batch.len()).map(key).collect()
}

fn narrow(kinds: &[u32]) -> Result<Vec<u8>> {
    let narrow = |&kind: &u32| {
        u8::try_from(kind).map_err(|_| Error::corrupt("more than 256 kinds of events"))
    };
    kinds.iter().map(narrow).collect()
}

fn column<'a>(record: &'a RecordBatch, name: &str) -> Result<&'a ArrayRef> {
    let column = record.column_by_name(name);
    column.ok_or_else(|| Error::corrupt(format!("column {name} is missing")))
}

fn numbers<T: ArrowPrimitiveType>(record: &RecordBatch, name: &str) -> Result<Vec<T::Native>> {
    let array = column(record, name)?;
    let numbers = array.as_primitive_opt::<T>().ok_or_else(|| wrong_type(name, array))?;
    if numbers.null_count() > 0 {
        return Err(Error::corrupt(format!("column {name} has missing values")));
    }
    Ok(numbers.values().to_vec())
}

fn wrong_type(name: &str, array: &ArrayRef) -> Error {
    Error::corrupt(format!("column {name} has the unexpected type {}", array.data_type()))
}

/// The column `name` as a dictionary, whatever the file stores it as.
fn text(record: &RecordBatch, name: &str) -> Result<DictionaryArray<UInt32Type>> {
    let array = column(record, name)?;
    if *array.data_type() == dictionary() {
        return Ok(array.as_dictionary::<UInt32Type>().clone());
    }
    match array.data_type() {
        DataType::Utf8 => Ok(array.as_string::<i32>().iter().collect()),
        DataType::LargeUtf8 => Ok(array.as_string::<i64>().iter().collect()),
        _ => Err(wrong_type(name, array)),
    }
}

fn values(dictionary: &DictionaryArray<UInt32Type>) -> &StringArray {
    dictionary.values().as_string::<i32>()
}

fn indices(record: &RecordBatch, name: &str, table: &mut IdTable) -> Result<Vec<u32>> {
    let column = text(record, name)?;
    if column.null_count() > 0 {
        return Err(Error::corrupt(format!("column {name} has missing values")));
    }
    let remap: Vec<u32> = values(&column).iter().map(|v| table.intern(v.unwrap_or(""))).collect();
    let keys = column.keys().values();
    if keys.iter().max().is_some_and(|&max| max as usize >= remap.len()) {
        return Err(Error::corrupt(format!("column {name} has an index beyond its dictionary")));
    }
    if table.len() == remap.len() {
        return Ok(keys.to_vec());
    }
    Ok(keys.iter().map(|&key| remap[key as usize]).collect())
}

fn contexts(record: &RecordBatch) -> Result<Vec<Option<EventContext>>> {
    let present = |name: &str| record.column_by_name(name).is_some_and(has_values);
    let load = |name| present(name).then(|| text(record, name)).transpose();
    let (session, scene, request) = (load(SESSION)?, load(SCENE)?, load(REQUEST)?);
    let position = match record.column_by_name(POSITION).filter(|c| has_values(c)) {
        Some(c) => Some(c.as_primitive_opt::<UInt16Type>().ok_or_else(|| wrong_type(POSITION, c))?),
        None => None,
    };
    if session.is_none() && scene.is_none() && request.is_none() && position.is_none() {
        return Ok(Vec::new());
    }
    let row = |i: usize| EventContext {
        session: word(session.as_ref(), i),
        scene: word(scene.as_ref(), i),
        position: position.filter(|p| p.is_valid(i)).map(|p| p.value(i)),
        request_id: word(request.as_ref(), i),
    };
    let some = |context: EventContext| (context != EventContext::default()).then_some(context);
    Ok((0..record.num_rows()).map(|i| some(row(i))).collect())
}

fn has_values(column: &ArrayRef) -> bool {
    column.null_count() < column.len()
}

fn word(column: Option<&DictionaryArray<UInt32Type>>, i: usize) -> Option<String> {
    let column = column.filter(|c| c.is_valid(i))?;
    Some(values(column).value(column.keys().value(i) as usize).to_owned())
}
