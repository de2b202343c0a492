//! H1xx: mistakes in a script, its parameters or its imports.

use super::CodeText;

pub(super) const CODES: &[CodeText] = &[CodeText {
    code: "H190",
    title: "arguments that do not go together",
    text: "Each argument is of the right type, but together they mean nothing: two ways where one is wanted, an option that needs another, an address that cannot be one. The help says what to write instead.",
    wrong: Some("check(vm(\"web-01\"), #{ tcp: 443, ledger: true });"),
    right: Some("check(vm(\"web-01\"), #{ tcp: 443 });"),
}];
