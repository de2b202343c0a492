//! The seal of a saved plan: a hash over all of it, also over what the digest leaves out.
//!
//! It shows a slip or a meddling editor. It is no signature: who can write the file can seal it again.
//! It is over the text on one line, without the seal; a pretty text is read as if it stood on one line,
//! and each of its spaces has to be where it was written.

use std::io::Write;

use serde::Serialize;

/// The member that is no part of what is hashed, as it stands in the text.
const KEY: &[u8] = b"\"seal\"";
/// Bytes that are hashed at once: hashing word by word costs several times as much.
const WAITING_BYTES: usize = 64 << 10;

/// The seal of a document that has none yet.
pub(super) fn seal(unsealed: &impl Serialize) -> String {
    let mut out = Hash::default();
    serde_json::to_writer(&mut out, unsealed).expect("BUG: a plan is plain data");
    out.finish()
}

/// Whether `text`, which is JSON, is byte for byte what was saved: on one line or pretty, with or without
/// a newline at its end.
pub(super) fn holds(text: &str) -> bool {
    let text = text.strip_suffix('\n').unwrap_or(text).as_bytes();
    let pretty = text.starts_with(b"{\n");
    let reader = Reader {
        text,
        at: 0,
        from: 0,
        depth: 0,
        pretty,
        key: b"",
        seal: None,
        out: Hash::default(),
    };
    reader.holds().is_some_and(|same| same)
}

/// A hash that is fed in pieces.
#[derive(Default)]
struct Hash {
    hasher: blake3::Hasher,
    waiting: Vec<u8>,
}

impl Hash {
    fn finish(mut self) -> String {
        self.hasher.update(&self.waiting);
        self.hasher.finalize().to_hex().to_string()
    }
}

impl Write for Hash {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.waiting.extend_from_slice(bytes);
        if self.waiting.len() >= WAITING_BYTES {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.hasher.update(&self.waiting);
        self.waiting.clear();
        Ok(())
    }
}

/// Reads a text token by token, without a tree of it; every `None` is a text that was not written so.
struct Reader<'a> {
    text: &'a [u8],
    /// The next byte to look at.
    at: usize,
    /// The first byte that was looked at and not yet hashed.
    from: usize,
    depth: usize,
    pretty: bool,
    /// The last key of the outermost object: they ascend.
    key: &'a [u8],
    seal: Option<&'a [u8]>,
    out: Hash,
}

impl Reader<'_> {
    fn holds(mut self) -> Option<bool> {
        (self.peek()? == b'{').then_some(())?;
        while self.at < self.text.len() {
            self.token()?;
            if self.depth == 0 {
                break;
            }
        }
        self.hash();
        let whole = self.depth == 0 && self.at == self.text.len();
        Some(whole && self.out.finish().as_bytes() == self.seal?)
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn token(&mut self) -> Option<()> {
        match self.peek()? {
            b'{' | b'[' => {
                self.at += 1;
                if matches!(self.peek()?, b'}' | b']') {
                    self.at += 1;
                    return Some(());
                }
                self.depth += 1;
                self.gap(self.depth)?;
                self.key()
            }
            b'}' | b']' if !self.pretty => self.close(),
            b'\n' if self.pretty => {
                self.gap(self.depth.checked_sub(1)?)?;
                matches!(self.peek()?, b'}' | b']').then_some(())?;
                self.close()
            }
            b',' => {
                self.at += 1;
                self.gap(self.depth)?;
                self.key()
            }
            b':' => {
                self.at += 1;
                if self.pretty { self.skip(b" ") } else { Some(()) }
            }
            b'"' => self.string().map(drop),
            byte if byte.is_ascii_alphanumeric() || byte == b'-' => {
                let scalar = |byte: &u8| byte.is_ascii_alphanumeric() || b"+-.".contains(byte);
                self.at += self.text[self.at..].iter().take_while(|byte| scalar(byte)).count();
                Some(())
            }
            _ => None,
        }
    }

    fn close(&mut self) -> Option<()> {
        self.at += 1;
        self.depth = self.depth.checked_sub(1)?;
        Some(())
    }

    /// What stands between two tokens at that depth.
    fn gap(&mut self, depth: usize) -> Option<()> {
        if !self.pretty {
            return Some(());
        }
        self.skip(b"\n")?;
        (0..depth).try_for_each(|_| self.skip(b"  "))
    }

    /// Goes past bytes that are not hashed.
    fn skip(&mut self, bytes: &[u8]) -> Option<()> {
        self.text[self.at..].starts_with(bytes).then_some(())?;
        self.hash();
        self.at += bytes.len();
        self.from = self.at;
        Some(())
    }

    /// Hashes all that was looked at.
    fn hash(&mut self) {
        let piece = &self.text[self.from..self.at];
        self.out.write_all(piece).expect("BUG: hashing cannot fail");
        self.from = self.at;
    }

    /// Looks at a key of the outermost object; goes past the seal.
    fn key(&mut self) -> Option<()> {
        if self.depth != 1 {
            return Some(());
        }
        let before = self.at;
        let key = self.string()?;
        (self.key < key).then_some(())?;
        self.key = key;
        if key != KEY {
            return Some(());
        }
        let after = std::mem::replace(&mut self.at, before);
        self.skip(&self.text[before..after])?;
        self.skip(b":")?;
        if self.pretty {
            self.skip(b" ")?;
        }
        let value = self.at;
        let quoted = self.string()?;
        self.seal = quoted.get(1..quoted.len() - 1);
        let after = std::mem::replace(&mut self.at, value);
        self.skip(&self.text[value..after])?;
        // A plan has more behind it.
        self.skip(b",")?;
        self.gap(1)?;
        self.key()
    }
}

impl<'a> Reader<'a> {
    /// Goes to the end of a string; the string with its quotes.
    fn string(&mut self) -> Option<&'a [u8]> {
        let start = self.at;
        (self.peek()? == b'"').then_some(())?;
        self.at += 1;
        loop {
            let rest = &self.text[self.at..];
            self.at += rest.iter().position(|byte| matches!(byte, b'"' | b'\\'))?;
            if self.peek()? == b'"' {
                self.at += 1;
                return Some(&self.text[start..self.at]);
            }
            self.at += 2;
            // An escape that is cut off.
            self.text.get(self.at)?;
        }
    }
}
