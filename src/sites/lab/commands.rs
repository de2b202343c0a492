//! Running commands: on a host, which is a folder here, and inside a running machine.

use std::io;

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

use crate::run::failure::Failure;
use crate::sites::At;
use crate::sites::commands::{Command, Commands, Ran};
use crate::sites::files::blocking;
use crate::sites::files::io;
use crate::sites::lab::guest::command::Answer;
use crate::sites::lab::guest::control::{self, Request};
use crate::sites::lab::seat::Seat;
use crate::sites::lab::site::LabSite;
use crate::sites::process::{self, NoEnd};

#[async_trait]
impl Commands for LabSite {
    async fn on_host(
        &self,
        at: At<'_>,
        command: &Command,
        stop: &CancellationToken,
    ) -> Result<Ran, Failure> {
        let seat = self.seat(at, "on_host").await?;
        let (command, stop) = (command.clone(), stop.clone());
        blocking(move || seat.run_on_host(command, &stop)).await
    }

    async fn in_guest(
        &self,
        at: At<'_>,
        command: &Command,
        stop: &CancellationToken,
    ) -> Result<Ran, Failure> {
        let seat = self.seat(at, "in_guest").await?;
        let (command, stop) = (command.clone(), stop.clone());
        blocking(move || seat.run_in_guest(&command, &stop)).await
    }
}

impl Seat {
    fn run_on_host(&self, mut command: Command, stop: &CancellationToken) -> Result<Ran, Failure> {
        let state = self.records.state()?;
        self.reach(&state)?;
        let Some(host) = self.host(&state) else {
            let message = format!("{} has no hosts: nothing can run on one", self.place.name);
            return Err(Failure::permanent(message).help("run it on the on-prem side, or here"));
        };
        let folder = self.place.settings.folder.join("hosts").join(host.as_str());
        io(crate::sites::files::make_folder(&folder))?;
        command.env.insert("HOMING_HOST".to_owned(), host.to_string());
        let here = format!("host {host} of {}", self.place.name);
        match process::run(&command, &folder, &|| stop.is_cancelled()) {
            Ok(ran) => Ok(ran),
            Err(NoEnd::Stopped) => Err(Failure::cancelled()),
            Err(why @ NoEnd::NotStarted(_)) => Err(not_run(&command, &here, &why.to_string())),
            Err(why) => Err(Failure::transient(format!("a command on {here} was cut off: {why}"))),
        }
    }

    fn run_in_guest(&self, command: &Command, stop: &CancellationToken) -> Result<Ran, Failure> {
        let state = self.records.state()?;
        self.reach(&state)?;
        let here = format!("{} at {}", self.machine, self.place.name);
        if !self.is_running(&state)? {
            let message = format!("{here} does not run: nothing can run in it");
            return Err(Failure::permanent(message).help("start it first"));
        }
        let request = Request::Run(Box::new(command.clone()));
        let answer = control::ask_until(&self.folder(&state), &request, &|| stop.is_cancelled());
        let cut =
            |why: String| Failure::transient(format!("a command in {here} was cut off: {why}"));
        let answer = answer.map_err(|error: io::Error| cut(error.to_string()))?;
        let Some(answer) = answer else { return Err(Failure::cancelled()) };
        match serde_json::from_value(answer) {
            Ok(Answer::Ran(ran)) => Ok(ran),
            Ok(Answer::NotStarted(why)) => Err(not_run(command, &here, &why)),
            Ok(Answer::Cut(why)) => Err(cut(why)),
            Err(error) => Err(cut(format!("it answered nonsense: {error}"))),
        }
    }
}

fn not_run(command: &Command, here: &str, why: &str) -> Failure {
    Failure::permanent(format!("`{}` on {here}: {why}", command.argv.join(" ")))
        .help("see that the program is there and may be executed")
}
