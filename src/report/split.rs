//! What to decide of a machine that has writes of its own on both sides.

use crate::base::{RunId, Side};
use crate::render::style::{Ink, Style};
use crate::report::standing::{Data, Standing};

/// The script of the library that keeps one side.
const DECIDE: &str = "std/decide";

/// The section of a page; nothing where no machine is split. `open`: the run, while it holds them. Ends with a
/// line break.
pub(super) fn section(all: &[Standing], open: Option<&RunId>, style: Style) -> String {
    let split: Vec<&str> =
        all.iter().filter(|one| one.data == Data::Split).map(|one| one.machine.as_str()).collect();
    if split.is_empty() {
        return String::new();
    }
    let mut page = style.heading("To decide");
    let text =
        format!("{}: which side is right? What the other one wrote is lost", split.join(", "));
    page.push_str(&style.inked_field(Ink::Danger, "Split", &text));
    let begin = open.map_or("homing run".to_owned(), |run| format!("homing replan {run}"));
    for side in [Side::Cloud, Side::Onprem] {
        let names = split.join(",");
        page.push_str(&format!("  {begin} {DECIDE} -p machines={names} -p keep={side}\n"));
    }
    page
}
