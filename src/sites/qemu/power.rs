//! Turning machines on and off.

use std::time::{Duration, Instant};

use async_trait::async_trait;
use serde_json::json;

use crate::run::failure::Failure;
use crate::sites::files::{self, blocking, io};
use crate::sites::manifests;
use crate::sites::qemu::guest;
use crate::sites::qemu::guest::console::{self, Boot as Said};
use crate::sites::qemu::guest::initramfs;
use crate::sites::qemu::line::{self, CONSOLE, Machine};
use crate::sites::qemu::monitor::{Monitor, Status};
use crate::sites::qemu::process::{self, Role};
use crate::sites::qemu::seat::Seat;
use crate::sites::qemu::site::QemuSite;
use crate::sites::qemu::{accel, seal, tracking};
use crate::sites::state::State;
use crate::sites::{At, Boot, Fence, PowerSwitch, SideView};

/// How often a machine that is to stop is looked at.
const LOOK: Duration = Duration::from_millis(30);
/// How often its power button is pressed: a guest that was just booting did not feel the first time.
const PRESS: Duration = Duration::from_secs(5);
/// How often a console is read.
const PULSE: Duration = Duration::from_millis(100);
/// Longest that a machine may take from its first instruction to running, which is QEMU's own doing.
const BOOT_TIME: Duration = Duration::from_secs(30);

#[async_trait]
impl PowerSwitch for QemuSite {
    async fn start(&self, at: At<'_>, boot: &Boot, fence: &Fence) -> Result<SideView, Failure> {
        let seat = self.seat(at)?;
        let (boot, fence) = (boot.clone(), fence.clone());
        blocking(move || seat.start(&boot, &fence)).await
    }

    async fn stop(&self, at: At<'_>, grace: Duration, fence: &Fence) -> Result<bool, Failure> {
        let seat = self.seat(at)?;
        let fence = fence.clone();
        blocking(move || seat.stop(grace, &fence)).await
    }

    async fn sign_of_life(&self, at: At<'_>, patience: Duration) -> Result<String, Failure> {
        let seat = self.seat(at)?;
        let deadline = Instant::now() + patience;
        let ask = || {
            let seat = seat.clone();
            blocking(move || seat.sign())
        };
        let before = ask().await?;
        loop {
            let now = ask().await?;
            if let Some(told) = now.since(&before) {
                return Ok(told);
            }
            if Instant::now() >= deadline {
                let message = format!("{} runs, but its console stands still", seat.here());
                return Err(Failure::transient(message).help(
                    "a guest that says nothing there is better asked by `check(m, #{ tcp: 22 })`",
                ));
            }
            tokio::time::sleep(PULSE).await;
        }
    }
}

/// What a machine that runs has said so far.
enum Sign {
    /// So many bytes.
    Console(u64),
    /// A practice guest's last boot.
    Practice(Option<Said>),
}

impl Sign {
    /// What it said since, when that shows that it lives.
    fn since(&self, before: &Sign) -> Option<String> {
        match (before, self) {
            (Sign::Console(before), Sign::Console(now)) => {
                (now > before).then(|| format!("its console goes on: byte {before}, then {now}"))
            }
            (Sign::Practice(before), Sign::Practice(Some(now))) => {
                let last = |boot: &Said| boot.acks.map_or(0, |acks| acks.last);
                let (proved, said) = (now.proved?, before.as_ref().map_or(0, last));
                (last(now) > said && proved.bad == 0).then(|| {
                    let (proved, now) = (proved.last, last(now));
                    format!("its guest proved all {proved} records, and goes on: record {now}")
                })
            }
            _ => None,
        }
    }
}

impl Seat {
    /// What it has said, if it runs.
    fn sign(&self) -> Result<Sign, Failure> {
        let state = self.state()?;
        let log = self.folder(&state).join(CONSOLE);
        if !self.is_running(&state)? {
            let message = format!("{} does not run", self.here());
            let help =
                format!("its guest may have ended by itself: see the end of {}", log.display());
            return Err(Failure::transient(message).help(help));
        }
        if self.settings.is_practice() {
            let mut said = io(console::read(&log).map_err(files::at(&log)))?;
            return Ok(Sign::Practice(said.boots.pop()));
        }
        Ok(Sign::Console(io(std::fs::metadata(&log).map_err(files::at(&log)))?.len()))
    }

    fn start(&self, boot: &Boot, fence: &Fence) -> Result<SideView, Failure> {
        let (_lock, state) = self.act(fence)?;
        if self.is_running(&state)? {
            if let Some(decided) = state.decided_for(boot) {
                self.records.save(&decided)?;
            }
        } else {
            let state = self.close(&state)?;
            state.may_boot(&self.here(), self.has_disks(&state), boot)?;
            // Whatever the guest makes of the disks, they are no longer what the manifest says, and no
            // snapshot is a moment of them.
            io(manifests::forget(&self.folder(&state)))?;
            self.forget_snapshots(&state)?;
            self.launch(&state, boot)?;
        }
        self.look()
    }

    /// Boots: the process waits before its first instruction until the boot is durably recorded.
    pub(super) fn launch(&self, state: &State, boot: &Boot) -> Result<(), Failure> {
        let folder = self.folder(state);
        let practice = self.practice_boot()?;
        let accel = self.accel()?;
        let own = &self.settings;
        let args = line::machine(&Machine {
            name: &self.machine,
            accel,
            memory_bytes: state.memory_bytes.unwrap_or_else(|| own.memory_bytes()),
            cpus: state.cpus.unwrap_or_else(|| own.cpus()),
            format: self.place.settings.format,
            disks: state.disks.len(),
            netdev: self.netdev(state)?,
            kernel: practice.as_ref().map(|boot| &boot.kernel).or(own.kernel.as_ref()),
            initrd: practice.as_ref().map(|boot| &boot.initrd).or(own.initrd.as_ref()),
            append: practice.as_ref().map(|_| guest::APPEND).or(own.append.as_deref()),
            // One that panics would boot for ever.
            reboots: practice.is_none(),
            args: &own.args,
        });
        io(seal::lift(&folder))?;
        let begun = process::start(&self.place.settings.program, &args, &folder, Role::Machine)
            .and_then(|()| self.begin(state, boot));
        if begun.is_err() && !self.is_running(state)? {
            process::end(&folder, Role::Machine)?;
            self.seal(state)?;
        }
        begun
    }

    /// What runs its processors.
    pub(super) fn accel(&self) -> Result<&'static str, Failure> {
        let site = &self.place.settings;
        accel::choose(site.accel, &site.program, &site.folder)
    }

    /// Kernel and initial RAM disk of a practice guest.
    fn practice_boot(&self) -> Result<Option<initramfs::Boot>, Failure> {
        if !self.settings.is_practice() {
            return Ok(None);
        }
        initramfs::build(&self.place.settings.folder).map(Some)
    }

    fn begin(&self, state: &State, boot: &Boot) -> Result<(), Failure> {
        let mut monitor = Monitor::open(&self.folder(state), Role::Machine)?;
        monitor.serve()?;
        let known = tracking::clean(&mut monitor, state, &self.here())?;
        let state = State { tracking: known, ..state.clone() };
        let base = boot.from.as_ref().filter(|_| state.replica.is_some());
        let point = match base {
            _ if state.first_boot_due => tracking::FIRST.to_owned(),
            Some(from) => from.sync.to_string(),
            None => tracking::off(&state),
        };
        let new = tracking::begin(&state, &point, self.place.settings.format)?;
        tracking::remove(&mut monitor, state.disks.len(), &new.void)?;
        monitor.at_once(&new.actions)?;
        let booted = state.after_boot(boot, self.new_generation()?);
        self.records.save(&State { tracking: Some(new.tracking), ..booted })?;
        monitor.ask("cont", json!({}))?;
        let deadline = Instant::now() + BOOT_TIME;
        while monitor.status()? == Status::Waiting {
            if Instant::now() >= deadline {
                return Err(Failure::timed_out(format!("QEMU does not run {}", self.here())));
            }
            std::thread::park_timeout(LOOK);
        }
        Ok(())
    }

    fn stop(&self, grace: Duration, fence: &Fence) -> Result<bool, Failure> {
        let (_lock, mut state) = self.act(fence)?;
        state.known(&self.here())?;
        let folder = self.folder(&state);
        let pulled = match self.goes_off(&state, Instant::now() + grace)? {
            true => false,
            false => {
                // What changed on raw disks is forgotten with the process: the next transfer compares.
                process::end(&folder, Role::Machine)?;
                true
            }
        };
        if pulled {
            state = self.close(&state)?;
        } else {
            // Its process stays, with the disks open and at rest.
            self.seal(&state)?;
        }
        if !state.fenced {
            state.fenced = true;
            self.records.save(&state)?;
        }
        Ok(pulled)
    }

    /// Presses the power button until the guest is off; `false`: it is not by the deadline.
    fn goes_off(&self, state: &State, deadline: Instant) -> Result<bool, Failure> {
        let mut pressed: Option<Instant> = None;
        loop {
            match self.process(state) {
                Ok(Some(Status::Running(_))) => {}
                Ok(_) => return Ok(true),
                // One that cannot be asked is not waited for: that is what the plug is for.
                Err(_) => return Ok(false),
            }
            if Instant::now() >= deadline {
                return Ok(false);
            }
            if pressed.is_none_or(|at| at.elapsed() >= PRESS) {
                let mut monitor = Monitor::open(&self.folder(state), Role::Machine)?;
                monitor.ask("system_powerdown", json!({}))?;
                pressed = Some(Instant::now());
            }
            std::thread::park_timeout(LOOK);
        }
    }
}
