//! Source texts: where a word of a script stands, and how scripts are read.
//!
//! In: names and texts. Out: [`Span`]s that mean the same everywhere. Refuses to know: the file system
//! (a [`World`] reads for us) and the script language.

use std::collections::BTreeMap;
use std::sync::Arc;

use camino::{Utf8Path, Utf8PathBuf};
use serde::{Deserialize, Serialize};

/// A piece of a source text. Lines and columns count from 1; columns count characters; the end is
/// exclusive. It names its file, so it can be stored, compared and shown without any other table.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Span {
    /// The file as diagnostics name it: a path relative to where the command was given, or `std/failback`.
    pub file: Arc<str>,
    /// First line.
    pub line: u32,
    /// First column.
    pub column: u32,
    /// Last line.
    pub end_line: u32,
    /// One past the last column.
    pub end_column: u32,
}

impl Span {
    /// A place of one character.
    pub fn point(file: Arc<str>, line: u32, column: u32) -> Span {
        Span { file, line, column, end_line: line, end_column: column + 1 }
    }
}

impl std::fmt::Display for Span {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

/// The texts that a compile read, by the name that spans carry; diagnostics are drawn over them.
pub type Texts = BTreeMap<Arc<str>, Arc<str>>;

/// Why a script could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// No such file.
    #[error("there is no `{0}`")]
    Missing(Utf8PathBuf),
    /// The path leads out of the plan's folder: absolute, through `..`, or through a symbolic link.
    #[error("`{0}` is outside the plan's folder")]
    Outside(Utf8PathBuf),
    /// Larger than a script may be.
    #[error("`{path}` has {bytes} bytes; a script may have {bytes_max}")]
    TooLarge {
        /// The file.
        path: Utf8PathBuf,
        /// Its size.
        bytes: u64,
        /// The limit.
        bytes_max: u64,
    },
    /// Anything else the system says.
    #[error("cannot read `{path}`: {reason}")]
    Failed {
        /// The file.
        path: Utf8PathBuf,
        /// The system's words.
        reason: String,
    },
}

/// Largest script accepted, in bytes.
pub const SCRIPT_BYTES_MAX: u64 = 4 << 20;

/// All that compiling may ask of the outside.
pub trait World {
    /// The text of the script at `path`, which is relative to the plan's folder.
    ///
    /// # Errors
    /// [`Unreadable`], also when the path leads out of the plan's folder.
    fn read(&self, path: &Utf8Path) -> Result<String, Unreadable>;

    /// How diagnostics name the file at `path` (relative to the plan's folder).
    fn show(&self, path: &Utf8Path) -> String {
        path.to_string()
    }
}

/// A world of texts in memory: tests, and editors with unsaved text.
#[derive(Clone, Debug, Default)]
pub struct MemoryWorld(pub BTreeMap<Utf8PathBuf, String>);

impl World for MemoryWorld {
    fn read(&self, path: &Utf8Path) -> Result<String, Unreadable> {
        self.0.get(path).cloned().ok_or_else(|| Unreadable::Missing(path.to_owned()))
    }
}
