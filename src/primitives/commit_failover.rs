//! `commit_failover(m)`: ends a switch to the cloud; deletes nothing.

use crate::base::{Json, Side};
use crate::diagnostic::Diagnostic;
use crate::plan::effect::Effect;
use crate::plan::facts::Power;
use crate::plan::policy::Policy;
use crate::plan::step::{Kind, Reversibility};
use crate::primitives::contract::{ByHand, Cost, Ctx, Done, Primitive, Standing, Subject};
use crate::primitives::spec::{Spec, Yields};
use crate::primitives::work::cost;
use crate::primitives::work::hands;
use crate::primitives::work::sides::{MACHINE, Sides, active};
use crate::run::failure::Failure;
use crate::sites::SideView;

static SPEC: Spec = Spec {
    name: "commit_failover",
    doc: "Commits a failover: from here on the cloud side is the machine, and the on-prem side a replica that may be brought up to date for the way home.\n\nDeletes nothing. It refuses unless homing booted the cloud side, that side runs, and the on-prem side is off (or was declared lost). Committing a committed failover changes nothing.",
    kind: Kind::Act,
    params: &[MACHINE],
    options: &[],
    outputs: &[],
    yields: Yields::Step,
    reversibility: Reversibility::Compensable,
    policy: Policy { attempts: 10, first_ms: 2_000, max_ms: 60_000, timeout_ms: Some(600_000) },
    timeout_is_stall: false,
    optional: false,
    example: "commit_failover(web);",
};

/// See [`SPEC`].
pub(super) struct CommitFailover;

impl Primitive for CommitFailover {
    type Args = ();
    type Out = Done;
    const SPEC: &'static Spec = &SPEC;

    fn parse(_: &Json) -> Result<(), Vec<Diagnostic>> {
        Ok(())
    }

    fn effect((): &(), _: &Subject<'_>) -> Effect {
        Effect::CommitFailover
    }

    fn describe((): &(), _: &Subject<'_>) -> String {
        "commit the failover: on-prem becomes the replica; nothing is deleted".to_owned()
    }

    fn by_hand((): &(), subject: &Subject<'_>, standing: &Standing) -> ByHand {
        hands::of_machine("Commit {machine}'s failover: {cloud} is its place now", subject, standing)
            .first("{machine} runs at {cloud}, started from a copy of the stopped disks that was verified, and was checked there.")
            .first("{machine} is off on {host} and fenced: look at it now.")
            .act("With Site Recovery: vault > Replicated items > {machine} > Commit.")
            .act("Otherwise there is nothing to do but to say it: put \"replica, do not start\" into the notes of {machine} on {host}. Delete nothing there.")
            .verify("The vault shows Failover committed; or the note stands, and {machine} still runs at {cloud}.")
            .danger("Its disks on {host} are from now on a replica: the way home copies onto them.")
    }

    fn estimate((): &(), _: &Subject<'_>) -> Cost {
        cost::CALL
    }

    async fn run(_: &(), ctx: &dyn Ctx) -> Result<Done, Failure> {
        let sides = Sides::open(ctx)?;
        let (cloud, onprem) = sides.look_both().await?;
        if active(&cloud, &onprem) == Side::Cloud && cloud.committed {
            return Ok(Done {});
        }
        may_commit(&sides, &cloud, &onprem)?;
        let machines = sides.machines(Side::Cloud)?;
        machines.set_committed(sides.at(Side::Cloud), &sides.fence(Side::Cloud)?).await?;
        Ok(Done {})
    }
}

fn may_commit(sides: &Sides<'_>, cloud: &SideView, onprem: &SideView) -> Result<(), Failure> {
    let machine = sides.machine;
    let refuse = |what: String, help: &str| {
        Err(Failure::refused("H332", format!("{what}; nothing was committed")).help(help))
    };
    if active(cloud, onprem) != Side::Cloud || cloud.booted.is_none() {
        return refuse(
            format!("homing has not failed `{machine}` over: its live data is on-prem"),
            "shut the on-prem side down, transfer from its stopped disks, start the cloud side, check; then commit",
        );
    }
    if cloud.power != Power::On {
        return refuse(
            format!("the cloud side of `{machine}` does not run: nothing shows that it can"),
            "`homing retry` its start step, then this one, and resume; or go back with `start_onprem_vm(m)` in a script",
        );
    }
    let is_lost = onprem.power == Power::Unknown && cloud.lost_twin.is_some();
    if onprem.exists && onprem.power != Power::Off && !is_lost {
        return refuse(
            format!(
                "the on-prem side of `{machine}` runs, or may be running, beside the cloud side: BOTH MAY TAKE WRITES"
            ),
            "decide by hand which side is right and shut the other one down",
        );
    }
    Ok(())
}
