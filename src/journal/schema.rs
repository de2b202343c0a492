//! The tables, and how a connection to them is opened.

use std::fs::{DirBuilder, OpenOptions};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use rusqlite::Connection;

use crate::journal::trouble::JournalError;

/// Kept in `PRAGMA user_version`; grows with every change of the tables.
const FORMAT: i64 = 1;

/// How long a writer waits for another process's transaction; ours take milliseconds.
const PATIENCE: Duration = Duration::from_secs(10);

const TABLES: &str = "
CREATE TABLE run (
  id         TEXT PRIMARY KEY,
  plan_id    TEXT NOT NULL,
  digest     TEXT NOT NULL,
  script     TEXT NOT NULL,
  plan       TEXT NOT NULL,             -- the saved plan, as it was given
  created_at TEXT NOT NULL,
  epoch      INTEGER NOT NULL,          -- grows with every process that takes the run up
  head_seq   INTEGER NOT NULL,
  head_hash  TEXT NOT NULL,
  outcome    TEXT                       -- how it stood when its process left it in order
) STRICT;
CREATE INDEX run_by_plan ON run (plan_id);
CREATE TABLE event (
  run  TEXT NOT NULL REFERENCES run (id),
  seq  INTEGER NOT NULL,
  body TEXT NOT NULL,                   -- the event as JSON, as `homing logs` prints it
  hash TEXT NOT NULL,
  PRIMARY KEY (run, seq)
) STRICT, WITHOUT ROWID;
CREATE TABLE checkpoint (
  run    TEXT NOT NULL REFERENCES run (id),
  step   TEXT NOT NULL,
  epoch  INTEGER NOT NULL,
  cursor BLOB NOT NULL,
  PRIMARY KEY (run, step)
) STRICT, WITHOUT ROWID;
CREATE TABLE command (
  id          INTEGER PRIMARY KEY AUTOINCREMENT,
  run         TEXT NOT NULL REFERENCES run (id),
  body        TEXT NOT NULL,
  who         TEXT NOT NULL,            -- not authenticated
  host        TEXT NOT NULL,
  at          TEXT NOT NULL,
  applied_seq INTEGER                   -- the head when it was taken in; NULL while it waits
) STRICT;
CREATE INDEX command_waiting ON command (run, id) WHERE applied_seq IS NULL;
CREATE TABLE claim (
  machine TEXT PRIMARY KEY,
  run     TEXT NOT NULL REFERENCES run (id)
) STRICT, WITHOUT ROWID;
";

/// What a journal is called in its state folder.
pub(super) const FILE_NAME: &str = "homing.db";

/// Makes the state folder with the journal in it, readable by its owner alone, unless they exist.
pub(super) fn prepare(state: &Utf8Path) -> Result<Utf8PathBuf, JournalError> {
    let locks = state.join("locks");
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&locks)
        .map_err(|error| JournalError::of_file(&locks, &error))?;
    let path = state.join(FILE_NAME);
    // SQLite gives its own mode to the files that it puts beside this one.
    OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(&path)
        .map_err(|error| JournalError::of_file(&path, &error))?;
    connect(&path)?;
    Ok(path)
}

/// The file that was opened, told from any other that may come in its place.
pub(super) struct Anchor {
    path: Utf8PathBuf,
    file: (u64, u64),
}

impl Anchor {
    /// Of the file that is there now.
    pub(super) fn of(path: &Utf8Path) -> Result<Anchor, JournalError> {
        let gone = |_| JournalError::Gone(path.to_owned());
        let found = path.metadata().map_err(gone)?;
        Ok(Anchor { path: path.to_owned(), file: (found.dev(), found.ino()) })
    }

    /// Refuses when what is written would be found by nobody.
    pub(super) fn holds(&self) -> Result<(), JournalError> {
        if Anchor::of(&self.path)?.file == self.file {
            return Ok(());
        }
        Err(JournalError::Gone(self.path.clone()))
    }
}

/// Opens one more connection.
pub(super) fn connect(path: &Utf8Path) -> Result<Connection, JournalError> {
    let mut connection = Connection::open(path)?;
    connection.busy_timeout(PATIENCE)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.set_prepared_statement_cache_capacity(32);
    if format(&connection)? == 0 {
        let making =
            connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
        // Two processes may have come here at once: only one makes the tables.
        if format(&making)? == 0 {
            making.execute_batch(TABLES)?;
            making.pragma_update(None, "user_version", FORMAT)?;
        }
        making.commit()?;
    }
    let found = format(&connection)?;
    if found > FORMAT {
        return Err(JournalError::Newer { found, known: FORMAT });
    }
    Ok(connection)
}

fn format(connection: &Connection) -> Result<i64, JournalError> {
    Ok(connection.pragma_query_value(None, "user_version", |row| row.get(0))?)
}
