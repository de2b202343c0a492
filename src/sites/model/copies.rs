//! Isolated copies.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;

use crate::base::CopyId;
use crate::run::failure::Failure;
use crate::sites::copies::{Copies, CopyView, Made, NewCopy};
use crate::sites::model::disk::{Disk, Written};
use crate::sites::model::site::{Here, ModelSite};
use crate::sites::model::world::Copy;
use crate::sites::{At, Fence};
use crate::transfer::blocks::BlockSink;

#[async_trait]
impl Copies for ModelSite {
    async fn make(
        &self,
        at: At<'_>,
        new: &NewCopy,
        disks: &[u64],
        fence: &Fence,
    ) -> Result<Made, Failure> {
        let gate = self.gate(at, None);
        let home = at.entry.host.clone();
        self.act(at, "make_copy", |here| {
            here.check(fence)?;
            let id = CopyId::of(&fence.key);
            let ((machine, _), begun) = (here.whose.clone(), here.inner.at);
            let seat = here.seat();
            seat.copies.retain(|copy| copy.view.run == fence.run);
            if !seat.copies.iter().any(|copy| copy.view.id == id) {
                let host = new.host.clone().or_else(|| seat.state.host.clone()).unwrap_or(home);
                let view = CopyView {
                    id: id.clone(),
                    machine,
                    run: fence.run.clone(),
                    at: begun,
                    host,
                    network: new.network.clone(),
                    bytes: disks.iter().sum(),
                    running: false,
                };
                let disk = || Arc::new(Mutex::new(Disk::default()));
                let disks = disks.iter().map(|_| disk()).collect();
                seat.copies.push(Copy { view, disks, filled: false });
            }
            let copy = find(here, &id)?;
            let sink = |disk: &Arc<Mutex<Disk>>| -> Arc<dyn BlockSink> {
                Arc::new(Written { disk: disk.clone(), gate: gate.clone() })
            };
            let sinks = (!copy.filled).then(|| copy.disks.iter().map(sink).collect());
            Ok(Made { copy: copy.view.clone(), disks: sinks })
        })
        .await
    }

    async fn start(&self, at: At<'_>, id: &CopyId, fence: &Fence) -> Result<CopyView, Failure> {
        self.act(at, "boot_copy", |here| {
            here.check(fence)?;
            let copy = find(here, id)?;
            copy.filled = true;
            copy.view.running = true;
            Ok(copy.view.clone())
        })
        .await
    }

    async fn sign_of_life(&self, at: At<'_>, id: &CopyId, _: Duration) -> Result<String, Failure> {
        self.act(at, "sign_of_life", |here| {
            let name = here.name.clone();
            if find(here, id)?.view.running {
                Ok("it acknowledges writes".to_owned())
            } else {
                Err(Failure::transient(format!("the copy of {name} does not run")))
            }
        })
        .await
    }

    async fn list(&self, at: At<'_>) -> Result<Vec<CopyView>, Failure> {
        self.act(at, "copies", |here| {
            Ok(here.seat().copies.iter().map(|copy| copy.view.clone()).collect())
        })
        .await
    }

    async fn delete(&self, at: At<'_>, id: &CopyId, fence: &Fence) -> Result<(), Failure> {
        self.act(at, "unmake_copy", |here| {
            here.check(fence)?;
            here.seat().copies.retain(|copy| copy.view.id != *id);
            Ok(())
        })
        .await
    }
}

fn find<'a>(here: &'a mut Here<'_>, id: &CopyId) -> Result<&'a mut Copy, Failure> {
    let message = format!("{} has no copy {id}", here.name);
    let found = here.seat().copies.iter_mut().find(|copy| copy.view.id == *id);
    found.ok_or_else(|| Failure::permanent(message))
}
