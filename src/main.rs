//! The binary: everything is in the library.

use std::ffi::OsString;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    match homing::sites::registry::helper_process(&arguments) {
        Some(status) => ExitCode::from(u8::try_from(status).unwrap_or(1)),
        None => ExitCode::SUCCESS,
    }
}
