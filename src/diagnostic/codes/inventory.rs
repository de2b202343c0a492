//! H2xx: mistakes in the inventory.

use super::CodeText;

const fn code(code: &'static str, title: &'static str, text: &'static str) -> CodeText {
    CodeText { code, title, text, wrong: None, right: None }
}

pub(super) const CODES: &[CodeText] = &[
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
