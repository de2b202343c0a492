//! Whether a function of a script changed a variable that it did not make itself.

use rhai::{Array, Dynamic, FnPtr, ImmutableString, Map};

/// The variables that a function shares with what is around it, with what they hold now.
pub(super) fn captured(function: &FnPtr) -> Vec<(Dynamic, Dynamic)> {
    let shared = function.iter_curry().filter(|value| value.is_shared());
    shared.map(|value| (value.clone(), value.flatten_clone())).collect()
}

/// Whether one of them holds something else by now.
pub(super) fn changed(before: &[(Dynamic, Dynamic)]) -> bool {
    before.iter().any(|(variable, held)| !same(&variable.flatten_clone(), held))
}

/// As far as scripts can tell. Values of our own types cannot be changed, only replaced: those of one type
/// count as the same.
fn same(a: &Dynamic, b: &Dynamic) -> bool {
    if a.type_id() != b.type_id() {
        return false;
    }
    if let (Some(a), Some(b)) = (a.read_lock::<Array>(), b.read_lock::<Array>()) {
        return a.len() == b.len() && a.iter().zip(b.iter()).all(|(a, b)| same(a, b));
    }
    if let (Some(a), Some(b)) = (a.read_lock::<Map>(), b.read_lock::<Map>()) {
        return a.len() == b.len()
            && a.iter().zip(b.iter()).all(|((k, a), (l, b))| k == l && same(a, b));
    }
    equal::<i64>(a, b)
        .or_else(|| equal::<bool>(a, b))
        .or_else(|| equal::<ImmutableString>(a, b))
        .or_else(|| equal::<f64>(a, b))
        .or_else(|| equal::<char>(a, b))
        .unwrap_or(true)
}

fn equal<T: PartialEq + Clone + 'static>(a: &Dynamic, b: &Dynamic) -> Option<bool> {
    Some(*a.read_lock::<T>()? == *b.read_lock::<T>()?)
}
