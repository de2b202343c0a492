//! The seal of a saved plan: a hash over all of it, also over what the digest leaves out.
//!
//! It shows a slip or a meddling editor. It is no signature: who can write the file can seal it again.

use crate::base::Json;

const KEY: &str = "seal";

/// Seals a document.
pub(super) fn seal(document: &mut Json) {
    let hash = hash(document);
    document.as_object_mut().expect("BUG: a plan is an object").insert(KEY.to_owned(), hash.into());
}

/// Whether `text`, which reads as `document`, is byte for byte what was saved: on one line or pretty,
/// with or without a newline at its end.
pub(super) fn holds(text: &str, document: &Json) -> bool {
    let Some(object) = document.as_object() else { return false };
    let mut unsealed = object.clone();
    let Some(seal) = unsealed.remove(KEY) else { return false };
    let text = text.strip_suffix('\n').unwrap_or(text);
    let as_saved = [format!("{document}"), format!("{document:#}")].iter().any(|one| one == text);
    as_saved && seal.as_str() == Some(hash(&Json::Object(unsealed)).as_str())
}

fn hash(document: &Json) -> String {
    blake3::hash(document.to_string().as_bytes()).to_hex().to_string()
}
