//! What the terminal can do.

use std::io::IsTerminal;

use crate::cli::args::{Colour, Global};
use crate::render::style::Style;

/// What the terminal can do, and how much the user wants to hear.
#[derive(Clone, Copy, Debug)]
pub struct Terminal {
    /// Colours are wanted and possible on standard error.
    pub colour: bool,
    /// Colours are wanted and possible on standard output.
    pub colour_out: bool,
    /// Columns.
    pub width: usize,
    /// A person sits at both ends: questions can be asked.
    pub interactive: bool,
    /// Say only what went wrong.
    pub quiet: bool,
}

/// Columns where nobody says how many.
const WIDTH_DEFAULT: usize = 80;

impl Terminal {
    /// Asks the system and the arguments.
    pub fn new(global: &Global) -> Terminal {
        let no_colour = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let coloured = |is_terminal: bool| match global.color {
            Colour::Always => true,
            Colour::Never => false,
            Colour::Auto => is_terminal && !no_colour,
        };
        let error_terminal = std::io::stderr().is_terminal();
        let out_terminal = std::io::stdout().is_terminal();
        let columns = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
        let measured = || console::Term::stderr().size_checked().map(|(_, width)| width.into());
        Terminal {
            colour: coloured(error_terminal),
            colour_out: coloured(out_terminal),
            width: columns.or_else(measured).unwrap_or(WIDTH_DEFAULT),
            interactive: error_terminal && std::io::stdin().is_terminal(),
            quiet: global.quiet,
        }
    }

    /// How pages on standard output look.
    pub fn page(&self) -> Style {
        Style { colour: self.colour_out, width: self.width }
    }

    /// How talk on standard error looks.
    pub fn talk(&self) -> Style {
        Style { colour: self.colour, width: self.width }
    }
}
