//! H012: the host that a machine or a copy is created on.

use crate::base::{HostName, Json};
use crate::plan::effect::Effect;
use crate::plan::hosts::{host_free, host_switch};
use crate::verify::rules::{Broken, Look};
use crate::verify::state::Twin;

/// It exists and is connected, has the switch, and room for the disks. What only the host itself can say
/// (its role, the original switch's name) is checked when the step runs.
pub(super) fn fits_the_host(look: &Look<'_>) -> Option<Broken> {
    let creates = match look.act.effect {
        // A machine that exists and stays where it is, is left as it is.
        Effect::CreateOnprem { moves } => moves || look.state.onprem.value == Twin::Missing,
        Effect::StartCopy => true,
        _ => return None,
    };
    let (machine, facts) = (look.machine, look.ground.facts);
    let entry = look.ground.inventory.machines.get(machine)?;
    let args = &look.step().args;
    let text = |name: &str| args.get(name).and_then(Json::as_str);
    let home = match look.act.effect {
        Effect::StartCopy => HostName::new(facts.read(machine, "host")?.as_str()?).ok()?,
        _ => entry.host.clone(),
    };
    let host = text("host").map_or(Ok(home), HostName::new).ok()?;
    let key = (entry.onprem.clone(), host.clone());
    let on = format!("`{}/{host}`", entry.onprem);
    let network = text("network").filter(|_| creates);
    let (why, help) = match facts.host_connected(&key) {
        None => {
            ("is not known at its site".to_owned(), "name a host of the machine's on-prem site")
        }
        Some(false) => ("is not connected".to_owned(), "connect it, or name another host"),
        Some(true) if !creates => return None,
        Some(true) => match network {
            Some(name) if facts.host(&key, &host_switch(name))? == false => (
                format!("has no virtual switch `{name}`"),
                "create the switch there, or name one as `network` that it has",
            ),
            _ => {
                let bytes = facts.read(machine, "disk_bytes")?.as_u64()?;
                if facts.host(&key, &host_free(bytes))? == true {
                    return None;
                }
                let bytes = crate::base::units::show_bytes(bytes);
                (
                    format!("has no {bytes} free for its disks"),
                    "make room there, or name another host",
                )
            }
        },
    };
    let message = format!("`{machine}`: the host {on} {why}");
    Some(Broken::new("H012", *look.state, message, help))
}
