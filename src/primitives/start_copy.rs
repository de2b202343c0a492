//! `start_copy(snapshot)`: an isolated copy of a machine, for a drill.

use serde::Serialize;

use crate::base::units::show_bytes;
use crate::base::{CopyId, HostName, Json, MachineName, Side, SiteName};
use crate::diagnostic::Diagnostic;
use crate::plan::effect::{Effect, Mode};
use crate::plan::policy::Policy;
use crate::plan::step::{Kind, Reversibility};
use crate::primitives::contract::{ByHand, Cost, Ctx, Primitive, Standing, Subject};
use crate::primitives::spec::{Opt, OptType, Output, Param, Spec, Takes, Yields};
use crate::primitives::work::cost;
use crate::primitives::work::hands;
use crate::primitives::work::moving::{Through, limiters};
use crate::primitives::work::options::Options;
use crate::primitives::work::sides::Sides;
use crate::primitives::work::taken::Taken;
use crate::run::failure::Failure;
use crate::sites::copies::{NewCopy, fill};
use crate::sites::sync::still_kept;

static SPEC: Spec = Spec {
    name: "start_copy",
    doc: "Boots an isolated copy of the machine from a snapshot, at home, and never touches the machine.\n\nThe copy gets whole disks of its own on a host of the machine's on-prem site, whichever side the snapshot is of: in a failback's rehearsal that is where the machine has to run. It proves its disks before it boots. It stands in no network that leads anywhere: on `network` if that is an isolated switch of the host, else on the host's first one, else on none. Copies of the machine that earlier runs left behind are deleted first.\n\nGive the handle to `check` and to `delete_copy`. An interrupted copy goes on from its checkpoint. `timeout` is the longest time without progress.",
    kind: Kind::Act,
    params: &[Param {
        name: SNAPSHOT,
        takes: Takes::Snapshot,
        optional: false,
        doc: "the snapshot's handle",
    }],
    options: &[
        Opt {
            name: "host",
            ty: OptType::Host,
            default: "where the machine lives at home",
            required: false,
            doc: "the host to run on; it needs room for all disks",
        },
        Opt {
            name: "network",
            ty: OptType::Text,
            default: "the host's first isolated switch, or none",
            required: false,
            doc: "the isolated switch to join; one that leads out is refused",
        },
    ],
    outputs: &[
        Output { name: "copy", ty: "text", doc: "the copy's id at its site" },
        Output { name: "host", ty: "text", doc: "the host it runs on" },
        Output { name: "machine", ty: "text", doc: "the machine it is a copy of" },
        Output { name: "site", ty: "text", doc: "the site it runs at" },
    ],
    yields: Yields::Copy,
    reversibility: Reversibility::Reversible,
    policy: Policy { attempts: 5, first_ms: 2_000, max_ms: 60_000, timeout_ms: Some(600_000) },
    timeout_is_stall: true,
    optional: false,
    example: "let copy = start_copy(snapshot(web), #{ host: \"hv-02\" });",
};

const SNAPSHOT: &str = "snapshot";

/// See [`SPEC`].
pub(super) struct StartCopy;

/// Where it runs.
#[derive(Serialize)]
pub(super) struct Started {
    copy: CopyId,
    host: HostName,
    machine: MachineName,
    site: SiteName,
}

impl Primitive for StartCopy {
    type Args = NewCopy;
    type Out = Started;
    const SPEC: &'static Spec = &SPEC;

    fn parse(args: &Json) -> Result<NewCopy, Vec<Diagnostic>> {
        let mut options = Options::new(args);
        if !options.handle(SNAPSHOT) {
            options.refuse("no snapshot was given", "write `start_copy(snapshot(m))`");
        }
        let new = NewCopy { host: options.host("host"), network: options.text("network") };
        options.finish(new)
    }

    fn effect(_: &NewCopy, _: &Subject<'_>) -> Effect {
        Effect::StartCopy
    }

    fn describe(new: &NewCopy, subject: &Subject<'_>) -> String {
        let home = subject.machine.and_then(|name| subject.facts.told(name, "host"));
        let home = home.as_ref().and_then(Json::as_str);
        let host = new.host.as_ref().map(HostName::as_str).or(home).unwrap_or("its host");
        let network = match &new.network {
            Some(name) => format!("on switch {name}"),
            None => "apart from every network".to_owned(),
        };
        let bytes = show_bytes(cost::disk_bytes(subject));
        format!(
            "boot an isolated copy from the snapshot on {host}, {network} ({bytes} of disks); the machine is not touched"
        )
    }

    fn by_hand(new: &NewCopy, subject: &Subject<'_>, standing: &Standing) -> ByHand {
        let chosen = Standing {
            host: new.host.clone().or_else(|| standing.host.clone()),
            ..standing.clone()
        };
        let hand = hands::of_machine("Start an isolated copy of {machine} on {host}", subject, &chosen)
            .first("{host} has room for {size} beside everything that it has.")
            .act("Delete what earlier drills of {machine} have left on {host}.")
            .act("Make a new machine on {host}, called {machine}-copy, with whole disks of its own ({disks}), filled from the snapshot and compared with it.");
        let hand = match &new.network {
            Some(network) => hand
                .first("The switch {switch} on {host} leads nowhere: no other machine, no router, no line out.")
                .act("Connect it to {switch}, and to nothing else.")
                .given("switch", network.clone()),
            None => hand.act("Connect it to no network, or to a private switch of {host} that leads nowhere."),
        };
        hand.act("Start it (`Start-VM -Name {machine}-copy`; `virsh start {machine}-copy`).")
            .verify("It runs, its console shows the login, and the machine {machine} itself runs on as before.")
            .note("name of the copy")
            .danger("The copy must never reach a network that {machine} is in: two machines of one name and address would serve.")
            .danger("Never use {machine}'s own disks or its replica for it.")
    }

    fn estimate(_: &NewCopy, subject: &Subject<'_>) -> Cost {
        let moved = cost::transfer(subject, Mode::Full, None);
        Cost { seconds: moved.seconds + cost::START.seconds, ..moved }
    }

    async fn run(new: &NewCopy, ctx: &dyn Ctx) -> Result<Started, Failure> {
        let sides = Sides::open(ctx)?;
        let taken = Taken::of_input(ctx, SNAPSHOT)?
            .ok_or_else(|| Failure::permanent("the snapshot's step left no outputs"))?;
        let (copies, at) = (sides.copies(Side::Onprem)?, sides.at(Side::Onprem));
        let disks = sides.disks(taken.side)?;
        let source = disks.source(sides.at(taken.side), Some(&taken.id)).await?;
        let sizes: Vec<u64> = source.disks.iter().map(|disk| disk.bytes()).collect();
        let fence = sides.fence(Side::Onprem)?;
        let made = copies.make(at, new, &sizes, &fence).await?;
        if let Some(sinks) = made.disks {
            let limiters = limiters(&sides, None, ctx);
            let cursor = ctx.checkpoint();
            let site = sides.site(Side::Onprem);
            fill(site, &made.copy, &source, sinks, &limiters, cursor, &Through(ctx)).await?;
            still_kept(disks, sides.at(taken.side), &taken.id).await?;
        }
        ctx.progress(0, 0, 0, "booting");
        let copy = copies.start(at, &made.copy.id, &fence).await?;
        let site = sides.entry.site(Side::Onprem).clone();
        Ok(Started { copy: copy.id, host: copy.host, machine: copy.machine, site })
    }
}
