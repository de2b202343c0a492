//! `create_onprem_vm(m)`: alternate location.

use serde::Serialize;

use crate::base::units::show_bytes;
use crate::base::{HostName, Json, Side};
use crate::diagnostic::Diagnostic;
use crate::plan::effect::Effect;
use crate::plan::policy::Policy;
use crate::plan::step::{Kind, Reversibility};
use crate::primitives::contract::{ByHand, Cost, Ctx, Primitive, Standing, Subject};
use crate::primitives::spec::{Opt, OptType, Output, Spec, Yields};
use crate::primitives::work::cost;
use crate::primitives::work::hands;
use crate::primitives::work::options::Options;
use crate::primitives::work::sides::{MACHINE, Sides};
use crate::run::failure::Failure;
use crate::sites::NewMachine;

const fn opt(name: &'static str, ty: OptType, default: &'static str, doc: &'static str) -> Opt {
    Opt { name, ty, default, required: false, doc }
}

static SPEC: Spec = Spec {
    name: "create_onprem_vm",
    doc: "Creates the on-prem machine if it does not exist, on any host of its site; from then on home is that host.\n\nIts disks come with the next `transfer_delta` (full, as there is no replica yet). The host needs a virtual switch of the original name, or the one given as `network`.",
    kind: Kind::Act,
    params: &[MACHINE],
    options: &[
        opt("cpus", OptType::Int { min: 1, max: 4096 }, "as before", "virtual processors"),
        opt("host", OptType::Host, "the inventory's", "the host to create it on"),
        opt("memory", OptType::Size, "as before", "memory, e.g. `8GiB`"),
        opt("network", OptType::Text, "the original switch", "the virtual switch to join there"),
        opt("path", OptType::Text, "the provider's", "the folder for its disks"),
    ],
    outputs: &[Output {
        name: "created",
        ty: "bool",
        doc: "this step created it (`false`: it existed)",
    }],
    yields: Yields::Step,
    reversibility: Reversibility::Reversible,
    policy: Policy { attempts: 5, first_ms: 1_000, max_ms: 60_000, timeout_ms: Some(1_800_000) },
    timeout_is_stall: false,
    optional: false,
    example: "create_onprem_vm(web, #{ host: \"hv-02\", network: \"prod\" });",
};

/// See [`SPEC`].
pub(super) struct CreateOnpremVm;

/// Whether there was something to do.
#[derive(Serialize)]
pub(super) struct Created {
    created: bool,
}

impl Primitive for CreateOnpremVm {
    type Args = NewMachine;
    type Out = Created;
    const SPEC: &'static Spec = &SPEC;

    fn parse(args: &Json) -> Result<NewMachine, Vec<Diagnostic>> {
        let mut options = Options::new(args);
        let new = NewMachine {
            host: options.host("host"),
            network: options.text("network"),
            cpus: options.int("cpus"),
            memory_bytes: options.size("memory"),
            path: options.text("path"),
        };
        options.finish(new)
    }

    fn effect(new: &NewMachine, subject: &Subject<'_>) -> Effect {
        let host = subject.fact("host");
        let moves = new.host.as_ref().zip(host).is_some_and(|(new, old)| old != new.as_str());
        Effect::CreateOnprem { moves }
    }

    fn describe(new: &NewMachine, subject: &Subject<'_>) -> String {
        let home = subject.entry().map(|entry| &entry.host);
        let host = new.host.as_ref().or(home).map_or("its host", HostName::as_str);
        let network = new.network.as_ref().map_or(String::new(), |name| format!(", switch {name}"));
        let cpus = new.cpus.map_or(String::new(), |count| format!(", {count} processors"));
        let memory = new
            .memory_bytes
            .map_or(String::new(), |bytes| format!(", {} of memory", show_bytes(bytes)));
        let path = new.path.as_ref().map_or(String::new(), |path| format!(", in {path}"));
        let observed = subject.machine.and_then(|name| subject.facts.peek().machines.get(name));
        let elsewhere = observed.filter(|m| m.onprem.exists && m.host.as_str() != host);
        let then = elsewhere.map_or_else(
            || "if it does not exist".to_owned(),
            |machine| format!("and give up its replica on {}", machine.host),
        );
        format!("create the on-prem machine on {host}{network}{cpus}{memory}{path}, {then}")
    }

    fn by_hand(new: &NewMachine, subject: &Subject<'_>, standing: &Standing) -> ByHand {
        let chosen = Standing {
            host: new.host.clone().or_else(|| standing.host.clone()),
            ..standing.clone()
        };
        let was = hands::host(subject, standing);
        let moves = new.host.as_ref().is_some_and(|host| host.as_str() != was);
        let mut hand =
            hands::of_machine("Create {machine} on {host}, if it is not there", subject, &chosen)
                .first("{host} is reached, and has room for {size}.");
        if let Some(network) = &new.network {
            hand = hand
                .first("{host} has a virtual switch called {switch} (`Get-VMSwitch`; `virsh net-list`).")
                .given("switch", network.clone());
        }
        hand = match (new.cpus, new.memory_bytes) {
            (None, None) => hand.act("Create {machine} on {host}, off, with the processors and the memory that it has at {cloud}. Hyper-V: `New-VM -Name {machine}` of the same generation; KVM: `virsh define`."),
            _ => hand
                .act("Create {machine} on {host}, off, with {cpus} processors and {memory} of memory. Hyper-V: `New-VM -Name {machine}` of the same generation; KVM: `virsh define`.")
                .given("cpus", new.cpus.map_or("as many".to_owned(), |count| count.to_string()))
                .given("memory", new.memory_bytes.map_or("as much".to_owned(), show_bytes)),
        };
        if let Some(path) = &new.path {
            hand = hand.act("Keep it under {path}.").given("path", path.clone());
        }
        hand = hand
            .act("Give it {disks}, empty, of exactly these sizes, and no automatic start.")
            .act_if(new.network.is_some(), "Connect it to the switch {switch}.");
        if moves {
            hand = hand
                .act("Its replica on {was} is given up: put \"given up, do not start\" into its notes there. The next copy sends everything.")
                .given("was", was);
        }
        hand.verify("{machine} is listed on {host}, off, with disks of the right sizes; if it was there before, nothing of it was changed.")
            .danger("Do not start it: its disks are empty until a copy was verified.")
    }

    fn estimate(_: &NewMachine, _: &Subject<'_>) -> Cost {
        cost::CALL
    }

    async fn run(new: &NewMachine, ctx: &dyn Ctx) -> Result<Created, Failure> {
        let sides = Sides::open(ctx)?;
        let machines = sides.machines(Side::Onprem)?;
        let fence = sides.fence(Side::Onprem)?;
        let created = machines.create(sides.at(Side::Onprem), new, &fence).await?;
        Ok(Created { created })
    }
}
