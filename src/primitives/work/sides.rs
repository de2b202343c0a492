//! A running step's machine with its two sites: what every machine primitive starts from.

use std::sync::Arc;

use crate::base::{MachineName, Side};
use crate::plan::facts::Power;
use crate::plan::inventory::MachineEntry;
use crate::primitives::contract::Ctx;
use crate::primitives::spec::{Param, Takes};
use crate::run::failure::Failure;
use crate::sites::commands::Commands;
use crate::sites::copies::Copies;
use crate::sites::silent::look_at_both;
use crate::sites::{At, Disks, Fence, Machines, PowerSwitch, SideView, Site};

/// The first argument of every primitive that acts on a machine.
pub const MACHINE: Param =
    Param { name: "machine", takes: Takes::Machine, optional: false, doc: "the machine" };

/// The same where it may be left out: the step then is a barrier in its scope.
pub const MACHINE_OR_NONE: Param = Param {
    name: "machine",
    takes: Takes::Machine,
    optional: true,
    doc: "the machine whose chain it joins; left out, the step is a barrier in its scope",
};

/// The step's machine and its two opened sites.
pub struct Sides<'a> {
    pub machine: &'a MachineName,
    pub entry: &'a MachineEntry,
    ctx: &'a dyn Ctx,
    cloud: Arc<dyn Site>,
    onprem: Arc<dyn Site>,
}

impl<'a> Sides<'a> {
    /// Opens both sites of the step's machine.
    pub fn open(ctx: &'a dyn Ctx) -> Result<Sides<'a>, Failure> {
        let machine = ctx.machine().expect("BUG: the spec says that this step has a machine");
        let entry = ctx.inventory().machines.get(machine).ok_or_else(|| {
            Failure::permanent(format!("the inventory has no machine `{machine}`"))
                .help("the inventory changed since the plan was made: put the machine back, or plan again")
        })?;
        let cloud = ctx.site(&entry.cloud)?;
        let onprem = ctx.site(&entry.onprem)?;
        Ok(Sides { machine, entry, ctx, cloud, onprem })
    }

    pub fn at(&self, side: Side) -> At<'_> {
        At { machine: self.machine, side, entry: self.entry }
    }

    pub fn site(&self, side: Side) -> &dyn Site {
        match side {
            Side::Cloud => self.cloud.as_ref(),
            Side::Onprem => self.onprem.as_ref(),
        }
    }

    pub async fn look(&self, side: Side) -> Result<SideView, Failure> {
        self.site(side).look(self.at(side)).await
    }

    /// Both sides, cloud first; of one that was given up and is silent, what has to be assumed.
    pub async fn look_both(&self) -> Result<(SideView, SideView), Failure> {
        let (cloud, onprem) = (self.cloud.as_ref(), self.onprem.as_ref());
        let both = look_at_both(cloud, onprem, self.machine, self.entry).await?;
        match both.unseen() {
            Some((_, failure)) => Err(failure.clone()),
            None => Ok((both.cloud, both.onprem)),
        }
    }

    /// The side that `left` gave up is at work again: the mark must not outlive that, or it would excuse a second
    /// running side later.
    pub async fn end_loss(&self, side: Side, left: &SideView) -> Result<(), Failure> {
        // A side that this run did not claim keeps its mark until one does.
        let Some(fence) = self.fence(side).ok().filter(|_| left.lost_twin.is_some()) else {
            return Ok(());
        };
        self.machines(side)?.set_lost_twin(self.at(side), None, &fence).await
    }

    pub fn fence(&self, side: Side) -> Result<Fence, Failure> {
        self.ctx.fence(side)
    }

    pub fn power(&self, side: Side) -> Result<&dyn PowerSwitch, Failure> {
        self.site(side).power().ok_or_else(|| self.cannot(side, "turn machines on and off"))
    }

    pub fn disks(&self, side: Side) -> Result<&dyn Disks, Failure> {
        self.site(side).disks().ok_or_else(|| self.cannot(side, "read and write disks"))
    }

    pub fn machines(&self, side: Side) -> Result<&dyn Machines, Failure> {
        self.site(side).machines().ok_or_else(|| self.cannot(side, "create and delete machines"))
    }

    pub fn commands(&self, side: Side) -> Result<&dyn Commands, Failure> {
        self.site(side).commands().ok_or_else(|| self.cannot(side, "run commands"))
    }

    /// The side that runs now.
    ///
    /// # Errors
    /// Transient when neither is seen to run; refused H312 when both are.
    pub async fn running(&self) -> Result<Side, Failure> {
        let (cloud, onprem) = self.look_both().await?;
        match (cloud.power, onprem.power) {
            (Power::On, Power::On) => Err(Failure::refused(
                "H312",
                format!("`{}` runs on both sides: nobody can say which one is meant", self.machine),
            )
            .help("shut the wrong one down; or say which one with `side`")),
            (Power::On, _) => Ok(Side::Cloud),
            (_, Power::On) => Ok(Side::Onprem),
            _ => Err(Failure::transient(format!("`{}` runs on neither side", self.machine))
                .help("start it first; or say with `side` which one should run")),
        }
    }

    pub fn copies(&self, side: Side) -> Result<&dyn Copies, Failure> {
        self.site(side).copies().ok_or_else(|| self.cannot(side, "run isolated copies"))
    }

    fn cannot(&self, side: Side, what: &str) -> Failure {
        let site = self.site(side).name();
        Failure::permanent(format!("the provider of site `{site}` cannot {what}")).help(
            "nothing was changed; use another provider for that site, or do this step by hand",
        )
    }
}

/// The side that holds the live data: the one with the higher turn.
pub fn active(cloud: &SideView, onprem: &SideView) -> Side {
    crate::sites::look::active(cloud, onprem)
}
