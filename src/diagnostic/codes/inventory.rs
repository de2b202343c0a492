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
        "Every key is checked: a mistyped `rto` that was silently ignored would be a promise nobody keeps.",
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
    code(
        "H230",
        "unknown provider",
        "Every site names the provider that serves it: `provider = \"..\"` in its `[site.NAME]`. This \
         one is not built into this homing.\n\nThe message lists the providers there are. A provider \
         is a folder of the source, not a plug-in: a newer homing may have more.",
    ),
    code(
        "H231",
        "a site's settings are wrong",
        "Apart from `provider`, `concurrency` and `bandwidth`, the keys of a `[site.NAME]` belong to its \
         provider, which found a key that it does not know, misses one that it needs, or cannot read a \
         value.\n\nDurations are written `\"90s\"` or `\"1h30m\"`, sizes `\"64MiB\"`, shares as a number \
         from 0 to 1. Relative paths are relative to the inventory's own folder.",
    ),
    code(
        "H232",
        "a machine's settings for its provider are wrong",
        "A machine may have a table for the provider of its sites, with what only that provider reads: \
         how fast a practice machine writes, when it failed over, whether its disks are encrypted. The \
         provider does not know a key in it or cannot read its value.\n\nEncrypted disks need a key: \
         `key = \"NAME\"` at the machine, with `[key.NAME]` saying where the secret comes from.",
    ),
    code(
        "H233",
        "a machine's host is not at its site",
        "`onprem = \"SITE/HOST\"` names a host that the site does not list under `hosts`. A machine \
         could not be started there, and a plan would find out too late.\n\nCorrect the name, or add the \
         host to the site.",
    ),
];
