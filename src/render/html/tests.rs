//! Small pages, as text.
