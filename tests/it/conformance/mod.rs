//! The conformance suite of providers: what every site does, whatever it is made of.
//!
//! In: a [`ground::Ground`], which a provider supplies. Out: one test per room and check, by a name such
//! as `conformance::lab::power::interrupted`. Refuses to know: any provider. It speaks only through the
//! public traits of `homing::sites`, its registry and its synchronization.
//!
//! # A new provider
//! is done when this suite is green for it. It supplies one file beside `lab.rs` with
//! 1. a type that implements [`ground::Ground`]: a practice ground in a temporary folder with the one
//!    machine `web-01`, made by `Practice::init`, and a few things that only the provider can say: how many
//!    processes run a machine, how a connection is cut, how a stranger writes to a disk;
//! 2. the line `conforms!(crate::conformance::NAME::TYPE);`, which makes all the tests;
//!
//! and a line `mod NAME;` here. Every test gets a ground of its own, so a slow one may take some seconds to
//! make. All four capabilities are needed (`Claims`, `PowerSwitch`, `Disks`, `Machines`); `Copies` and
//! `Commands` are tested where the line says that its sites have them.
//!
//! # What a check is
//! A function `fn check(ground: &dyn Ground)` in the file of its room. Most take the machine into the
//! hands of a run ([`hand::Hand`]) and act by it; every call has a time limit, so a hang is a failure. Each
//! room asks the same questions of its operations:
//! - *twice*: doing a finished thing again changes nothing and answers the same;
//! - *interrupted*: a child process does it and is killed at several moments (`child.rs`); then the same
//!   run does it again by a newer claim, and it is as if it had been done once;
//! - *wrong state*: what must be refused is, by its code, and nothing is changed by it.
//!
//! Across the rooms: an unknown machine and a lost connection (`site.rs`), and what the data is worth
//! (`snapshots.rs`, `cycle.rs`).

/// All checks as tests of one ground: `conforms!(crate::conformance::qemu::QemuGround);`, and where its sites
/// have them `conforms!(crate::conformance::lab::LabGround, with copies and commands);`
macro_rules! conforms {
    ($ground:ty) => {
        conforms! { $ground:
            claims { one_of_many_wins, only_the_newest_token_acts, interrupted }
            site { an_unknown_machine, a_lost_connection }
            power { twice, interrupted, it_dies_while_it_is_asked }
            snapshots { twice, interrupted, one_frozen_moment, what_changed }
            replica { twice, what_may_not_boot_does_not, interrupted, written_by_a_stranger }
            cycle { there_and_back }
            machines { twice, on_another_host, interrupted }
        }
    };
    ($ground:ty, with copies and commands) => {
        conforms!($ground);
        conforms! { $ground:
            copies { twice_and_interrupted }
            commands { they_run_and_end }
        }
    };
    ($ground:ty: $($room:ident { $($check:ident),* })*) => {
        $(
            mod $room {
                $(
                    #[test]
                    fn $check() {
                        if !<$ground as $crate::conformance::ground::Ground>::is_here() {
                            return;
                        }
                        let ground = <$ground as $crate::conformance::ground::Ground>::new();
                        $crate::conformance::$room::$check(&ground);
                    }
                )*
            }
        )*
    };
}

mod child;
mod claims;
mod commands;
mod content;
mod copies;
mod cycle;
mod everything;
mod ground;
mod hand;
mod lab;
mod machines;
mod power;
mod qemu;
mod replica;
mod site;
mod snapshots;
