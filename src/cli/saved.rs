//! Files that hold a saved plan: read to be run, or only to be compared.

use std::io::Read;

use camino::Utf8Path;

use crate::cli::exit::Exit;
use crate::cli::stop::Stop;
use crate::compile::saved::{PLAN_BYTES_MAX, Unproved};
use crate::source::Texts;

/// The text of a saved plan's file.
///
/// # Errors
/// Exit 2 when there is no such file, or it cannot be one; 3 when it is no text.
pub fn read(path: &Utf8Path) -> Result<String, Stop> {
    let cannot =
        |error: &std::io::Error| Stop::new(Exit::Usage, format!("cannot read `{path}`: {error}"));
    if path.extension() == Some("rhai") {
        let stop = Stop::new(Exit::Usage, format!("`{path}` is a script, not a saved plan"));
        return Err(stop.help(format!("save its plan with: homing plan {path} --out FILE")));
    }
    let file = match std::fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
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
