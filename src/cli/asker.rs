//! Who sits at this process.

use crate::run::command::Asker;

/// Who asks, as far as a machine can tell. Not authenticated.
pub fn asker() -> Asker {
    let who = ["SUDO_USER", "USER", "LOGNAME"].iter().find_map(|name| std::env::var(name).ok());
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let by_number = || format!("uid {}", rustix::process::getuid().as_raw());
    Asker { who: who.unwrap_or_else(by_number), from: host }
}
