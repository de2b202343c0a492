//! Why a command ended without doing what it was asked, and how it says so.

use crate::cli::draw::draw;
use crate::cli::exit::Exit;
use crate::cli::terminal::Terminal;
use crate::diagnostic::Diagnostic;
use crate::source::Texts;

/// The end of a command that could not do its work.
#[derive(Debug)]
pub struct Stop {
    /// How the process ends.
    pub exit: Exit,
    diagnostics: Vec<Diagnostic>,
    texts: Texts,
    code: Option<&'static str>,
    message: Option<String>,
    help: Option<String>,
}

impl Stop {
    /// With one sentence.
    pub fn new(exit: Exit, message: impl Into<String>) -> Stop {
        let message = Some(message.into());
        let (diagnostics, texts) = (Vec::new(), Texts::default());
        Stop { exit, diagnostics, texts, code: None, message, help: None }
    }

    /// With diagnostics, drawn over their texts.
    pub fn diagnosed(exit: Exit, diagnostics: Vec<Diagnostic>, texts: Texts) -> Stop {
        Stop { exit, diagnostics, texts, code: None, message: None, help: None }
    }

    /// The same, with a code of the registry that `homing explain` knows.
    #[must_use]
    pub fn code(mut self, code: &'static str) -> Stop {
        self.code = Some(code);
        self
    }

    /// The same, with a way out.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Stop {
        self.help = Some(help.into());
        self
    }

    /// The same, with one more line of it.
    #[must_use]
    pub fn also(mut self, line: &str) -> Stop {
        let before = self.help.take().map(|help| help + "\n").unwrap_or_default();
        self.help = Some(before + line);
        self
    }

    /// What goes to standard error.
    pub fn show(&self, terminal: &Terminal) -> String {
        let mut out = draw(&self.diagnostics, &self.texts, terminal.colour, terminal.width);
        if let Some(message) = &self.message {
            out.push_str("homing: ");
            if let Some(code) = self.code {
                out.push_str(code);
                out.push_str(": ");
            }
            out.push_str(message);
            out.push('\n');
        }
        if let Some(help) = &self.help {
            out.push_str("  ");
            out.push_str(&help.replace('\n', "\n  "));
            out.push('\n');
        }
        out
    }
}
