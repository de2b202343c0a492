//! H16x: mistakes in a saved plan.

use super::CodeText;

pub(super) const CODES: &[CodeText] = &[
    CodeText {
        code: "H160",
        title: "this is no saved plan",
        text: "`homing run` takes a script (`.rhai`) or a plan that `homing plan SCRIPT --out FILE` \
               saved. This file is neither: it is no JSON, or JSON of another kind.",
        wrong: None,
        right: None,
    },
    CodeText {
        code: "H161",
        title: "a saved plan of another version of the format",
        text: "The first field of a saved plan, `homing_plan`, is the version of the format. A homing \
               that does not know a version refuses it, rather than guess what its fields mean.\n\n\
               Way out: make the plan again from its script with this homing; what a newer homing saved is \
               read by that one.",
        wrong: None,
        right: None,
    },
    CodeText {
        code: "H162",
        title: "a saved plan that was changed",
        text: "A saved plan ends up in a review, and what runs must be what was reviewed. The file \
               carries a seal over every byte of it; a change of one byte, even of a space, breaks it. \
               The seal shows slips and editors that reformat, it is no signature: compare the digest \
               with the one that was reviewed (`--expect`).\n\n\
               Way out: take the file as it was saved, or make the plan again.",
        wrong: None,
        right: None,
    },
    CodeText {
        code: "H163",
        title: "a step of a saved plan makes no sense here",
        text: "Its primitive, one of its options or its machine is not known: the plan was saved by \
               another homing, or for another inventory.\n\n\
               Way out: make the plan again from its script.",
        wrong: None,
        right: None,
    },
    CodeText {
        code: "H164",
        title: "the steps of a saved plan do not fit together",
        text: "Two steps share an id, a scope is no unbroken run of steps, a condition reads a step that \
               does not stand before it, or what the file says for readers (groups, gates, guards) is \
               not what its steps mean.\n\n\
               Way out: make the plan again from its script.",
        wrong: None,
        right: None,
    },
    CodeText {
        code: "H165",
        title: "a saved plan whose digest is another one now",
        text: "The digest is computed again from the steps and from the facts that script and rules \
               read. Another one means that this homing reads other facts than the one that saved the \
               plan, or that the file was put together by hand.\n\n\
               Way out: make the plan again from its script, and have it reviewed.",
        wrong: None,
        right: None,
    },
];
