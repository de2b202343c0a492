//! What every primitive says of its machine to a person who does it by hand.

use crate::base::units::show_bytes;
use crate::base::{Json, Side};
use crate::plan::inventory::MachineEntry;
use crate::primitives::contract::{ByHand, Standing, Subject};
use crate::primitives::work::cost;

/// A procedure about the step's machine. Its lines may name `{machine}`, its sites `{cloud}` and `{onprem}`,
/// its host at home `{host}`, its `{disks}` and their `{size}`.
pub fn of_machine(title: &'static str, subject: &Subject<'_>, standing: &Standing) -> ByHand {
    let site = |side| {
        let of_entry = |entry: &MachineEntry| entry.site(side).as_str().to_owned();
        subject.entry().map_or_else(|| format!("its {side} site"), of_entry)
    };
    ByHand::new(title)
        .given("machine", subject.machine.map_or("the machine", |name| name.as_str()))
        .given("cloud", site(Side::Cloud))
        .given("onprem", site(Side::Onprem))
        .given("host", host(subject, standing))
        .given("disks", disks(subject))
        .given("size", show_bytes(cost::disk_bytes(subject)))
}

/// Its host at home: where an earlier step moved it, else where it was observed, else the inventory's.
pub fn host(subject: &Subject<'_>, standing: &Standing) -> String {
    let moved = standing.host.as_ref().map(|host| host.as_str().to_owned());
    let observed = || {
        let read = subject.fact("host");
        read.as_ref().and_then(Json::as_str).map(str::to_owned)
    };
    let listed = || subject.entry().map(|entry| entry.host.as_str().to_owned());
    moved.or_else(observed).or_else(listed).unwrap_or_else(|| "its host".to_owned())
}

/// Where it answers on a side, as the inventory says.
pub fn address(subject: &Subject<'_>, side: Side) -> Option<String> {
    let known = &subject.entry()?.address;
    match side {
        Side::Cloud => known.cloud.clone(),
        Side::Onprem => known.onprem.clone(),
    }
}

fn disks(subject: &Subject<'_>) -> String {
    let sizes: &[u64] = subject.entry().map_or(&[], |entry| &entry.disks);
    let shown: Vec<String> = sizes.iter().map(|bytes| show_bytes(*bytes)).collect();
    match shown.as_slice() {
        [] => "all of its disks".to_owned(),
        [one] => format!("1 disk of {one}"),
        many => format!("{} disks of {}", many.len(), many.join(", ")),
    }
}
