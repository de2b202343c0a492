//! The script front end: text as it is, or, behind a first byte that no text begins with, a script made
//! of the language's own pieces. By hand, for an hour (`cargo install cargo-fuzz`, and a nightly compiler):
//!
//! ```text
//! mkdir -p fuzz/corpus
//! cargo +nightly fuzz run front_end --sanitizer none fuzz/corpus fuzz/seeds tests/plans scripts stdlib -- \
//!     -dict=fuzz/language.dict -max_len=6000 -max_total_time=3600 -rss_limit_mb=2048 -timeout=20
//! ```
//!
//! It ends at the first finding; `-fork=1 -ignore_crashes=1 -ignore_timeouts=1` behind it goes on.
#![no_main]

#[expect(dead_code, reason = "here everything is observed as in the suite's first line")]
#[path = "../../tests/it/support/observed.rs"]
mod observed;
#[path = "../../tests/it/support/scribe.rs"]
mod scribe;

use homing::cli::memory::Counting;

/// As in the binary: what stops a script that eats memory.
#[global_allocator]
static ALLOCATOR: Counting = Counting;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    match bytes {
        [0xff, choices @ ..] => scribe::judge(&scribe::script(choices)),
        text => {
            if let Ok(text) = std::str::from_utf8(text) {
                scribe::judge(text);
            }
        }
    }
});
