//! H012: the host that a machine or a copy is created on.

use crate::base::{HostName, Json, MachineName};
use crate::plan::effect::Effect;
use crate::plan::facts::HostKey;
use crate::plan::hosts::{host_free, host_isolated, host_switch};
use crate::plan::inventory::MachineEntry;
use crate::verify::rules::{Broken, Look};
use crate::verify::state::Twin;

/// It exists and is connected, has the switch, and room for the disks. Its role is no fact of any site:
/// the host itself says it when the step runs.
pub(super) fn fits_the_host(look: &Look<'_>) -> Option<Broken> {
    let creates = match look.act.effect {
        // A machine that exists and stays where it is, is left as it is.
        Effect::CreateOnprem { moves } => moves || look.state.onprem.value == Twin::Missing,
        Effect::StartCopy => true,
        _ => return None,
    };
    let (machine, facts) = (look.machine, look.ground.facts);
    let entry = look.ground.inventory.machines.get(machine)?;
    let home = match look.act.effect {
        Effect::StartCopy => HostName::new(facts.read(machine, "host")?.as_str()?).ok()?,
        _ => entry.host.clone(),
    };
    let host = said(look, "host").map_or(Ok(home), HostName::new).ok()?;
    let key = (entry.onprem.clone(), host.clone());
    let (why, help) = match facts.host_connected(&key) {
        None => {
            ("is not known at its site".to_owned(), "name a host of the machine's on-prem site")
        }
        Some(false) => ("is not connected".to_owned(), "connect it, or name another host"),
        Some(true) if !creates => return None,
        Some(true) => {
            lacks_switch(look, entry, &key).or_else(|| lacks_room(look, machine, &key))?
        }
    };
    let message = format!("`{machine}`: the host `{}/{host}` {why}", entry.onprem);
    Some(Broken::new("H012", *look.state, message, help))
}

/// What the step says of a text option.
fn said<'a>(look: &'a Look<'_>, name: &str) -> Option<&'a str> {
    look.step().args.get(name).and_then(Json::as_str)
}

/// A copy needs a switch that leads nowhere, a machine the one that it is to be on.
fn lacks_switch(
    look: &Look<'_>,
    entry: &MachineEntry,
    key: &HostKey,
) -> Option<(String, &'static str)> {
    let facts = look.ground.facts;
    let lacks = |fact: &str| facts.host(key, fact).is_some_and(|has| has == false);
    match (look.act.effect, said(look, "network")) {
        (Effect::StartCopy, network) => {
            let network = network.filter(|name| lacks(&host_isolated(name)))?;
            let help = "name an isolated switch of that host, or leave `network` out: the copy is then on \
                        the host's first one, or connected to nothing";
            Some((format!("has no isolated switch `{network}`"), help))
        }
        (_, Some(network)) => {
            let help = "create the switch there, or name one as `network` that it has";
            lacks(&host_switch(network))
                .then(|| (format!("has no virtual switch `{network}`"), help))
        }
        (_, None) => {
            let network = original_switch(look, entry)?;
            let help = "create a switch of that name there, or name another one as `network`";
            let why =
                || format!("has no virtual switch `{network}`, which the machine is on at home");
            lacks(&host_switch(&network)).then(|| (why(), help))
        }
    }
}

/// The switch that a machine is on, where its site can mean only one: it is at home, and home has no other.
fn original_switch(look: &Look<'_>, entry: &MachineEntry) -> Option<String> {
    let facts = look.ground.facts;
    let home = (entry.onprem.clone(), entry.host.clone());
    let switches = &facts.peek().hosts.get(&home)?.switches;
    let only = switches.first().filter(|_| switches.len() == 1)?;
    let is_home = facts.read(look.machine, "host")? == entry.host.as_str();
    (is_home && facts.host(&home, &host_switch(only))? == true).then(|| only.clone())
}

fn lacks_room(
    look: &Look<'_>,
    machine: &MachineName,
    key: &HostKey,
) -> Option<(String, &'static str)> {
    let facts = look.ground.facts;
    let bytes = facts.read(machine, "disk_bytes")?.as_u64()?;
    if facts.host(key, &host_free(bytes))? == true {
        return None;
    }
    let bytes = crate::base::units::show_bytes(bytes);
    let help = "make room there, or name another host";
    Some((format!("has no {bytes} free for its disks"), help))
}
