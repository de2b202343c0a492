//! Files that hold a saved plan: read to be run, or only to be compared.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read, Write};

use camino::{Utf8Path, Utf8PathBuf};

use crate::base::PlanId;
use crate::cli::args::CompileArgs;
use crate::cli::exit::Exit;
use crate::cli::past;
use crate::cli::place::Place;
use crate::cli::stop::Stop;
use crate::compile::answered::strict;
use crate::compile::saved::{Loaded, PLAN_BYTES_MAX, Unproved};
use crate::diagnostic::any_error;
use crate::plan::estimate::Estimates;
use crate::plan::facts::Fact;
use crate::source::Texts;
use crate::verify::VerifiedPlan;

/// A saved plan that nothing refuses.
pub struct Saved {
    /// The ticket.
    pub plan: VerifiedPlan,
    /// It runs once by this id.
    pub plan_id: PlanId,
    /// What it will cost by what is known now.
    pub estimates: Estimates,
    /// What it rests on.
    pub facts: BTreeSet<Fact>,
    /// The file.
    pub text: String,
}

/// The text of a saved plan's file.
///
/// # Errors
/// Exit 2 when there is no such file, or it cannot be one; 3 when it is no text.
pub fn read(path: &Utf8Path) -> Result<String, Stop> {
    let cannot =
        |error: &io::Error| Stop::new(Exit::Usage, format!("cannot read `{path}`: {error}"));
    if path.extension() == Some("rhai") {
        let stop = Stop::new(Exit::Usage, format!("`{path}` is a script, not a saved plan"));
        return Err(stop.help(format!("save its plan with: homing plan {path} --out FILE")));
    }
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(Stop::new(Exit::Usage, format!("there is no file `{path}`"))
                .help("a saved plan comes from `homing plan SCRIPT --out FILE`"));
        }
        Err(error) => return Err(cannot(&error)),
    };
    let meta = file.metadata().map_err(|error| cannot(&error))?;
    if meta.is_dir() {
        return Err(Stop::new(Exit::Usage, format!("`{path}` is a folder, not a saved plan")));
    }
    if meta.len() > PLAN_BYTES_MAX {
        return Err(too_large(path));
    }
    let mut bytes = Vec::new();
    // What is no file on a disk says no size before: it is read so far and no further.
    file.take(PLAN_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(|error| cannot(&error))?;
    if bytes.len() as u64 > PLAN_BYTES_MAX {
        return Err(too_large(path));
    }
    String::from_utf8(bytes).map_err(|_| {
        let message = format!("`{path}` is no saved plan: it is no text");
        Stop::new(Exit::Refused, message).code("H160")
    })
}

fn too_large(path: &Utf8Path) -> Stop {
    let most = PLAN_BYTES_MAX >> 20;
    Stop::new(Exit::Usage, format!("`{path}` is larger than a saved plan may be ({most} MiB)"))
}

/// A saved plan, proved again from the facts that it rests on: no site has to answer.
///
/// # Errors
/// As [`read`]; exit 2 for parameters, which it has already, 3 when it is refused.
pub fn proved(args: &CompileArgs, place: &Place) -> Result<Saved, Stop> {
    let path = &args.script;
    if !args.param.is_empty() {
        let message = "a saved plan has its parameters already: `-p` cannot change them";
        return Err(Stop::new(Exit::Usage, message));
    }
    let text = read(path)?;
    let mut loaded = past::load(place, &text);
    if args.strict && loaded.plan.is_some() {
        strict(&mut loaded.diagnostics);
        loaded.plan = loaded.plan.filter(|_| !any_error(&loaded.diagnostics));
    }
    match (loaded.plan, loaded.plan_id) {
        (Some(plan), Some(plan_id)) => {
            let Loaded { estimates, facts, .. } = loaded;
            Ok(Saved { plan, plan_id, estimates, facts, text })
        }
        _ => Err(Stop::diagnosed(Exit::Refused, loaded.diagnostics, place.texts.clone())),
    }
}

/// A saved plan as it was written, to compare it with another one.
///
/// # Errors
/// As [`read`]; exit 3 when it is not byte for byte what was saved, or of another version.
pub fn unproved(path: &Utf8Path) -> Result<Unproved, Stop> {
    let text = read(path)?;
    Unproved::read(&text).map_err(|mut wrong| {
        for one in &mut wrong {
            one.message = format!("`{path}`: {}", one.message);
            // The script that it names may be another one by now.
            one.at = None;
        }
        Stop::diagnosed(Exit::Refused, wrong, Texts::default())
    })
}

/// Writes a file beside the place, then into it: whoever opens it sees the old one or the new one.
///
/// # Errors
/// Exit 2 when it cannot be written.
pub fn write(path: &Utf8Path, text: &str) -> Result<(), Stop> {
    write_whole(path, text)
        .map_err(|error| Stop::new(Exit::Usage, format!("cannot write `{path}`: {error}")))
}

fn write_whole(path: &Utf8Path, text: &str) -> io::Result<()> {
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    let beside: Utf8PathBuf = path.with_file_name(format!(".{name}.{}", std::process::id()));
    let written = File::create(&beside).and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&beside, path)
    });
    if written.is_err() {
        // What was written half-way is nobody's file.
        let _ = fs::remove_file(&beside);
    }
    written
}
