//! What to decide of a machine that has writes of its own on both sides.

use crate::render::style::{Ink, Style};
use crate::report::standing::{Data, Standing};

/// The section of a page; nothing where no machine is split. Ends with a line break.
pub(super) fn section(all: &[Standing], style: Style) -> String {
    let split: Vec<&str> =
        all.iter().filter(|one| one.data == Data::Split).map(|one| one.machine.as_str()).collect();
    if split.is_empty() {
        return String::new();
    }
    let mut page = style.heading("To decide");
    let text =
        format!("{}: which side is right? What the other one wrote is lost", split.join(", "));
    page.push_str(&style.inked_field(Ink::Danger, "Split", &text));
    for (side, off, on) in [
        ("the cloud", "shutdown_onprem_vm", "start_azure_vm"),
        ("on-prem", "shutdown_azure_vm", "start_onprem_vm"),
    ] {
        let gate = "approve(\"Keep it?\", #{ timeout: \"1h\" })";
        let text = format!("to keep {side}, a plan with {gate}; {off}(m); {on}(m);");
        page.push_str(&style.field("", &text));
    }
    page
}
