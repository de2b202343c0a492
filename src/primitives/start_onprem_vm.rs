//! `start_onprem_vm(m)`: boots the replica at home.

use crate::base::{HostName, Json, Side};
use crate::diagnostic::Diagnostic;
use crate::plan::effect::Effect;
use crate::plan::step::{Kind, Reversibility};
use crate::primitives::contract::{Cost, Ctx, Primitive, Subject};
use crate::primitives::spec::{Opt, OptType, Spec, Yields};
use crate::primitives::work::booting::{self, Started};
use crate::primitives::work::cost;
use crate::primitives::work::options::Options;
use crate::primitives::work::sides::{MACHINE, Sides};
use crate::run::failure::Failure;

static SPEC: Spec = Spec {
    name: "start_onprem_vm",
    doc: "Boots the on-prem machine from its replica.\n\nWhatever the plan says it refuses a dirty or diverged replica, a running twin, a replica that is not a final transfer's, and a cloud side that booted since that transfer. A machine that runs already is success.",
    kind: Kind::Act,
    params: &[MACHINE],
    options: &[Opt {
        name: "host",
        ty: OptType::Host,
        default: "the host that holds the replica",
        required: false,
        doc: "refuse unless the replica is on this host",
    }],
    outputs: booting::OUTPUTS,
    yields: Yields::Step,
    reversibility: Reversibility::Compensable,
    policy: booting::POLICY,
    timeout_is_stall: false,
    optional: false,
    example: "start_onprem_vm(web);",
};

/// See [`SPEC`].
pub(super) struct StartOnpremVm;

/// Where to start it.
pub(super) struct Args {
    host: Option<HostName>,
}

impl Primitive for StartOnpremVm {
    type Args = Args;
    type Out = Started;
    const SPEC: &'static Spec = &SPEC;

    fn parse(args: &Json) -> Result<Args, Vec<Diagnostic>> {
        let mut options = Options::new(args);
        let host = options.host("host");
        options.finish(Args { host })
    }

    fn effect(_: &Args, _: &Subject<'_>) -> Effect {
        Effect::Start(Side::Onprem)
    }

    fn describe(args: &Args, subject: &Subject<'_>) -> String {
        let facts = subject.machine.and_then(|name| subject.facts.peek().machines.get(name));
        match args.host.as_ref().or(facts.map(|facts| &facts.host)) {
            Some(host) => format!("boot the on-prem machine on {host}; its downtime ends"),
            None => "boot the on-prem machine; its downtime ends".to_owned(),
        }
    }

    fn estimate(_: &Args, _: &Subject<'_>) -> Cost {
        cost::START
    }

    async fn run(args: &Args, ctx: &dyn Ctx) -> Result<Started, Failure> {
        let sides = Sides::open(ctx)?;
        if let Some(wanted) = &args.host {
            let lives = sides.look(Side::Onprem).await?.host;
            if lives.as_ref().is_some_and(|host| host != wanted) {
                let machine = sides.machine;
                let lives = lives.map_or_else(String::new, |host| format!(" ({host})"));
                return Err(Failure::refused(
                    "H324",
                    format!("`{machine}` was to start on {wanted}, but its replica is on another host{lives}; nothing was started"),
                )
                .help(format!("leave `host` out, or `create_onprem_vm(m, #{{ host: \"{wanted}\" }})` and transfer there first")));
            }
        }
        booting::start(&sides, Side::Onprem, ctx).await
    }
}
