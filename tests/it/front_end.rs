//! The script front end against scripts that nobody would write. A seeded slice runs in the suite; by hand
//! `HOMING_FUZZ_SECONDS=3600 cargo test --release --test it front_end` goes on for as long as it says.
//! The same generator feeds the fuzz target in `fuzz/`.

use std::time::{Duration, Instant};

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use crate::support::scribe::{judge, script};

/// Scripts of the suite's own slice, of each kind.
const CASES: usize = 60;

/// How long to go on; `None`: the slice.
fn time() -> Option<Duration> {
    let seconds = std::env::var("HOMING_FUZZ_SECONDS").ok()?;
    Some(Duration::from_secs(seconds.parse().expect("whole seconds")))
}

/// The same seed makes the same scripts; by hand another one each time.
fn runner(seed: u8) -> TestRunner {
    let mut seeds = [seed; 32];
    if time().is_some() {
        rustix::rand::getrandom(&mut seeds, rustix::rand::GetRandomFlags::empty()).unwrap();
    }
    let config = Config { failure_persistence: None, ..Config::default() };
    TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &seeds))
}

fn all(seed: u8, strategy: impl Strategy<Value = String>) {
    let mut runner = runner(seed);
    let (began, time) = (Instant::now(), time());
    let mut cases = 0;
    while time.map_or(cases < CASES, |time| began.elapsed() < time) {
        let text = strategy.new_tree(&mut runner).unwrap().current();
        let judged = std::panic::catch_unwind(|| judge(&text));
        assert!(judged.is_ok(), "the script above, in full:\n{text}");
        cases += 1;
    }
    assert!(cases > 0, "there was time for none");
}

#[test]
fn scripts_of_the_language_s_own_pieces() {
    all(7, prop::collection::vec(any::<u8>(), 1..120).prop_map(|bytes| script(&bytes)));
}

#[test]
fn scripts_with_something_torn_out_or_put_in() {
    let whole = prop::collection::vec(any::<u8>(), 1..60).prop_map(|bytes| script(&bytes));
    let torn = (whole, any::<prop::sample::Index>(), any::<prop::sample::Index>(), "\\PC{0,8}");
    all(
        8,
        torn.prop_map(|(text, from, to, instead)| {
            let places: Vec<usize> = text.char_indices().map(|(at, _)| at).collect();
            let (from, to) = (places[from.index(places.len())], places[to.index(places.len())]);
            // Small wounds: a script of which most is missing says little.
            let to = text.floor_char_boundary(to.clamp(from, from + 12).min(text.len()));
            format!("{}{instead}{}", &text[..from], &text[to.max(from)..])
        }),
    );
}

#[test]
fn texts_of_any_kind() {
    all(
        9,
        prop_oneof!["(?s).{0,200}", "[ -~\n]{0,300}", "[(){}\\[\\]|`\"'${}#:;,.=a-c0-9 \n]{0,200}"],
    );
}
