//! Turning machines on and off.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;

use crate::run::failure::Failure;
use crate::sites::model::site::{Here, ModelSite};
use crate::sites::model::world::Tracking;
use crate::sites::{At, Boot, Fence, PowerSwitch, SideView};

#[async_trait]
impl PowerSwitch for ModelSite {
    async fn start(&self, at: At<'_>, boot: &Boot, fence: &Fence) -> Result<SideView, Failure> {
        let (boot, fence) = (boot.clone(), fence.clone());
        self.act_alone(at, "start", move |here| {
            here.check(&fence)?;
            if here.seat().on {
                if let Some(decided) = here.seat().state.decided_for(&boot) {
                    here.seat().state = decided;
                }
            } else {
                start(here, &boot, &fence)?;
            }
            Ok(here.seat().view())
        })
        .await
    }

    async fn stop(&self, at: At<'_>, _: Duration, fence: &Fence) -> Result<bool, Failure> {
        let fence = fence.clone();
        self.act_alone(at, "stop", move |here| {
            here.known(&fence)?;
            let seat = here.seat();
            (seat.on, seat.lost_power) = (false, false);
            seat.state.fenced = true;
            let (machine, _) = here.whose.clone();
            here.inner.power_changed(&machine);
            Ok(false)
        })
        .await
    }

    async fn sign_of_life(&self, at: At<'_>, _: Duration) -> Result<String, Failure> {
        self.act(at, "sign_of_life", |here| {
            if here.seat().on {
                Ok("it acknowledges writes".to_owned())
            } else {
                Err(Failure::transient(format!("{} does not run", here.name)))
            }
        })
        .await
    }
}

fn start(here: &mut Here<'_>, boot: &Boot, fence: &Fence) -> Result<(), Failure> {
    let name = here.name.clone();
    let has_disks = here.seat().has_disks();
    here.seat().state.may_boot(&name, has_disks, boot)?;
    let (machine, side) = here.whose.clone();
    let generation = here.inner.fresh(&side.to_string());
    let id = here.inner.fresh("track");
    let twin = here.inner.seats.get(&(machine.clone(), side.other()));
    let twin_runs = twin.is_some_and(|twin| twin.on);
    let twin_turn = twin.map_or(0, |twin| twin.state.turn);
    let seat = here.seat();
    let was_replica = seat.state.replica.is_some();
    let is_given_up = seat.state.lost_twin.is_some();
    let gives_up = is_given_up || (boot.from.is_none() && seat.state.turn < twin_turn);
    seat.state = seat.state.after_boot(boot, generation);
    if was_replica || seat.tracking.is_none() {
        let base = boot.from.as_ref().filter(|_| was_replica).map(|from| from.sync.clone());
        let last = vec![BTreeMap::new(); seat.disks.len()];
        seat.tracking = Some(Tracking { id, base, epoch: 0, last });
    }
    seat.next_epoch();
    seat.manifests = None;
    (seat.on, seat.lost_power) = (true, false);
    let content = seat.content();
    here.inner.ledger.boots(&machine, side, &content, twin_runs && !is_given_up, gives_up);
    here.inner.power_changed(&machine);
    here.inner.effect(&(machine, side), "boot", &fence.key);
    Ok(())
}
