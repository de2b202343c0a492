//! A saved plan: the JSON of `plan --out`, and the way back. What is read is proved again.

mod read;
mod seal;
mod write;

pub use read::{Loaded, load};
pub use write::save;

#[cfg(test)]
pub(crate) mod tests;
