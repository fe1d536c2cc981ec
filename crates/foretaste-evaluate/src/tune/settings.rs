//! Settings as nested JSON objects, addressed by dotted paths.

use serde_json::{Map, Value};

/// The value at a dotted path, if there is one.
pub fn get<'a>(settings: &'a Value, path: &str) -> Option<&'a Value> {
    path.split('.').try_fold(settings, |at, key| at.get(key))
}

/// Sets the value at a dotted path; objects are made on the way, other values replaced.
pub fn set(settings: &mut Value, path: &str, value: Value) {
    let mut at = settings;
    for key in path.split('.') {
        if !at.is_object() {
            *at = Value::Object(Map::new());
        }
        at = at.as_object_mut().expect("made an object above").entry(key).or_insert(Value::Null);
    }
    *at = value;
}

/// Lays `over` on `base`: objects are joined key by key, everything else is replaced.
pub fn overlay(base: &mut Value, over: &Value) {
    match (base, over) {
        (Value::Object(base), Value::Object(over)) => {
            for (key, value) in over {
                overlay(base.entry(key.as_str()).or_insert(Value::Null), value);
            }
        }
        (base, over) => *base = over.clone(),
    }
}

/// Dotted names as a nested object.
pub(super) fn nested(flat: &Map<String, Value>) -> Value {
    let mut out = Value::Object(Map::new());
    flat.iter().for_each(|(path, value)| set(&mut out, path, value.clone()));
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn paths_reach_into_objects_and_overlays_join_them() {
        let mut base = json!({"ials": {"alpha": 1, "reg": 2}, "k": 3});
        set(&mut base, "ials.solver.block", json!(64));
        overlay(&mut base, &json!({"ials": {"alpha": 9}, "k": [1]}));
        assert_eq!(
            base,
            json!({"ials": {"alpha": 9, "reg": 2, "solver": {"block": 64}}, "k": [1]})
        );
        assert_eq!(get(&base, "ials.reg"), Some(&json!(2)));
        assert_eq!(get(&base, "ials.none.deep"), None);
    }
}
