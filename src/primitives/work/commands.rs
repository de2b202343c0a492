//! The allow-list: the only programs that a script may start, word by word, never through a shell; and
//! starting them on this computer.

use std::collections::BTreeMap;

use tokio_util::sync::CancellationToken;

use crate::base::MachineName;
use crate::diagnostic::Diagnostic;
use crate::plan::inventory::Inventory;
use crate::primitives::contract::Ctx;
use crate::run::failure::Failure;
use crate::sites::commands::{Command, Ran};
use crate::sites::process::{self, NoEnd};

/// Most commands that a help names.
const LISTED_MAX: usize = 8;
/// The code of everything that is not on the list.
const CODE: &str = "H323";

/// Refuses, while a plan is made, what a run would refuse.
pub fn listed(inventory: &Inventory, argv: &[String]) -> Result<(), Diagnostic> {
    if is_listed(inventory, argv) {
        return Ok(());
    }
    let message = format!("`{}` is not on the inventory's allow-list", argv.join(" "));
    Err(Diagnostic::error(CODE, message).help(way_out(inventory)))
}

/// Refuses, at run time, whatever the inventory does not list now.
pub fn allowed(inventory: &Inventory, argv: &[String]) -> Result<(), Failure> {
    if is_listed(inventory, argv) {
        return Ok(());
    }
    let message =
        format!("`{}` is not on the inventory's allow-list; it was not started", argv.join(" "));
    Err(Failure::refused(CODE, message).help(way_out(inventory)))
}

fn is_listed(inventory: &Inventory, argv: &[String]) -> bool {
    let fits = |pattern: &[String]| {
        pattern.len() == argv.len()
            && pattern.iter().zip(argv).all(|(allowed, word)| allowed == "*" || allowed == word)
    };
    !argv.is_empty() && inventory.commands.values().any(|entry| fits(&entry.argv))
}

/// What may be written: the words of the list, not the names that they stand under.
fn way_out(inventory: &Inventory) -> String {
    let shown = |argv: &[String]| format!("{argv:?}");
    let listed: Vec<String> =
        inventory.commands.values().take(LISTED_MAX).map(|entry| shown(&entry.argv)).collect();
    let hidden = inventory.commands.len() - listed.len();
    let rest = if hidden > 0 { format!(" and {hidden} more") } else { String::new() };
    let add = "add it to the inventory: `[commands.NAME]` and `argv = [..]` below";
    if listed.is_empty() {
        return format!("{add}; it lists none yet");
    }
    let listed = listed.join(", ");
    format!(
        "write one of those that are listed, word by word, with any one word for a `\"*\"`: {listed}{rest}; \
         or {add}"
    )
}

/// A command with its whole environment: it sees what it is given and nothing else.
pub fn command(argv: &[String], mut env: BTreeMap<String, String>, ctx: &dyn Ctx) -> Command {
    env.extend(std::env::var("PATH").ok().map(|path| ("PATH".to_owned(), path)));
    let own = [
        ("HOMING_RUN", Some(ctx.run().as_str())),
        ("HOMING_STEP", Some(ctx.step().as_str())),
        ("HOMING_STEP_KEY", Some(ctx.key().as_str())),
        ("HOMING_MACHINE", ctx.machine().map(MachineName::as_str)),
    ];
    let own = own.into_iter();
    env.extend(own.filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned()))));
    Command { argv: argv.to_vec(), env }
}

/// Runs a command on this computer, in the inventory's folder. `stop` ends it.
///
/// # Errors
/// Permanent when it was not started, transient when it was and its end is unknown; cancelled.
pub async fn here(
    command: Command,
    ctx: &dyn Ctx,
    stop: CancellationToken,
) -> Result<Ran, Failure> {
    let folder = ctx.inventory().folder.clone().into_std_path_buf();
    let folder = if folder.as_os_str().is_empty() { ".".into() } else { folder };
    let shown = command.argv.join(" ");
    let running = tokio::task::spawn_blocking(move || {
        process::run(&command, &folder, &|| stop.is_cancelled())
    });
    match running.await {
        Ok(Ok(ran)) => Ok(ran),
        Ok(Err(NoEnd::Stopped)) | Err(_) => Err(Failure::cancelled()),
        Ok(Err(NoEnd::NotStarted(error))) => {
            Err(Failure::permanent(format!("`{shown}` cannot be started: {error}"))
                .help("see that the program is there and may be executed"))
        }
        Ok(Err(NoEnd::Lost(error))) => {
            Err(Failure::transient(format!("`{shown}` was cut off: {error}")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::inventory::CommandEntry;

    #[test]
    fn only_listed_commands_are_allowed_and_a_star_is_one_argument() {
        let argv = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        let entry = CommandEntry { argv: argv(&["/bin/page", "*"]) };
        let inventory =
            Inventory { commands: [("page".to_owned(), entry)].into(), ..Inventory::default() };
        assert!(allowed(&inventory, &argv(&["/bin/page", "ops"])).is_ok());
        assert!(listed(&inventory, &argv(&["/bin/page", "ops"])).is_ok());
        for bad in [&["/bin/page"][..], &["/bin/page", "a", "b"], &["/bin/sh", "ops"], &[]] {
            let refused = allowed(&inventory, &argv(bad)).unwrap_err();
            assert_eq!(refused.code.as_deref(), Some("H323"), "{bad:?}");
            let mistake = listed(&inventory, &argv(bad)).unwrap_err();
            assert!(mistake.help.unwrap().contains("page"), "{bad:?}");
        }
    }
}
