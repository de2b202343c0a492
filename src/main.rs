//! The binary: everything is in the library.

use std::process::ExitCode;

use homing::cli::memory::Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn main() -> ExitCode {
    homing::cli::main()
}
