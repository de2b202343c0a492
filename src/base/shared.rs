//! Large data that many hold and few change.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use foldhash::HashSet;

use crate::base::Json;

/// A value that costs nothing to clone: clones are one and the same until one of them is changed, which
/// then becomes its own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shared<T>(Arc<T>);

impl<T> Deref for Shared<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: Clone> DerefMut for Shared<T> {
    fn deref_mut(&mut self) -> &mut T {
        Arc::make_mut(&mut self.0)
    }
}

impl<T> From<T> for Shared<T> {
    fn from(value: T) -> Shared<T> {
        Shared(Arc::new(value))
    }
}

impl<K: Ord, V, const N: usize> From<[(K, V); N]> for Shared<BTreeMap<K, V>> {
    fn from(items: [(K, V); N]) -> Shared<BTreeMap<K, V>> {
        Shared::from(BTreeMap::from(items))
    }
}

impl<I, T: FromIterator<I>> FromIterator<I> for Shared<T> {
    fn from_iter<A: IntoIterator<Item = I>>(items: A) -> Shared<T> {
        Shared::from(T::from_iter(items))
    }
}

/// Texts, each kept once.
#[derive(Debug, Default)]
pub struct SharedTexts {
    known: HashSet<Arc<str>>,
    /// Room for the text of a value.
    value: String,
}

impl SharedTexts {
    /// The text, as kept.
    pub fn share(&mut self, text: &str) -> Arc<str> {
        if let Some(known) = self.known.get(text) {
            return known.clone();
        }
        let shared: Arc<str> = text.into();
        self.known.insert(shared.clone());
        shared
    }

    /// The canonical text of a value, as kept.
    pub fn share_value(&mut self, value: &Json) -> Arc<str> {
        let mut text = std::mem::take(&mut self.value);
        text.clear();
        write!(text, "{value}").expect("BUG: writing to a string cannot fail");
        let shared = self.share(&text);
        self.value = text;
        shared
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clone_is_the_same_until_it_is_changed() {
        let one: Shared<Vec<u8>> = (0..3).collect();
        let mut other = one.clone();
        assert!(std::ptr::eq(&*one, &*other));
        other.push(3);
        assert_eq!((one.len(), other.len()), (3, 4));
    }
}
