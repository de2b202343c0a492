//! `start_onprem_vm(m)`: boots the replica at home.

use crate::base::{HostName, Json, Side};
use crate::diagnostic::Diagnostic;
use crate::plan::effect::Effect;
use crate::plan::step::{Kind, Reversibility};
use crate::primitives::contract::{ByHand, Cost, Ctx, Primitive, Standing, Subject};
use crate::primitives::spec::{Opt, OptType, Spec, Yields};
use crate::primitives::work::booting::{self, Started};
use crate::primitives::work::cost;
use crate::primitives::work::hands;
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
        let home = subject.machine.and_then(|name| subject.facts.told(name, "host"));
        let home = home.as_ref().and_then(Json::as_str);
        match args.host.as_ref().map(HostName::as_str).or(home) {
            Some(host) => format!("boot the on-prem machine on {host}; its downtime ends"),
            None => "boot the on-prem machine; its downtime ends".to_owned(),
        }
    }

    fn by_hand(args: &Args, subject: &Subject<'_>, standing: &Standing) -> ByHand {
        let chosen = Standing {
            host: args.host.clone().or_else(|| standing.host.clone()),
            ..standing.clone()
        };
        let hand = hands::of_machine("Start {machine} at home, on {host}", subject, &chosen);
        let is_lost = standing.lost == Some(Side::Cloud);
        let hand = if is_lost {
            hand.first("{machine} was given up at {cloud}, and it is cut off there as far as anybody can: if it can be seen again, stop and ask.")
        } else {
            hand.first("{machine} is off at {cloud} and fenced: look at it now. If you cannot see it, do not go on.")
        };
        let hand = if is_lost && standing.live == Some(Side::Cloud) {
            hand.first("Its disks on {host} are not marked DIRTY: their last copy was verified, or nothing was copied onto them since they left.")
        } else if standing.live == Some(Side::Onprem) {
            hand.first("Its disks on {host} are its own, as it left them: nothing was copied onto them since.")
                .danger("What the machine wrote at {cloud} since it ran there is lost on this way back.")
        } else {
            hand.first("Its replica on {host} is not marked DIRTY: the last copy was verified, and was made from the stopped disks (with Site Recovery: its job waits for \"Complete Failover\").")
                .first("The machine at {cloud} was not started since that copy began (Azure: its activity log shows no start).")
                .act("With Site Recovery press \"Complete Failover\" on the waiting job now: it sends the last changes and starts the machine. Watch it to its end; if it fails, this step has failed.")
.act("If protecting it again needs change tracking that must be switched on by hand, switch it on now, before the machine writes.")
        };
        let start = if hand.act.is_empty() {
            "On {host}: Hyper-V Manager > Start, `Start-VM -Name {machine}`; KVM: `virsh start {machine}`."
        } else {
            "Otherwise, on {host}: Hyper-V Manager > Start, `Start-VM -Name {machine}`; KVM: `virsh start {machine}`."
        };
        hand.act(start)
            .verify("It runs and shows a sign of life: Hyper-V Manager says Heartbeat: OK, or its console shows the login (`virsh console {machine}`).")
            .note("time it ran: its downtime ends")
            .danger("Never start {machine} here while it runs, or may run, at {cloud}: both would take writes, and one half of them is lost.")
            .danger("If it does not come up by itself, turn it off again. Do not repair its file system: a replica that was written to is worth nothing for the next copy.")
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
