//! What is given on the command line and is held against more than its form: gates answered in advance and
//! injected faults, which the plan must have; reasons, which must say something.

use crate::cli::exit::Exit;
use crate::cli::stop::Stop;
use crate::diagnostic::did_you_mean;
use crate::execute::Injection;
use crate::plan::graph::Plan;
use crate::plan::step::Kind;

/// A reason as it is journalled.
///
/// # Errors
/// When it says nothing.
pub fn reason(text: &str) -> Result<String, String> {
    match text.trim() {
        "" => Err("say why: somebody will read it".to_owned()),
        said => Ok(said.to_owned()),
    }
}

/// Refuses a slip of the pen: a gate or a step that the plan does not have.
///
/// # Errors
/// Exit 2, with what was probably meant.
pub fn known(plan: &Plan, gates: &[String], faults: &[Injection]) -> Result<(), Stop> {
    gates.iter().filter(|name| *name != "all").try_for_each(|name| gate(plan, name))?;
    faults.iter().try_for_each(|fault| {
        let meant = plan
            .steps
            .iter()
            .any(|step| fault.is_for(&step.id, step.machine.as_ref(), step.primitive));
        if meant {
            return Ok(());
        }
        let stop = Stop::new(Exit::Usage, "`--inject` names a step that the plan does not have");
        Err(stop
            .code("H344")
            .help("`homing plan` lists the steps; `web-01.snapshot` means all of one kind"))
    })
}

fn gate(plan: &Plan, name: &str) -> Result<(), Stop> {
    let gates = || plan.steps.iter().filter(|step| step.kind == Kind::Gate);
    if gates().any(|gate| gate.is_called(name)) {
        return Ok(());
    }
    let ids: Vec<&str> = gates().map(|step| step.id.as_str()).collect();
    let stop = Stop::new(Exit::Usage, format!("the plan has no gate `{name}`")).code("H344");
    Err(match did_you_mean(name, ids.iter().copied()) {
        Some(meant) => stop.help(format!("did you mean `{meant}`?")),
        None => stop.help(format!("its gates: {}", ids.join(", "))),
    })
}
