//! What both starts share: which disks a side may boot, and everything that forbids it.

use serde::Serialize;

use crate::base::{MachineName, Side};
use crate::plan::facts::Power;
use crate::plan::policy::Policy;
use crate::primitives::contract::Ctx;
use crate::primitives::spec::Output;
use crate::primitives::work::sides::{Sides, active};
use crate::run::failure::Failure;
use crate::sites::{Boot, Booted, ReplicaMark, SideView};

pub const POLICY: Policy =
    Policy { attempts: 3, first_ms: 2_000, max_ms: 60_000, timeout_ms: Some(1_800_000) };

pub const OUTPUTS: &[Output] = &[
    Output {
        name: "already_running",
        ty: "bool",
        doc: "it ran before this step; nothing was done",
    },
    Output { name: "generation", ty: "text", doc: "the side's token after the boot" },
];

/// How it came to run.
#[derive(Serialize)]
pub struct Started {
    already_running: bool,
    generation: String,
}

/// Boots `side`, or finds it running, or refuses.
pub async fn start(sides: &Sides<'_>, side: Side, ctx: &dyn Ctx) -> Result<Started, Failure> {
    let (cloud, onprem) = sides.look_both().await?;
    let (own, twin) = match side {
        Side::Cloud => (&cloud, &onprem),
        Side::Onprem => (&onprem, &cloud),
    };
    twin_is_off(sides.machine, side, own, twin)?;
    if own.power == Power::On {
        return Ok(Started { already_running: true, generation: own.generation.clone() });
    }
    let is_active = active(&cloud, &onprem) == side;
    let boot = allowed_boot(sides.machine, side, own, twin, is_active, ctx.run().as_str())?;
    ctx.progress(0, 0, 0, "booting");
    let view = sides.power(side)?.start(sides.at(side), &boot, &sides.fence(side)?).await?;
    Ok(Started { already_running: false, generation: view.generation })
}

/// Refuses a split brain: unknown counts as on.
fn twin_is_off(
    machine: &MachineName,
    side: Side,
    own: &SideView,
    twin: &SideView,
) -> Result<(), Failure> {
    if !twin.exists || twin.power == Power::Off {
        return Ok(());
    }
    let other = side.other();
    let seen = if twin.power == Power::On { "runs" } else { "may be running" };
    let both =
        if own.power == Power::On { "; BOTH SIDES RUN NOW" } else { "; nothing was started" };
    Err(Failure::refused(
        "H312",
        format!("`{machine}` {seen} on its {other} side: starting the {side} side would split it in two{both}"),
    )
    .help(format!("shut the {other} side down first (`{}(m)` in a script), transfer what it wrote, then start", shutdown(other))))
}

/// What this side may boot from.
fn allowed_boot(
    machine: &MachineName,
    side: Side,
    own: &SideView,
    twin: &SideView,
    is_active: bool,
    run: &str,
) -> Result<Boot, Failure> {
    if !own.exists || !own.has_disks {
        return Err(absent(machine, side, twin));
    }
    if is_active {
        return Ok(Boot { turn: own.turn, from: None });
    }
    let turn = own.turn.max(twin.turn) + 1;
    match &own.replica {
        Some(mark) => {
            let from = Some(verified(machine, side, own, twin, mark, run)?);
            Ok(Boot { turn, from })
        }
        // The side a switch came from, before its commit: its own disks are as it left them.
        None if side == Side::Cloud && !twin.committed => Ok(Boot { turn, from: None }),
        None if side == Side::Cloud => Err(Failure::refused(
            "H322",
            format!("the switch of `{machine}` to on-prem is committed: its cloud side is no way back any more"),
        )
        .help("from here there is only forward: start the on-prem side again, or fail over anew from its current state")),
        None => Err(diverged(machine, side)),
    }
}

/// The replica is a verified copy of the stopped twin, which has not booted since.
fn verified(
    machine: &MachineName,
    side: Side,
    own: &SideView,
    twin: &SideView,
    mark: &ReplicaMark,
    run: &str,
) -> Result<Booted, Failure> {
    let (stamp, own_generation) = match mark {
        ReplicaMark::Dirty { mark, .. } => {
            return Err(Failure::refused(
                "H303",
                format!(
                    "the {side} disks of `{machine}` are dirty: the transfer `{}` of run {} began and was never verified; booting them may not work",
                    mark.step, mark.run
                ),
            )
            .help(format!("`homing resume {}` finishes that transfer; or run a plan that transfers again before the start", mark.run)));
        }
        ReplicaMark::Synced { stamp, own_generation } => (stamp, own_generation),
    };
    if *own_generation != own.generation {
        return Err(diverged(machine, side));
    }
    if !stamp.is_final {
        return Err(Failure::refused(
            "H314",
            format!("the {side} disks of `{machine}` are a copy of a moment when the {} side still ran: what it wrote since would be lost", side.other()),
        )
        .help(format!("shut the {} side down and `transfer_delta(m)` from its stopped disks; then start", side.other())));
    }
    if stamp.source_generation != twin.generation {
        return Err(Failure::refused(
            "H313",
            format!("the {} side of `{machine}` booted or was written after the final transfer: its newer writes would be lost", side.other()),
        )
        .help(format!("shut the {} side down and `transfer_delta(m)` again; then start", side.other())));
    }
    Ok(Booted {
        sync: stamp.sync.clone(),
        source_generation: stamp.source_generation.clone(),
        run: run.to_owned(),
    })
}

fn absent(machine: &MachineName, side: Side, twin: &SideView) -> Failure {
    let message =
        format!("`{machine}` does not exist on its {side} side: there is nothing to boot");
    let help = match side {
        Side::Onprem => "`create_onprem_vm(m)` and `transfer_delta(m)` first",
        Side::Cloud if twin.committed => {
            "its commit deleted it; from here there is only forward: start the on-prem side"
        }
        Side::Cloud => "look at the site: somebody deleted it outside homing",
    };
    let code = if side == Side::Cloud && twin.committed { "H322" } else { "H325" };
    Failure::refused(code, message).help(help)
}

fn diverged(machine: &MachineName, side: Side) -> Failure {
    Failure::refused(
        "H304",
        format!("the {side} disks of `{machine}` were booted or written outside a transfer: they are no copy of the {} side", side.other()),
    )
    .help("run a plan that transfers again (it compares checksums, or copies in full) before the start")
}

fn shutdown(side: Side) -> &'static str {
    match side {
        Side::Cloud => "shutdown_azure_vm",
        Side::Onprem => "shutdown_onprem_vm",
    }
}
