//! The catalogue: one file per primitive, holding its whole truth.
//!
//! In: what a script wrote. Out: specs to bind, sentences to show, work done at sites. Refuses to know:
//! Rhai, the journal, who schedules. Script binding, option checks, docs, dry run, rules and run all
//! derive from here; adding one touches its file and one line of the registry. Every file here but the
//! contract and the spec is a primitive; what several share stands in `work/`.

mod approve;
mod barrier;
mod check;
mod commit;
pub mod contract;
mod create_onprem_vm;
mod delete_snapshot;
mod notify;
mod reverse_replicate;
mod shutdown_azure_vm;
mod shutdown_onprem_vm;
mod snapshot;
pub mod spec;
mod start_azure_vm;
mod start_onprem_vm;
mod transfer_delta;
mod wait;
mod work;

use crate::primitives::contract::{AnyPrimitive, Erased};

/// Every primitive, sorted by name.
pub static ALL: &[&dyn AnyPrimitive] = &[
    &Erased::<approve::Approve>::new(),
    &Erased::<barrier::Barrier>::new(),
    &Erased::<check::Check>::new(),
    &Erased::<commit::Commit>::new(),
    &Erased::<create_onprem_vm::CreateOnpremVm>::new(),
    &Erased::<delete_snapshot::DeleteSnapshot>::new(),
    &Erased::<notify::Notify>::new(),
    &Erased::<reverse_replicate::ReverseReplicate>::new(),
    &Erased::<shutdown_azure_vm::ShutdownAzureVm>::new(),
    &Erased::<shutdown_onprem_vm::ShutdownOnpremVm>::new(),
    &Erased::<snapshot::Snapshot>::new(),
    &Erased::<start_azure_vm::StartAzureVm>::new(),
    &Erased::<start_onprem_vm::StartOnpremVm>::new(),
    &Erased::<transfer_delta::TransferDelta>::new(),
    &Erased::<wait::Wait>::new(),
];

/// The primitive of that name.
pub fn find(name: &str) -> Option<&'static dyn AnyPrimitive> {
    let at = ALL.binary_search_by(|known| known.spec().name.cmp(name)).ok()?;
    Some(ALL[at])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_registry_and_every_option_list_are_sorted() {
        let names: Vec<_> = ALL.iter().map(|known| known.spec().name).collect();
        assert!(names.is_sorted(), "{names:?}");
        for primitive in ALL {
            let spec = primitive.spec();
            let options: Vec<_> = spec.options.iter().map(|option| option.name).collect();
            assert!(options.is_sorted(), "{}: {options:?}", spec.name);
            let outputs: Vec<_> = spec.outputs.iter().map(|output| output.name).collect();
            assert!(spec.example.contains(spec.name), "{}", spec.name);
            assert!(!spec.doc.is_empty() && outputs.iter().all(|name| !name.is_empty()));
            assert!(find(spec.name).is_some());
        }
        assert!(find("teleport").is_none());
    }
}
