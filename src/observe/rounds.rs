//! Compile, observe what was missing, compile again: until a plan rests on observed facts only.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use camino::Utf8Path;

use crate::base::{MachineName, SiteName};
use crate::compile::{Compiled, compile};
use crate::diagnostic::Diagnostic;
use crate::observe::{Open, Unseen, observe_hosts, observe_machines, sites_of};
use crate::plan::estimate::History;
use crate::plan::facts::{FactLog, Facts};
use crate::plan::inventory::Inventory;
use crate::source::World;
use crate::trace::Request;

/// Rounds of compiling at most: each reads facts that the one before asked for. A script that still asks
/// for more then chooses its machines by the facts of other machines, without end.
const ROUNDS_MAX: usize = 8;

/// What to compile; see [`Request`].
pub struct Asked<'a> {
    /// Reads the script and its imports.
    pub world: &'a dyn World,
    /// The script, relative to the plan's folder.
    pub script: &'a Utf8Path,
    /// `-p name=value`, as given.
    pub params: &'a BTreeMap<String, String>,
    /// Machines, sites, limits.
    pub inventory: &'a Inventory,
    /// Bytes allocated by the process right now.
    pub allocated: Option<fn() -> u64>,
    /// How long steps took before.
    pub history: &'a History,
}

/// Compiles a script with all the facts that it and the rules read. What a site could not tell is among
/// the diagnostics, and there is no plan then. The facts are those of the last round.
pub async fn compile_observed(asked: &Asked<'_>, open: Open<'_>) -> (Compiled, Facts) {
    let mut facts = Facts::default();
    let mut asked_sites: BTreeSet<SiteName> = BTreeSet::new();
    let (mut silent, mut hosts_unseen) = (Vec::new(), Vec::new());
    let mut spent = Duration::ZERO;
    let mut round = 1;
    loop {
        let mut compiled = compile_once(asked, &facts, spent);
        spent = compiled.spent;
        let machines: BTreeSet<MachineName> = missing(&compiled, asked.inventory, &facts);
        let mut sites = sites_of(&compiled.missing_hosts);
        sites.retain(|site| !asked_sites.contains(site));
        // Where a limit stopped it, another round would only run into the limit again.
        let stopped = compiled.diagnostics.iter().any(|found| found.code == "H140");
        if stopped || (machines.is_empty() && sites.is_empty()) {
            refuse_silence(&mut compiled, &silent);
            refuse_unseen_hosts(&mut compiled, &hosts_unseen);
            return (compiled, facts);
        }
        if round == ROUNDS_MAX {
            let names: Vec<&str> = machines.iter().map(MachineName::as_str).collect();
            let message = format!(
                "after {ROUNDS_MAX} rounds of observing, the script still asks for other machines: {}",
                names.join(", ")
            );
            let wrong = Diagnostic::error("H328", message).help(
                "do not choose machines by the facts of other machines more than a few times over",
            );
            compiled.diagnostics.push(wrong);
            compiled.plan = None;
            return (compiled, facts);
        }
        let mut unseen = observe_machines(open, asked.inventory, &machines, &mut facts).await;
        // Whether the plan gives the silent side up the next round tells.
        silent.extend(unseen.extract_if(.., |one| one.take_in(&mut facts)));
        // So it does of hosts: those of machines that never go home are asked for too.
        hosts_unseen.extend(observe_hosts(open, &sites, &mut facts).await);
        asked_sites.append(&mut sites);
        if !unseen.is_empty() {
            compiled.diagnostics.extend(unseen.iter().map(Unseen::diagnostic));
            compiled.plan = None;
            return (compiled, facts);
        }
        round += 1;
    }
}

/// A machine of which one side is silent is planned for only where the plan gives that side up: what is
/// assumed of it, and what rules say of that, is worth nothing else.
fn refuse_silence(compiled: &mut Compiled, silent: &[Unseen]) {
    let gives_up = |one: &&Unseen| {
        let side = one.one_sided.as_ref().map(|seen| (seen.machine.clone(), seen.silent));
        side.is_some_and(|side| compiled.lost.contains(&side))
    };
    let refused: Vec<_> =
        silent.iter().filter(|one| !gives_up(one)).map(Unseen::diagnostic).collect();
    if refused.is_empty() {
        return;
    }
    compiled.diagnostics.retain(|found| !found.code.starts_with("H0"));
    compiled.diagnostics.extend(refused);
    compiled.plan = None;
}

/// Hosts that could not be seen may be why a plan is refused; one that is proved needs none of them.
fn refuse_unseen_hosts(compiled: &mut Compiled, unseen: &[Unseen]) {
    if compiled.plan.is_none() {
        compiled.diagnostics.extend(unseen.iter().map(Unseen::diagnostic));
    }
}

fn compile_once(asked: &Asked<'_>, facts: &Facts, spent: Duration) -> Compiled {
    let log = FactLog::new(facts);
    let request = Request {
        world: asked.world,
        script: asked.script,
        params: asked.params,
        inventory: asked.inventory,
        facts: &log,
        allocated: asked.allocated,
        spent,
    };
    compile(&request, asked.history)
}

/// Machines that were asked for, or that a step touches: rules read facts of those.
fn missing(compiled: &Compiled, inventory: &Inventory, facts: &Facts) -> BTreeSet<MachineName> {
    let touched = compiled.missing_machines.iter().chain(&compiled.machines);
    let unseen = touched.filter(|name| {
        inventory.machines.contains_key(*name) && !facts.machines.contains_key(*name)
    });
    unseen.cloned().collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use async_trait::async_trait;

    use super::*;
    use crate::base::HostName;
    use crate::plan::facts::{HostFacts, Power};
    use crate::run::failure::Failure;
    use crate::sites::look::tests::{entry, view};
    use crate::sites::{At, Claims, Disks, Machines, PowerSwitch, SideView, Site};
    use crate::source::MemoryWorld;

    /// Shows every machine running in the cloud, and counts how often it was asked.
    struct Shown {
        name: SiteName,
        looks: AtomicUsize,
        broken: Broken,
    }

    /// What of it does not answer.
    #[derive(Clone, Copy, PartialEq)]
    enum Broken {
        Nothing,
        /// One side's looks, and all hosts.
        Side(crate::base::Side),
        All,
    }

    #[async_trait]
    impl Site for Shown {
        fn name(&self) -> &SiteName {
            &self.name
        }

        async fn look(&self, at: At<'_>) -> Result<SideView, Failure> {
            self.looks.fetch_add(1, Ordering::Relaxed);
            if self.broken == Broken::All {
                return Err(Failure::permanent("the line is cut").help("mend it"));
            }
            if self.broken == Broken::Side(at.side) {
                return Err(Failure::transient("nobody answers"));
            }
            let power = if at.side == crate::base::Side::Cloud { Power::On } else { Power::Off };
            Ok(SideView { power, ..view("g1") })
        }

        async fn hosts(&self) -> Result<BTreeMap<HostName, HostFacts>, Failure> {
            match self.broken {
                Broken::Side(_) => Err(Failure::transient("nobody answers")),
                _ => Ok(BTreeMap::new()),
            }
        }

        fn claims(&self) -> Option<&dyn Claims> {
            None
        }

        fn power(&self) -> Option<&dyn PowerSwitch> {
            None
        }

        fn disks(&self) -> Option<&dyn Disks> {
            None
        }

        fn machines(&self) -> Option<&dyn Machines> {
            None
        }
    }

    /// Compiles a script over twenty machines; also how often a site was looked at.
    async fn compiled(script: &str, broken: Broken) -> (Compiled, Facts, usize) {
        let machines = (0..20).map(|n| (MachineName::new(format!("m-{n}")).unwrap(), entry()));
        let inventory = Inventory { machines: machines.collect(), ..Inventory::default() };
        let name = SiteName::new("azure").unwrap();
        let site = Arc::new(Shown { name, looks: AtomicUsize::new(0), broken });
        let world = MemoryWorld([("a.rhai".into(), script.to_owned())].into());
        let params = BTreeMap::new();
        let asked = Asked {
            world: &world,
            script: "a.rhai".into(),
            params: &params,
            inventory: &inventory,
            allocated: None,
            history: &History::default(),
        };
        let open = |_: &SiteName| -> Result<Arc<dyn Site>, Failure> { Ok(site.clone()) };
        let (compiled, facts) = compile_observed(&asked, &open).await;
        (compiled, facts, site.looks.load(Ordering::Relaxed))
    }

    fn codes(compiled: &Compiled) -> Vec<&str> {
        compiled.diagnostics.iter().map(|one| &*one.code).collect()
    }

    #[tokio::test]
    async fn a_machine_is_looked_at_once_on_each_side_however_often_it_is_asked_for() {
        let script =
            "for m in vms() { if m.replica == \"diverged\" { snapshot(m); snapshot(m); } }";
        let (compiled, facts, looks) = compiled(script, Broken::Nothing).await;
        assert_eq!(codes(&compiled).iter().filter(|code| code.starts_with("H3")).count(), 0);
        assert_eq!((facts.machines.len(), looks), (20, 40));
        assert_eq!(compiled.plan.unwrap().plan().steps.len(), 40);
    }

    #[tokio::test]
    async fn a_machine_that_only_a_step_names_is_observed_too() {
        let (_, facts, looks) = compiled("snapshot(vm(\"m-7\"));", Broken::Nothing).await;
        assert_eq!((facts.machines.len(), looks), (1, 2), "rules read its facts");
    }

    #[tokio::test]
    async fn a_site_that_does_not_answer_is_said_and_there_is_no_plan() {
        let (compiled, _, _) = compiled("snapshot(vm(\"m-7\"));", Broken::All).await;
        assert_eq!(codes(&compiled), ["H327"]);
        let one = &compiled.diagnostics[0];
        assert_eq!(one.message, "`m-7` cannot be observed: the line is cut");
        assert_eq!((one.help.as_deref(), compiled.plan.is_none()), (Some("mend it"), true));
    }

    #[tokio::test]
    async fn a_silent_side_is_planned_for_only_where_it_is_given_up() {
        let gives_up = "let m = vm(\"m-7\"); approve(\"lost?\", #{ timeout: \"1h\" }); \
                        declare_lost(m, #{ side: \"onprem\", reason: \"it burns\" });";
        let lost = Broken::Side(crate::base::Side::Onprem);
        let (planned, facts, _) = compiled(gives_up, lost).await;
        assert!(planned.plan.is_some(), "{:?}", planned.diagnostics);
        let seen = &facts.machines[&MachineName::new("m-7").unwrap()];
        assert_eq!((seen.cloud.power, seen.onprem.power), (Power::On, Power::Unknown));

        let other = gives_up.replace("onprem", "cloud");
        let touches = format!("{gives_up} snapshot(vm(\"m-8\"));");
        let reads = format!("{gives_up} if vm(\"m-8\").replica == \"dirty\" {{ }}");
        for (script, unseen) in [(other, "m-7"), (touches, "m-8"), (reads, "m-8")] {
            let (refused, _, _) = compiled(&script, lost).await;
            let first = refused.diagnostics.iter().find(|one| one.code == "H327").unwrap();
            assert!(first.message.contains(unseen), "{script}: {:?}", refused.diagnostics);
            assert!(first.help.as_ref().unwrap().contains("side: \"onprem\""), "{first:?}");
            assert!(refused.plan.is_none() && !codes(&refused).contains(&"H001"), "{script}");
        }
    }

    #[tokio::test]
    async fn a_script_that_asks_for_ever_more_machines_ends() {
        let script = "let n = 0; while vm(`m-${n}`).replica == \"diverged\" && n < 19 { n += 1; }";
        let (compiled, facts, _) = compiled(script, Broken::Nothing).await;
        assert_eq!(codes(&compiled), ["H328"]);
        assert!(compiled.diagnostics[0].message.contains("m-7"), "{:?}", compiled.diagnostics);
        assert_eq!((facts.machines.len(), compiled.plan.is_none()), (ROUNDS_MAX - 1, true));
    }
}
