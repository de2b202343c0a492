//! The beginning of an NBD connection: fixed newstyle, one export chosen by name.
//!
//! In: a wire to a server. Out: the export's [`Terms`]. Refuses to know: requests.

use std::io::{self, BufReader, ErrorKind, Read, Write};

use crate::sites::qemu::socket::Wire;
use crate::transfer::blocks::BLOCK_BYTES;

const SERVER_MAGIC: u64 = 0x4e42_444d_4147_4943;
const OPTION_MAGIC: u64 = 0x4948_4156_454f_5054;
const OPTION_REPLY_MAGIC: u64 = 0x0003_e889_0455_65a9;
/// Handshake flags: options are negotiated; no padding after the oldest of them.
const FIXED_NEWSTYLE: u16 = 1;
const NO_ZEROES: u16 = 2;

const OPT_GO: u32 = 7;
const OPT_STRUCTURED_REPLY: u32 = 8;
const OPT_SET_META_CONTEXT: u32 = 10;

const REP_ACK: u32 = 1;
const REP_INFO: u32 = 3;
const REP_META_CONTEXT: u32 = 4;
const REP_ERROR: u32 = 1 << 31;

const INFO_EXPORT: u16 = 0;
const INFO_BLOCK_SIZE: u16 = 3;

/// Longest reply to an option, bytes: a few numbers and a name of at most 4096 bytes.
const REPLY_BYTES_MAX: u32 = 16 << 10;
/// Most replies to one option.
const REPLIES_MAX: usize = 64;
/// Longest name of an export or of a context, bytes: the protocol's limit.
const NAME_BYTES_MAX: usize = 4096;

/// What an export is, as its server says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Terms {
    /// Its size.
    pub(super) bytes: u64,
    /// Offsets and lengths are multiples of this many bytes, a power of two.
    pub(super) block_min: u32,
    /// Most bytes of one read or write.
    pub(super) block_max: u32,
    /// The transmission flags.
    flags: u16,
}

impl Terms {
    /// It cannot be written.
    pub(super) fn is_read_only(&self) -> bool {
        self.flags & 1 << 1 != 0
    }

    /// It can be flushed.
    pub(super) fn can_flush(&self) -> bool {
        self.flags & 1 << 2 != 0
    }

    /// Ranges of it can be zeroed without sending zeroes.
    pub(super) fn can_zero(&self) -> bool {
        self.flags & 1 << 6 != 0
    }

    /// What one connection wrote, all others see; a flush on one covers them all.
    pub(super) fn can_multi_conn(&self) -> bool {
        self.flags & 1 << 8 != 0
    }

    fn check(self) -> io::Result<Terms> {
        let Terms { bytes, block_min: min, block_max: max, .. } = self;
        let min_is_sane = min.is_power_of_two() && u64::from(min) <= BLOCK_BYTES;
        // No system has larger disks; offsets never overflow.
        let is_too_large = i64::try_from(bytes).is_err();
        if !min_is_sane || max < min || is_too_large || !bytes.is_multiple_of(min.into()) {
            return Err(strange(&format!("{bytes} bytes in blocks of {min} to {max}")));
        }
        Ok(self)
    }
}

/// Agrees with the server on the export called `name`, and on one `context` of block status; the second
/// result is the server's number for that, `None` when it does not offer it.
///
/// # Errors
/// `NotFound` when there is no such export.
pub(super) fn greet(
    wire: &mut BufReader<Wire>,
    name: &str,
    context: &str,
) -> io::Result<(Terms, Option<u32>)> {
    if name.len() > NAME_BYTES_MAX || context.len() > NAME_BYTES_MAX {
        return Err(io::Error::new(ErrorKind::InvalidInput, "a name longer than 4096 bytes"));
    }
    if number(wire).map(u64::from_be_bytes)? != SERVER_MAGIC
        || number(wire).map(u64::from_be_bytes)? != OPTION_MAGIC
    {
        return Err(strange("no NBD server greets like this"));
    }
    let offered = number(wire).map(u16::from_be_bytes)?;
    if offered & FIXED_NEWSTYLE == 0 {
        return Err(strange("an NBD server too old to be asked for anything"));
    }
    let flags = u32::from(offered & (FIXED_NEWSTYLE | NO_ZEROES));
    wire.get_mut().write_all(&flags.to_be_bytes())?;
    option(wire, OPT_STRUCTURED_REPLY, &[], |_, _| Ok(()))?;
    let context = choose_context(wire, name, context)?;
    Ok((go(wire, name)?, context))
}

fn choose_context(
    wire: &mut BufReader<Wire>,
    name: &str,
    context: &str,
) -> io::Result<Option<u32>> {
    let mut payload = text(name);
    payload.extend(1u32.to_be_bytes());
    payload.extend(text(context));
    let mut number = None;
    let asked = option(wire, OPT_SET_META_CONTEXT, &payload, |kind, reply| {
        if let (REP_META_CONTEXT, Some((id, its_name))) = (kind, reply.split_first_chunk())
            && its_name == context.as_bytes()
        {
            number = Some(u32::from_be_bytes(*id));
        }
        Ok(())
    });
    match asked {
        Ok(()) => Ok(number),
        Err(error) if error.kind() == ErrorKind::Unsupported => Ok(None),
        Err(error) => Err(error),
    }
}

fn go(wire: &mut BufReader<Wire>, name: &str) -> io::Result<Terms> {
    let mut payload = text(name);
    payload.extend(1u16.to_be_bytes());
    payload.extend(INFO_BLOCK_SIZE.to_be_bytes());
    let mut export = None;
    let mut blocks = (1, u32::MAX);
    option(wire, OPT_GO, &payload, |kind, mut reply| {
        if kind != REP_INFO {
            return Ok(());
        }
        match number(&mut reply).map(u16::from_be_bytes)? {
            INFO_EXPORT => {
                let bytes = number(&mut reply).map(u64::from_be_bytes)?;
                export = Some((bytes, number(&mut reply).map(u16::from_be_bytes)?));
            }
            INFO_BLOCK_SIZE => {
                let min = number(&mut reply).map(u32::from_be_bytes)?;
                let _preferred = number::<4>(&mut reply)?;
                blocks = (min, number(&mut reply).map(u32::from_be_bytes)?);
            }
            _ => {}
        }
        Ok(())
    })?;
    let Some((bytes, flags)) = export else {
        return Err(strange("an export without a size"));
    };
    Terms { bytes, flags, block_min: blocks.0, block_max: blocks.1 }.check()
}

/// Asks for an option; `each` gets the replies before the last one, which says yes.
fn option(
    wire: &mut BufReader<Wire>,
    option: u32,
    payload: &[u8],
    mut each: impl FnMut(u32, &[u8]) -> io::Result<()>,
) -> io::Result<()> {
    let len = u32::try_from(payload.len()).expect("BUG: two names are short");
    let mut message = OPTION_MAGIC.to_be_bytes().to_vec();
    message.extend(option.to_be_bytes());
    message.extend(len.to_be_bytes());
    message.extend(payload);
    wire.get_mut().write_all(&message)?;
    for _ in 0..REPLIES_MAX {
        let magic = number(wire).map(u64::from_be_bytes)?;
        let answers = number(wire).map(u32::from_be_bytes)?;
        let kind = number(wire).map(u32::from_be_bytes)?;
        let len = number(wire).map(u32::from_be_bytes)?;
        if magic != OPTION_REPLY_MAGIC || answers != option || len > REPLY_BYTES_MAX {
            return Err(strange("no reply to an option looks like this"));
        }
        let mut reply = vec![0; len as usize];
        wire.read_exact(&mut reply)?;
        match kind {
            REP_ACK => return Ok(()),
            kind if kind & REP_ERROR != 0 => return Err(refusal(option, kind, &reply)),
            kind => each(kind, &reply)?,
        }
    }
    Err(strange("no end of replies to an option"))
}

/// What the server says no with.
fn refusal(option: u32, kind: u32, reply: &[u8]) -> io::Error {
    let (error, meaning) = match kind ^ REP_ERROR {
        1 => (ErrorKind::Unsupported, "it does not know that"),
        2 => (ErrorKind::PermissionDenied, "it must not"),
        5 => (ErrorKind::PermissionDenied, "it wants TLS"),
        6 => (ErrorKind::NotFound, "it has no such export"),
        7 => (ErrorKind::ConnectionAborted, "it is shutting down"),
        _ => (ErrorKind::Other, "an error"),
    };
    let words = readable(reply);
    io::Error::new(
        error,
        format!("the NBD server refused option {option}: {meaning} ({kind:#x} {words})"),
    )
}

/// A server's words as they may be shown.
pub(super) fn readable(words: &[u8]) -> String {
    String::from_utf8_lossy(words).chars().filter(|char| !char.is_control()).collect()
}

/// The bytes of a number, big end first.
pub(super) fn number<const N: usize>(from: &mut impl Read) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    from.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// What is no NBD, or none that a server of ours speaks.
pub(super) fn strange(what: &str) -> io::Error {
    io::Error::new(
        ErrorKind::InvalidData,
        format!("not what was expected of an NBD server: {what}"),
    )
}

fn text(words: &str) -> Vec<u8> {
    let len = u32::try_from(words.len()).expect("BUG: a name is short");
    [&len.to_be_bytes(), words.as_bytes()].concat()
}
