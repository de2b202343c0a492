//! Bandwidth of sites: one limiter per site for all transfers of this process.

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use crate::base::SiteName;
use crate::transfer::blocks::{BlockSink, BlockSource};
use crate::transfer::limiter::Limiter;

type Shared = BTreeMap<(SiteName, u64), Weak<Limiter>>;

static SHARED: Mutex<Shared> = Mutex::new(BTreeMap::new());

/// The limiter that all transfers from or to `site` share; it lives as long as one of them.
pub fn shared(site: &SiteName, bytes_per_second: u64) -> Arc<Limiter> {
    let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    shared.retain(|_, limiter| limiter.strong_count() > 0);
    let key = (site.clone(), bytes_per_second);
    if let Some(limiter) = shared.get(&key).and_then(Weak::upgrade) {
        return limiter;
    }
    let limiter = Arc::new(Limiter::new(bytes_per_second));
    shared.insert(key, Arc::downgrade(&limiter));
    limiter
}

/// The same sink behind more limiters than a transfer itself asks; `cancelled` ends a wait.
pub(super) fn narrow(
    sink: Arc<dyn BlockSink>,
    limiters: &[Arc<Limiter>],
    cancelled: tokio_util::sync::CancellationToken,
) -> Arc<dyn BlockSink> {
    if limiters.is_empty() {
        return sink;
    }
    Arc::new(Narrow { sink, limiters: limiters.to_vec(), cancelled })
}

struct Narrow {
    sink: Arc<dyn BlockSink>,
    limiters: Vec<Arc<Limiter>>,
    cancelled: tokio_util::sync::CancellationToken,
}

impl BlockSource for Narrow {
    fn bytes(&self) -> u64 {
        self.sink.bytes()
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.sink.read_at(offset, buffer)
    }

    fn data_ranges(&self) -> io::Result<Option<Vec<Range<u64>>>> {
        self.sink.data_ranges()
    }
}

impl BlockSink for Narrow {
    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        for limiter in &self.limiters {
            if !limiter.take(data.len() as u64, || self.cancelled.is_cancelled()) {
                return Err(io::Error::other("stopped while waiting for bandwidth"));
            }
        }
        self.sink.write_at(offset, data)
    }

    fn zero_at(&self, offset: u64, len: u64) -> io::Result<()> {
        self.sink.zero_at(offset, len)
    }

    fn flush(&self) -> io::Result<()> {
        self.sink.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transfers_of_one_site_share_its_limiter_while_any_lives() {
        let site = SiteName::new("narrow-test").unwrap();
        let one = shared(&site, 1000);
        assert!(Arc::ptr_eq(&one, &shared(&site, 1000)));
        assert!(!Arc::ptr_eq(&one, &shared(&site, 2000)));
    }
}
