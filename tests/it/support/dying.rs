//! Processes that end inside one chosen system call, or in which it fails: a small library, compiled when it is
//! first needed and loaded before libc's own functions.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// In which call a process ends, or which one fails from then on.
#[derive(Clone, Copy, Debug, Default)]
pub struct Call {
    /// `write` (half of it is done), `read`, `sync` or `remove` (none of it is).
    pub name: &'static str,
    /// A part of the path of the file.
    pub path: &'static str,
    /// The how-manieth of these, from 1.
    pub nth: u64,
    /// Not 0: of the writes that were not synced some are lost, by lots from this seed.
    pub power_cut: u64,
    /// The process lives, and the call fails like this.
    pub error: Option<rustix::io::Errno>,
}

impl Call {
    /// What a process below `ground` needs in its environment for that.
    pub fn environment(&self, ground: &Path) -> Vec<(&'static str, PathBuf)> {
        vec![
            ("LD_PRELOAD", library().to_owned()),
            ("DIE_ROOT", ground.canonicalize().unwrap()),
            ("DIE_CALL", self.name.into()),
            ("DIE_PATH", self.path.into()),
            ("DIE_NTH", self.nth.to_string().into()),
            ("DIE_SEED", self.power_cut.to_string().into()),
            ("DIE_ERROR", self.error.map_or(0, rustix::io::Errno::raw_os_error).to_string().into()),
        ]
    }
}

fn library() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/support/die.c");
        let digest = blake3::hash(&std::fs::read(&source).unwrap()).to_hex();
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let built = folder.join(format!("die-{}.so", &digest[..16]));
        if built.exists() {
            return built;
        }
        // Whole or not at all: another process may want it at the same moment.
        let begun = folder.join(format!("die-{}.begun", std::process::id()));
        // The journal's database is compiled by the same one: it is there.
        let compiler = std::env::var_os("CC").unwrap_or_else(|| "cc".into());
        let mut command = Command::new(compiler);
        command.args(["-Wall", "-Werror", "-O1", "-shared", "-fPIC", "-o"]).arg(&begun).arg(source);
        assert!(command.status().unwrap().success());
        std::fs::rename(begun, &built).unwrap();
        built
    })
}
