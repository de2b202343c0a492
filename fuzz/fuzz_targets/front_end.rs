//! The script front end: text as it is, or, behind a first byte that is odd, a script made of the
//! language's own pieces. Run by hand with `cargo +nightly fuzz run front_end`.
#![no_main]

#[path = "../../tests/it/support/observed.rs"]
mod observed;
#[path = "../../tests/it/support/scribe.rs"]
mod scribe;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    match bytes.split_first() {
        Some((first, rest)) if first % 2 == 1 => scribe::judge(&scribe::script(rest)),
        _ => {
            if let Ok(text) = std::str::from_utf8(bytes) {
                scribe::judge(text);
            }
        }
    }
});
