//! `create_onprem_vm(m)`: alternate location.

use serde::Serialize;

use crate::base::units::show_bytes;
use crate::base::{HostName, Json, Side};
use crate::diagnostic::Diagnostic;
use crate::plan::effect::Effect;
use crate::plan::policy::Policy;
use crate::plan::step::{Kind, Reversibility};
use crate::primitives::contract::{Cost, Ctx, Primitive, Subject};
use crate::primitives::spec::{Opt, OptType, Output, Spec, Yields};
use crate::primitives::work::cost;
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
