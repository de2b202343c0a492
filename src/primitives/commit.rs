//! `commit(m)`: failback's point of no return.

use serde::Serialize;

use crate::base::{Json, Side};
use crate::diagnostic::Diagnostic;
use crate::plan::effect::Effect;
use crate::plan::facts::Power;
use crate::plan::policy::Policy;
use crate::plan::step::{Kind, Reversibility};
use crate::primitives::contract::{ByHand, Cost, Ctx, Primitive, Standing, Subject};
use crate::primitives::spec::{Output, Spec, Yields};
use crate::primitives::work::cost;
use crate::primitives::work::hands;
use crate::primitives::work::sides::{MACHINE, Sides, active};
use crate::run::event::Deletes;
use crate::run::failure::Failure;
use crate::sites::SideView;

static SPEC: Spec = Spec {
    name: "commit",
    doc: "Commits the failback: deletes the cloud machine, its disks and its snapshots, and keeps the base that reverse replication needs.\n\n**Irreversible.** It refuses unless homing booted the on-prem side from a verified final transfer, that side runs, the cloud side is off and has not booted since. What it will delete is journalled before the first deletion; afterwards there is only forward.",
    kind: Kind::Act,
    params: &[MACHINE],
    options: &[],
    outputs: &[Output {
        name: "deleted",
        ty: "bool",
        doc: "the cloud machine was there and is deleted (`false`: it was gone already)",
    }],
    yields: Yields::Step,
    reversibility: Reversibility::Irreversible,
    policy: Policy { attempts: 10, first_ms: 2_000, max_ms: 60_000, timeout_ms: Some(1_800_000) },
    timeout_is_stall: false,
    optional: false,
    example: "commit(web);",
};

/// See [`SPEC`].
pub(super) struct Commit;

/// What became of the cloud side.
#[derive(Serialize)]
pub(super) struct Committed {
    deleted: bool,
}

impl Primitive for Commit {
    type Args = ();
    type Out = Committed;
    const SPEC: &'static Spec = &SPEC;

    fn parse(_: &Json) -> Result<(), Vec<Diagnostic>> {
        Ok(())
    }

    fn effect((): &(), _: &Subject<'_>) -> Effect {
        Effect::Commit
    }

    fn describe((): &(), subject: &Subject<'_>) -> String {
        let power = subject.machine.and_then(|name| subject.facts.told(name, "cloud.power"));
        if power.is_some_and(|power| power == Power::Lost.word()) {
            return "record that the switch is final; the cloud machine was given up, and stays where it may be"
                .to_owned();
        }
        "DELETE the cloud machine for good, with its snapshots and its disks but for the base that protection builds on"
            .to_owned()
    }

    fn by_hand((): &(), subject: &Subject<'_>, standing: &Standing) -> ByHand {
        if standing.lost == Some(Side::Cloud) {
            return hands::of_machine("COMMIT {machine}: it is at home for good", subject, standing)
                .first("{machine} runs on {host} and was checked there.")
                .first("Somebody who may decide it has said yes, on this paper.")
                .act("Nobody can reach its machine at {cloud}, so nothing is deleted there. Put a note on {machine} on {host}: \"committed; its twin at {cloud} was given up\", with the date and your name.")
                .verify("The note stands, and {machine} still runs on {host}.")
                .danger("If its machine at {cloud} comes back, turn it off; delete nothing there before somebody has looked at what it wrote.");
        }
        hands::of_machine("COMMIT {machine}: delete its machine at {cloud}", subject, standing)
            .first("{machine} runs on {host}, started from a copy of the stopped disks that was verified, and was checked there.")
            .first("{machine} is off at {cloud} and was not started since that copy: look at it now (Azure: activity log).")
            .first("Somebody who may decide it has said yes, on this paper.")
            .act("With Site Recovery: vault > Replicated items > {machine} > Commit. It deletes the machine and its disks at {cloud}; then only look that this is so.")
            .act("Otherwise write down first, one by one, what you are going to delete at {cloud}: the machine {machine}, its network card and address if nothing else uses them, its {disks} but for the base, and the snapshots that earlier steps of this book took.")
            .act("Set the base aside: the disks as they were when the machine was switched off, or one snapshot of each. Replication back to {cloud} builds on it. Azure: give every disk the delete option Detach (`az vm update`), or the deletion takes them along.")
            .act("Take the lock away, and delete the machine: `az vm delete --name {machine} --resource-group <group>`.")
            .act("Delete the rest of your list, one by one, and tick each.")
            .verify("`az vm show` finds no {machine} any more; the base is still there; {machine} still runs on {host}.")
            .note("id of everything deleted")
            .note("id of the base that was kept")
            .danger("There is no way back from here. If it stops half-way, finish it: the machine at {cloud} is never started again.")
    }

    fn estimate((): &(), _: &Subject<'_>) -> Cost {
        cost::STOP
    }

    async fn run(_: &(), ctx: &dyn Ctx) -> Result<Committed, Failure> {
        let sides = Sides::open(ctx)?;
        let (cloud, onprem) = sides.look_both().await?;
        // Given up by a person, and not there to be deleted.
        let is_out_of_reach = cloud.power == Power::Unknown && onprem.lost_twin.is_some();
        let is_there = cloud.exists && !is_out_of_reach;
        let generation = match announced(ctx, &cloud, &onprem) {
            Some(generation) => generation,
            None => {
                may_commit(&sides, &cloud, &onprem)?;
                if is_there {
                    announce(&sides, &cloud, ctx).await?;
                }
                cloud.generation.clone()
            }
        };
        // The mark first: from the first deletion on, every other run must see that the cloud side is
        // no way back.
        let home = sides.machines(Side::Onprem)?;
        home.set_committed(sides.at(Side::Onprem), &sides.fence(Side::Onprem)?).await?;
        if is_there {
            ctx.progress(0, 0, 0, "deleting the cloud machine");
            let away = sides.machines(Side::Cloud)?;
            away.delete(sides.at(Side::Cloud), &generation, &sides.fence(Side::Cloud)?).await?;
        }
        Ok(Committed { deleted: is_there || ctx.intended().is_some() })
    }
}

/// The generation that an earlier attempt (or an earlier run, by the mark at the site) may delete:
/// then there is only forward.
fn announced(ctx: &dyn Ctx, cloud: &SideView, onprem: &SideView) -> Option<String> {
    let intended = ctx.intended();
    let of_step = intended.and_then(|deletes| serde_json::from_value::<Deletes>(deletes).ok());
    // Of this switch: an earlier one's mark says nothing once the machine went to the cloud again.
    let is_marked = onprem.committed && active(cloud, onprem) == Side::Onprem;
    let of_site = || {
        let booted = onprem.booted.as_ref().filter(|_| is_marked)?;
        Some(booted.source_generation.clone())
    };
    let done = || (is_marked && !cloud.exists).then(String::new);
    of_step.map(|deletes| deletes.generation).or_else(of_site).or_else(done)
}

/// Journals what will be deleted.
async fn announce(sides: &Sides<'_>, cloud: &SideView, ctx: &dyn Ctx) -> Result<(), Failure> {
    let doomed = sides.machines(Side::Cloud)?.doomed(sides.at(Side::Cloud)).await?;
    let deletes = Deletes {
        machine: sides.machine.clone(),
        side: Side::Cloud,
        site: sides.site(Side::Cloud).name().clone(),
        generation: cloud.generation.clone(),
        snapshots: doomed.snapshots,
        disks_kept: doomed.disks_kept,
    };
    ctx.intend(serde_json::json!(deletes)).await
}

fn may_commit(sides: &Sides<'_>, cloud: &SideView, onprem: &SideView) -> Result<(), Failure> {
    let machine = sides.machine;
    let refuse = |code, what: String, help: &str| {
        Err(Failure::refused(code, format!("{what}; nothing was deleted")).help(help))
    };
    let is_home = active(cloud, onprem) == Side::Onprem;
    let is_given_up = onprem.lost_twin.is_some();
    // Nothing is deleted there: that the machine runs at home is enough.
    if is_home && onprem.power == Power::On && is_given_up && cloud.power == Power::Unknown {
        return Ok(());
    }
    // One that is not final booted because a loss was declared: that loss is over, or is not.
    let Some(booted) = onprem.booted.as_ref().filter(|_| is_home) else {
        return refuse(
            "H315",
            format!(
                "`{machine}` was not booted on-prem by homing from a verified final transfer: its cloud side may be the only good copy"
            ),
            "shut the cloud side down, transfer from its stopped disks, start on-prem, check; then commit",
        );
    };
    if onprem.power != Power::On {
        return refuse(
            "H316",
            format!("the on-prem side of `{machine}` does not run: nothing shows that it can"),
            "`homing retry` its start step, then this one, and resume; or go back with `start_azure_vm(m)` in a script",
        );
    }
    if cloud.exists && cloud.power != Power::Off {
        return refuse(
            "H317",
            format!(
                "the cloud side of `{machine}` runs, or may be running, beside the on-prem side: BOTH MAY TAKE WRITES"
            ),
            "decide by hand which side is right and shut the other one down; homing deletes neither",
        );
    }
    if cloud.exists && cloud.power == Power::Off && cloud.generation != booted.source_generation {
        return refuse(
            "H318",
            format!(
                "the cloud side of `{machine}` booted or was written after the final transfer: it may hold writes that on-prem lacks"
            ),
            "look at what it wrote before anything is deleted; homing will not delete it",
        );
    }
    Ok(())
}
