//! Durations, sizes and rates as people write them, and back.

use std::time::Duration;

use bytesize::ByteSize;

/// A text that is no duration, size or rate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no {kind}: write it like {example}")]
pub struct InvalidUnit {
    /// What was given.
    pub text: String,
    /// `duration`, `size` or `rate`.
    pub kind: &'static str,
    /// A right one.
    pub example: &'static str,
}

/// Reads `90s`, `5m`, `1h30m`, `30d`.
///
/// # Errors
/// [`InvalidUnit`] when it is none.
pub fn parse_duration(text: &str) -> Result<Duration, InvalidUnit> {
    humantime::parse_duration(text).map_err(|_| InvalidUnit {
        text: text.to_owned(),
        kind: "duration",
        example: "`90s`, `5m` or `1h30m`",
    })
}

/// Reads `64MiB`, `512KiB`, `4096` into bytes.
///
/// # Errors
/// [`InvalidUnit`] when it is none.
pub fn parse_size(text: &str) -> Result<u64, InvalidUnit> {
    text.parse::<ByteSize>().map(|size| size.as_u64()).map_err(|_| InvalidUnit {
        text: text.to_owned(),
        kind: "size",
        example: "`64MiB` or `2GiB`",
    })
}

/// Reads `200MiB/s` into bytes per second; zero is no rate.
///
/// # Errors
/// [`InvalidUnit`] when it is none.
pub fn parse_rate(text: &str) -> Result<u64, InvalidUnit> {
    text.strip_suffix("/s")
        .and_then(|size| parse_size(size).ok())
        .filter(|rate| *rate > 0)
        .ok_or_else(|| InvalidUnit { text: text.to_owned(), kind: "rate", example: "`200MiB/s`" })
}

/// Bytes for a person: `64.0 MiB`.
pub fn show_bytes(bytes: u64) -> String {
    ByteSize(bytes).display().iec().to_string()
}

/// Seconds for a person, to the precision that matters at that length: `0.4s`, `12s`, `5m 10s`, `2h 5m`,
/// `1d`.
pub fn show_seconds(seconds: f64) -> String {
    let seconds = seconds.max(0.0);
    if seconds < 9.95 {
        return format!("{seconds:.1}s");
    }
    let whole = seconds.round();
    let rounded = if whole < 3600.0 { whole } else { (whole / 60.0).round() * 60.0 };
    Duration::try_from_secs_f64(rounded).map_or_else(|_| "forever".to_owned(), show_duration)
}

/// In the shortest words: `2d 5h`.
fn show_duration(duration: Duration) -> String {
    let words = humantime::format_duration(duration).to_string();
    words.replace("days", "d").replace("day", "d")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_read_what_the_design_writes() {
        assert_eq!(parse_duration("1h30m").unwrap().as_secs(), 5400);
        assert_eq!(parse_size("64MiB").unwrap(), 64 << 20);
        assert_eq!(parse_rate("200MiB/s").unwrap(), 200 << 20);
        for bad in ["", "soon", "5 parsecs"] {
            assert!(parse_duration(bad).is_err() && parse_size(bad).is_err(), "{bad}");
        }
        assert!(parse_rate("200MiB").is_err() && parse_rate("0MiB/s").is_err());
    }

    #[test]
    fn seconds_read_well_at_every_length() {
        let shown: Vec<_> =
            [0.44, 12.3, 310.0, 7510.0, 86400.0, 176_400.0].map(show_seconds).into();
        assert_eq!(shown, ["0.4s", "12s", "5m 10s", "2h 5m", "1d", "2d 1h"]);
    }
}
