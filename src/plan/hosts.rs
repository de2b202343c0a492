//! Facts of hosts, beside whether homing reaches them: predicates, so that a plan does not go stale with
//! every byte written there.

use crate::base::Json;
use crate::plan::facts::{Facts, HOST_CONNECTED, HostKey};

/// A fact of a host: it has this virtual switch.
pub fn host_switch(name: &str) -> String {
    format!("switch({})", Json::from(name))
}

/// A fact of a host: it has this virtual switch, and it leads nowhere.
pub fn host_isolated(name: &str) -> String {
    format!("isolated({})", Json::from(name))
}

/// A fact of a host: it has at least that many bytes free. A predicate, so that a plan does not go stale
/// with every byte written there.
pub fn host_free(bytes: u64) -> String {
    format!("free_bytes({bytes})")
}

impl Facts {
    /// The value of a host's fact, written as the plan records it: [`HOST_CONNECTED`], [`host_switch`],
    /// [`host_isolated`], [`host_free`]. `None`: the host is not known at its site, or there is no such fact.
    pub fn host(&self, host: &HostKey, fact: &str) -> Option<Json> {
        let observed = self.hosts.get(host)?;
        if fact == HOST_CONNECTED {
            return Some(observed.connected.into());
        }
        let (name, argument) = fact.strip_suffix(')')?.split_once('(')?;
        match name {
            "switch" | "isolated" => {
                let of = if name == "switch" { &observed.switches } else { &observed.isolated };
                let switch: String = serde_json::from_str(argument).ok()?;
                Some(of.contains(&switch).into())
            }
            "free_bytes" => Some((observed.free_bytes >= argument.parse().ok()?).into()),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{HostName, SiteName};
    use crate::plan::facts::HostFacts;

    #[test]
    fn a_host_answers_with_predicates() {
        let key = (SiteName::new("dc1").unwrap(), HostName::new("hv-01").unwrap());
        let switches = ["prod".to_owned()].into();
        let isolated = ["drill".to_owned()].into();
        let host = HostFacts { connected: true, switches, isolated, free_bytes: 1 << 30 };
        let facts = Facts { hosts: [(key.clone(), host)].into(), ..Facts::default() };
        let read = |fact: &str| facts.host(&key, fact);
        assert_eq!(read(HOST_CONNECTED), Some(true.into()));
        assert_eq!(read(&host_switch("prod")), Some(true.into()));
        assert_eq!(read(&host_switch("te\"st")), Some(false.into()));
        assert_eq!(read(&host_isolated("drill")), Some(true.into()));
        assert_eq!(read(&host_isolated("prod")), Some(false.into()));
        assert_eq!(read(&host_free(1 << 30)), Some(true.into()));
        assert_eq!(read(&host_free((1 << 30) + 1)), Some(false.into()));
        assert_eq!(read("colour"), None);
    }
}
