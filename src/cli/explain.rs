//! `explain`: what a code means.

use std::fmt::Write;

use crate::cli::exit::Exit;
use crate::cli::stop::Stop;
use crate::diagnostic::codes::{self, CodeText};
use crate::diagnostic::did_you_mean;

/// The long text of one code, or the list of all.
///
/// # Errors
/// Exit 2 when there is no such code.
pub fn explain(code: Option<&str>) -> Result<String, Stop> {
    let Some(code) = code else { return Ok(list()) };
    let code = code.to_ascii_uppercase();
    codes::find(&code).map(text).ok_or_else(|| {
        let stop = Stop::new(Exit::Usage, format!("there is no code `{code}`"));
        match did_you_mean(&code, codes::all().map(|known| known.code)) {
            Some(meant) => {
                stop.help(format!("did you mean `{meant}`? `homing explain` lists them"))
            }
            None => stop.help("`homing explain` lists them"),
        }
    })
}

fn list() -> String {
    codes::all().fold(String::new(), |mut out, code| {
        writeln!(out, "{}  {}", code.code, code.title).expect("BUG: writing to a text cannot fail");
        out
    })
}

fn text(code: &CodeText) -> String {
    let mut out = format!("{}: {}\n\n{}\n", code.code, code.title, code.text.trim_end());
    for (word, example) in [("Wrong", code.wrong), ("Right", code.right)] {
        if let Some(example) = example {
            let indented = example.trim_matches('\n').replace('\n', "\n    ");
            write!(out, "\n{word}:\n\n    {}\n", indented.trim_end())
                .expect("BUG: writing to a text cannot fail");
        }
    }
    out
}
