//! H017: how long a machine may be down, by the inventory, and how long it will be. What steps cost is
//! worked out elsewhere and comes in as plain data.

use std::collections::BTreeMap;

use crate::base::MachineName;
use crate::plan::graph::Plan;
use crate::plan::inventory::Inventory;
use crate::plan::scope::ScopeIx;
use crate::plan::step::StepIx;
use crate::source::Span;
use crate::verify::report::{Finding, Findings};
use crate::verify::{Verdict, answered};

/// The estimated downtime of one machine.
#[derive(Clone, Debug, PartialEq)]
pub struct Downtime {
    /// The machine.
    pub machine: MachineName,
    /// From its stop to its start and check, waits for people left out, seconds.
    pub seconds: f64,
    /// The stop.
    pub stop: StepIx,
    /// The gates between, whose wait comes on top.
    pub gates: Vec<StepIx>,
}

impl Verdict {
    /// The same, with a warning for every machine that will be down for longer than it may.
    #[must_use]
    pub fn with_downtimes(mut self, downtimes: &[Downtime], inventory: &Inventory) -> Verdict {
        let Some(proved) = &mut self.plan else { return self };
        let plan = &proved.plan;
        let mut findings = Findings::default();
        for (worst, others) in over(downtimes, plan, inventory) {
            let (down, rto_s) = worst;
            let gates: Vec<String> =
                down.gates.iter().map(|at| format!("`{}`", plan.step(*at).id)).collect();
            let people = match &gates[..] {
                [] => String::new(),
                _ => format!(", and as long as people take at {}", gates.join(", ")),
            };
            let others = match others {
                0 => String::new(),
                others => format!("; {others} more stopped by the same line exceed theirs by less"),
            };
            let message = format!(
                "`{}` is down for about {} by the estimate{people}; its `rto` is {}{others}",
                down.machine,
                shown(down.seconds),
                shown(rto_s)
            );
            let help = "synchronize it before the stop so that little is left to copy, or stop fewer machines \
                        at once; or raise the `rto`";
            findings.add(Finding::new(down.stop, "H017", message, help));
        }
        let (warnings, acknowledged) = answered(findings, plan);
        proved.warnings.extend(warnings.iter().cloned());
        proved.acknowledged.extend(acknowledged);
        self.diagnostics.extend(warnings);
        self
    }
}

/// The machines that are down for longer than they may: of those that one line stops the worst, with its
/// limit and how many more there are. What answers a warning answers it for a scope: each is told by itself.
fn over<'a>(
    downtimes: &'a [Downtime],
    plan: &Plan,
    inventory: &Inventory,
) -> Vec<((&'a Downtime, f64), usize)> {
    let mut lines: BTreeMap<(&Span, ScopeIx), ((&Downtime, f64), usize)> = BTreeMap::new();
    for down in downtimes {
        let rto_s = inventory.machines.get(&down.machine).and_then(|entry| entry.rto_s);
        let Some(rto_s) = rto_s.filter(|rto_s| down.seconds > *rto_s) else { continue };
        let stop = plan.step(down.stop);
        let excess = |(down, rto_s): (&Downtime, f64)| down.seconds - rto_s;
        lines
            .entry((&stop.origin.at, stop.scope))
            .and_modify(|(worst, others)| {
                *others += 1;
                if excess((down, rto_s)) > excess(*worst) {
                    *worst = (down, rto_s);
                }
            })
            .or_insert(((down, rto_s), 0));
    }
    lines.into_values().collect()
}

/// To the second, at least one.
fn shown(seconds: f64) -> humantime::FormattedDuration {
    humantime::format_duration(std::time::Duration::from_secs_f64(seconds.max(1.0).round()))
}
