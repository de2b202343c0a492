//! H2xx: mistakes in the inventory.

use super::CodeText;

const fn code(code: &'static str, title: &'static str, text: &'static str) -> CodeText {
    CodeText { code, title, text, wrong: None, right: None }
}

pub(super) const CODES: &[CodeText] = &[
    code(
        "H201",
        "the inventory cannot be read",
        "Homing looks for `homing.toml` beside the script, then in the folders above it; without a script \
         in the current folder, in its `scripts/`, then above. `--config FILE` names it. `homing init` \
         writes a commented first one.",
    ),
    code(
        "H202",
        "the inventory is no TOML",
        "The file must be TOML; the place is where reading stopped.",
    ),
    code(
        "H203",
        "unknown key in the inventory",
        "Every key is checked: a mistyped `rto` that were silently ignored would be a promise nobody keeps.",
    ),
    code(
        "H204",
        "a key is missing or has the wrong type",
        "The message names the key and what it must be.",
    ),
    code(
        "H205",
        "a value that cannot be",
        "Sizes are written `64MiB`, rates `200MiB/s`, durations `5m` or `1h30m`, disks are multiples of 4 KiB.",
    ),
    code(
        "H206",
        "a machine names a site that does not exist",
        "Sites are declared as `[site.NAME]`.",
    ),
    code(
        "H207",
        "a name that cannot be",
        "Machine names are lower-case letters, digits and `-`: they become parts of step ids and paths. \
         A range is `[machines.\"web-{01..40}\"]`.",
    ),
    code(
        "H208",
        "`needs` names nobody, or goes in a circle",
        "A machine may need others by name (`\"db-01\"`) or by tag (`\"tier=db\"`). A circle could never start.",
    ),
    code("H209", "a machine names a key that does not exist", "Keys are declared as `[key.NAME]`."),
    code("H210", "too many machines", "`[limits] machines = N` raises the limit of an inventory."),
];
