//! Names and ids: cheap to clone, checked once when they are made.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A text that is no valid name of its kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no {kind}: {rule}")]
pub struct InvalidName {
    /// What was given.
    pub text: String,
    /// What it should have been, e.g. `machine name`.
    pub kind: &'static str,
    /// What such a name may hold.
    pub rule: &'static str,
}

/// Longest name or id accepted, in bytes: they become parts of paths.
const NAME_BYTES_MAX: usize = 128;

fn lower_dashes(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-'
}

fn word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_'
}

fn dotted_word(byte: u8) -> bool {
    word(byte) || byte == b'.'
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $kind:literal, $rule:literal, $pattern:literal, $legal:expr) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
        #[serde(try_from = "String", into = "String")]
        #[schemars(extend("pattern" = $pattern, "maxLength" = NAME_BYTES_MAX))]
        pub struct $name(Arc<str>);

        impl $name {
            /// Checks `text` and keeps it.
            ///
            /// # Errors
            /// [`InvalidName`] when it is empty, too long, or holds a character that the kind forbids.
            pub fn new(text: impl AsRef<str>) -> Result<Self, InvalidName> {
                let text = text.as_ref();
                // All that is legal is ASCII, one byte each.
                let fits = !text.is_empty() && text.len() <= NAME_BYTES_MAX && !text.starts_with('.');
                if fits && text.bytes().all($legal) {
                    Ok(Self(Arc::from(text)))
                } else {
                    Err(InvalidName { text: text.to_owned(), kind: $kind, rule: $rule })
                }
            }

            /// The text itself.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(&self.0)
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0.as_ref().to_owned()
            }
        }

        impl std::str::FromStr for $name {
            type Err = InvalidName;
            fn from_str(text: &str) -> Result<Self, InvalidName> {
                Self::new(text)
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidName;
            fn try_from(text: String) -> Result<Self, InvalidName> {
                Self::new(text)
            }
        }
    };
}

name!(
    /// A protected machine, as the inventory calls it.
    MachineName, "machine name", "lower-case letters, digits and `-`", "^[a-z0-9-]+$", lower_dashes
);
name!(
    /// A place that plans act on, as the inventory calls it.
    SiteName, "site name", "letters, digits, `-` and `_`", "^[A-Za-z0-9_-]+$", word
);
name!(
    /// A host inside an on-prem site.
    HostName, "host name", "letters, digits, `-`, `_` and `.`", r"^[A-Za-z0-9_-][A-Za-z0-9._-]*$", dotted_word
);
name!(
    /// A step's stable, readable id: `web-01.transfer_delta.2`, or a gate's name.
    StepId, "step id", "letters, digits, `-`, `_` and `.`", r"^[A-Za-z0-9_-][A-Za-z0-9._-]*$", dotted_word
);
name!(
    /// One execution of a plan.
    RunId, "run id", "letters, digits, `-` and `_`", "^[A-Za-z0-9_-]+$", word
);
name!(
    /// One saved plan: it runs once.
    PlanId, "plan id", "letters, digits, `-` and `_`", "^[A-Za-z0-9_-]+$", word
);
name!(
    /// What a provider stores with whatever a step creates: 26 characters of base32 over (run, step).
    StepKey, "step key", "letters, digits, `-` and `_`", "^[A-Za-z0-9_-]+$", word
);
name!(
    /// A point-in-time copy at a site.
    SnapshotId, "snapshot id", "letters, digits, `-`, `_` and `.`", r"^[A-Za-z0-9_-][A-Za-z0-9._-]*$", dotted_word
);
name!(
    /// An isolated copy of a machine, started from a snapshot.
    CopyId, "copy id", "letters, digits, `-`, `_` and `.`", r"^[A-Za-z0-9_-][A-Za-z0-9._-]*$", dotted_word
);
name!(
    /// One synchronization of a replica; only its owner may trust its checkpoint.
    SyncId, "sync id", "letters, digits, `-` and `_`", "^[A-Za-z0-9_-]+$", word
);
name!(
    /// The meaning of a plan in 64 hexadecimal characters (BLAKE3).
    Digest, "digest", "hexadecimal characters", "^[0-9A-Fa-f]+$", |byte| byte.is_ascii_hexdigit()
);

impl StepKey {
    /// The key of one step of one run: the same for every attempt, after every crash.
    pub fn of(run: &RunId, step: &StepId) -> StepKey {
        let mut hasher = blake3::Hasher::new();
        hasher.update(run.as_str().as_bytes());
        hasher.update(b"\n");
        hasher.update(step.as_str().as_bytes());
        StepKey(Arc::from(base32(hasher.finalize().as_bytes(), KEY_CHARS)))
    }
}

impl CopyId {
    /// The copy that a step starts: one step, one copy, however many attempts. So whoever deletes it
    /// finds it even when its step never came to say anything.
    pub fn of(key: &StepKey) -> CopyId {
        CopyId(key.0.clone())
    }
}

impl SyncId {
    /// The synchronization that a step performs: one step, one sync, however many attempts.
    pub fn of(key: &StepKey) -> SyncId {
        SyncId(key.0.clone())
    }
}

/// Cloud resource names are short, and 26 characters of base32 are 130 bits.
const KEY_CHARS: usize = 26;

/// The first `chars` characters of `bytes` in Crockford's lower-case base32 alphabet.
pub(super) fn base32(bytes: &[u8], chars: usize) -> String {
    const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
    (0..chars)
        .map(|i| {
            let bit = i * 5;
            let high = u16::from(bytes[bit / 8]) << 8;
            let low = bytes.get(bit / 8 + 1).map_or(0, |b| u16::from(*b));
            let five = ((high | low) >> (11 - bit % 8)) & 31;
            char::from(ALPHABET[usize::from(five)])
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_refuse_what_could_leave_a_folder() {
        for bad in ["", "..", "a/b", ".hidden", "Web", "a b", &"x".repeat(200)] {
            assert!(MachineName::new(bad).is_err(), "{bad}");
        }
        assert!(HostName::new("hv-01.example").is_ok());
        assert!(HostName::new("..").is_err());
    }

    #[test]
    fn a_step_key_is_stable_and_short() {
        let run = RunId::new("r1").unwrap();
        let a = StepKey::of(&run, &StepId::new("web-01.snapshot.1").unwrap());
        let b = StepKey::of(&run, &StepId::new("web-01.snapshot.2").unwrap());
        assert_ne!(a, b);
        assert_eq!(a.as_str().len(), 26);
        assert_eq!(a, StepKey::of(&run, &StepId::new("web-01.snapshot.1").unwrap()));
    }

    #[test]
    fn base32_reads_bits_from_the_left() {
        assert_eq!(base32(&[0xff, 0x00], 3), "zw0");
    }
}
