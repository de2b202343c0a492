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
        for Over { down, rto_s, others } in over(downtimes, plan, inventory) {
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

/// A machine that is down for longer than it may, the worst of those that one line stops.
#[derive(Clone, Copy)]
struct Over<'a> {
    down: &'a Downtime,
    rto_s: f64,
    /// How many more that line stops which exceed theirs by less.
    others: usize,
}

/// By the line that stops them, and by its scope: an answer to a warning counts for a scope.
fn over<'a>(downtimes: &'a [Downtime], plan: &Plan, inventory: &Inventory) -> Vec<Over<'a>> {
    let mut lines: BTreeMap<(&Span, ScopeIx), Over<'_>> = BTreeMap::new();
    for down in downtimes {
        let rto_s = inventory.machines.get(&down.machine).and_then(|entry| entry.rto_s);
        let Some(rto_s) = rto_s.filter(|rto_s| down.seconds > *rto_s) else { continue };
        let stop = plan.step(down.stop);
        let one = Over { down, rto_s, others: 0 };
        let worst = lines.entry((&stop.origin.at, stop.scope));
        worst
            .and_modify(|worst| {
                let is_worse = down.seconds - rto_s > worst.down.seconds - worst.rto_s;
                let others = worst.others + 1;
                *worst = Over { others, ..if is_worse { one } else { *worst } };
            })
            .or_insert(one);
    }
    lines.into_values().collect()
}

/// To the second, at least one.
fn shown(seconds: f64) -> humantime::FormattedDuration {
    humantime::format_duration(std::time::Duration::from_secs_f64(seconds.max(1.0).round()))
}
