//! `completions` and `man`: derived from the arguments.

use clap::CommandFactory;
use clap_complete::Shell;

use crate::cli::args::Cli;
use crate::cli::exit::Exit;
use crate::cli::stop::Stop;

/// Completions for a shell.
pub fn completions(shell: Shell) -> String {
    let mut out = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "homing", &mut out);
    String::from_utf8_lossy(&out).into_owned()
}

/// The manual page in roff, all commands in it.
///
/// # Errors
/// When it cannot be written.
pub fn manual() -> Result<String, Stop> {
    let mut out = Vec::new();
    let mut command = Cli::command();
    command.build();
    let pages = std::iter::once(&command).chain(command.get_subcommands());
    for page in pages {
        clap_mangen::Man::new(page.clone())
            .render(&mut out)
            .map_err(|error| Stop::new(Exit::Bug, format!("cannot write the manual: {error}")))?;
    }
    Ok(String::from_utf8_lossy(&out).into_owned())
}
