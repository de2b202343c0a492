//! A site whose disks garble what is written to them, under the primitive that transfers.

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use homing::base::{HostName, RunId, Side, SiteName, SnapshotId, SyncId};
use homing::plan::facts::{DirtyMark, HostFacts};
use homing::run::failure::{Class, Failure};
use homing::sites::{
    At, Changes, Claims, Disks, Fence, Machines, PowerSwitch, ReplicaMark, SideView, Site,
    Snapshot, Source, SyncStamp,
};
use homing::transfer::blocks::{BlockSink, BlockSource, Manifest};
use serde_json::json;

use crate::support::bench::Bench;

/// In all but its disks the site that it stands for.
struct Garbling(Arc<dyn Site>);

impl Garbling {
    fn inner(&self) -> &dyn Disks {
        self.0.disks().unwrap()
    }
}

#[async_trait]
impl Site for Garbling {
    fn name(&self) -> &SiteName {
        self.0.name()
    }
    async fn look(&self, at: At<'_>) -> Result<SideView, Failure> {
        self.0.look(at).await
    }
    async fn hosts(&self) -> Result<BTreeMap<HostName, HostFacts>, Failure> {
        self.0.hosts().await
    }
    fn claims(&self) -> Option<&dyn Claims> {
        self.0.claims()
    }
    fn power(&self) -> Option<&dyn PowerSwitch> {
        self.0.power()
    }
    fn disks(&self) -> Option<&dyn Disks> {
        Some(self)
    }
    fn machines(&self) -> Option<&dyn Machines> {
        self.0.machines()
    }
}

#[async_trait]
impl Disks for Garbling {
    async fn snapshot(&self, at: At<'_>, fence: &Fence) -> Result<Snapshot, Failure> {
        self.inner().snapshot(at, fence).await
    }
    async fn snapshots(&self, at: At<'_>) -> Result<Vec<(Snapshot, RunId)>, Failure> {
        self.inner().snapshots(at).await
    }
    async fn release(&self, at: At<'_>, id: &SnapshotId, fence: &Fence) -> Result<(), Failure> {
        self.inner().release(at, id, fence).await
    }
    async fn source(&self, at: At<'_>, from: Option<&SnapshotId>) -> Result<Source, Failure> {
        self.inner().source(at, from).await
    }
    async fn changes(
        &self,
        at: At<'_>,
        since: &str,
        to: Option<&SnapshotId>,
    ) -> Result<Option<Vec<Changes>>, Failure> {
        self.inner().changes(at, since, to).await
    }
    async fn begin_sync(&self, at: At<'_>, mark: &DirtyMark, fence: &Fence) -> Result<(), Failure> {
        self.inner().begin_sync(at, mark, fence).await
    }
    async fn sink(
        &self,
        at: At<'_>,
        sync: &SyncId,
        fence: &Fence,
    ) -> Result<Vec<Arc<dyn BlockSink>>, Failure> {
        let sinks = self.inner().sink(at, sync, fence).await?;
        Ok(sinks.into_iter().map(|sink| Arc::new(OneBitOff(sink)) as Arc<dyn BlockSink>).collect())
    }
    async fn end_sync(
        &self,
        at: At<'_>,
        stamp: &SyncStamp,
        manifests: &[Manifest],
        fence: &Fence,
    ) -> Result<(), Failure> {
        self.inner().end_sync(at, stamp, manifests, fence).await
    }
    async fn manifests(&self, at: At<'_>, sync: &SyncId) -> Result<Option<Vec<Manifest>>, Failure> {
        self.inner().manifests(at, sync).await
    }
    async fn unlock(&self, at: At<'_>, key: Option<&[u8]>) -> Result<(), Failure> {
        self.inner().unlock(at, key).await
    }
}

/// A disk that keeps the last bit of every write the other way round.
struct OneBitOff(Arc<dyn BlockSink>);

impl BlockSource for OneBitOff {
    fn bytes(&self) -> u64 {
        self.0.bytes()
    }
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.0.read_at(offset, buffer)
    }
    fn data_ranges(&self) -> io::Result<Option<Vec<Range<u64>>>> {
        self.0.data_ranges()
    }
}

impl BlockSink for OneBitOff {
    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut data = data.to_vec();
        if let Some(last) = data.last_mut() {
            *last ^= 1;
        }
        self.0.write_at(offset, &data)
    }
    fn zero_at(&self, offset: u64, len: u64) -> io::Result<()> {
        self.0.zero_at(offset, len)
    }
    fn flush(&self) -> io::Result<()> {
        self.0.flush()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_arrives_with_another_checksum_is_never_taken_for_the_machine() {
    let mut bench = Bench::new().await;
    bench.did("shutdown_azure_vm", json!({})).await;
    let dc1 = SiteName::new("dc1").unwrap();
    let garbling = Garbling(bench.site(&dc1));
    bench.instead.insert(dc1.clone(), Arc::new(garbling));
    let full = json!({ "mode": "full" });
    let failure = bench.once("transfer_delta", &full).await.unwrap_err();
    assert_eq!(failure.class, Class::Permanent);
    let offset = failure.message.split_whitespace().nth(7).unwrap().to_owned();
    assert_eq!(
        failure.message.replacen(&offset, "N", 1),
        "disk 0: what was written at byte N reads back differently, 3 times"
    );
    assert_eq!(
        failure.help.unwrap(),
        "the target does not keep what it is given: check its storage and memory, then retry the step; \
         until it has verified nothing boots from the replica"
    );
    let mark = bench.look(Side::Onprem).await.replica;
    assert!(matches!(mark, Some(ReplicaMark::Dirty { .. })), "{mark:?}");
    bench.refused("start_onprem_vm", "H303").await;
    // A storage that is sound again.
    bench.instead.clear();
    bench.did("transfer_delta", full).await;
    bench.did("start_onprem_vm", json!({})).await;
    bench.is_good().await;
}
