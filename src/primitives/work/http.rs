//! One HTTP request: what checks and notifications need of the web, and no more.

use std::sync::OnceLock;
use std::time::Duration;

use ureq::Agent;
use ureq::tls::{RootCerts, TlsConfig};

/// An address of the web, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url {
    scheme: Scheme,
    /// `host:port`.
    authority: String,
    /// From the first `/`.
    path: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scheme {
    Http,
    Https,
}

impl Scheme {
    fn prefix(self) -> &'static str {
        match self {
            Scheme::Http => "http://",
            Scheme::Https => "https://",
        }
    }

    fn port(self) -> u16 {
        match self {
            Scheme::Http => 80,
            Scheme::Https => 443,
        }
    }
}

impl Url {
    /// Reads `http[s]://host[:port][/path]`.
    pub fn parse(text: &str) -> Result<Url, String> {
        let schemes = [Scheme::Http, Scheme::Https].into_iter();
        let mut found = schemes.filter_map(|one| Some((one, text.strip_prefix(one.prefix())?)));
        let (scheme, rest) = found.next().ok_or_else(|| {
            format!("`{text}` is no address: write it like `https://10.0.0.4:8080/health`")
        })?;
        let (authority, path) = match rest.find('/') {
            Some(at) => rest.split_at(at),
            None => (rest, "/"),
        };
        Url::of(scheme, authority, path)
    }

    /// Whose it is, without port and path.
    pub fn host(&self) -> &str {
        self.authority.rsplit_once(':').map_or(&self.authority, |(host, _)| host)
    }

    /// A path at a machine's address, in plain HTTP.
    pub fn new(authority: &str, path: &str) -> Result<Url, String> {
        Url::of(Scheme::Http, authority, path)
    }

    fn of(scheme: Scheme, authority: &str, path: &str) -> Result<Url, String> {
        let is_printable = |text: &str| text.chars().all(|c| c.is_ascii_graphic());
        let host = authority.rsplit_once(':').map_or(authority, |(host, _)| host);
        if host.is_empty() || !is_printable(authority) || !is_printable(path) {
            return Err(format!("`{}{authority}{path}` is no address", scheme.prefix()));
        }
        let has_port =
            authority.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
        let authority =
            if has_port { authority.to_owned() } else { format!("{authority}:{}", scheme.port()) };
        Ok(Url { scheme, authority, path: path.to_owned() })
    }
}

impl std::fmt::Display for Url {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}{}{}", self.scheme.prefix(), self.authority, self.path)
    }
}

/// What to do at an address.
#[derive(Clone, Debug)]
pub enum Ask {
    /// Read it.
    Get,
    /// Send it this JSON.
    Post(String),
}

/// Sends one request and returns the answer's status, waiting for `patience` at most. Redirects are
/// answers like any other; nothing goes through a proxy.
pub async fn request(ask: Ask, url: &Url, patience: Duration) -> Result<u16, String> {
    let target = url.to_string();
    let asked = tokio::task::spawn_blocking(move || {
        let answer = match ask {
            Ask::Get => {
                let request = agent().get(&target).config().timeout_global(Some(patience));
                request.build().call()
            }
            Ask::Post(body) => {
                let request = agent().post(&target).config().timeout_global(Some(patience));
                request.build().content_type("application/json").send(body)
            }
        };
        answer.map(|answer| answer.status().as_u16()).map_err(|error| format!("{target}: {error}"))
    });
    asked.await.unwrap_or_else(|_| Err(format!("{url}: nobody waited for the answer")))
}

/// Trusts what this computer trusts: its own store of certificates, or the file that `SSL_CERT_FILE`
/// names. Connections are not kept: a probe has to see whether a new one is accepted.
fn agent() -> &'static Agent {
    static AGENT: OnceLock<Agent> = OnceLock::new();
    AGENT.get_or_init(|| {
        let tls = TlsConfig::builder().root_certs(RootCerts::PlatformVerifier).build();
        let config = Agent::config_builder()
            .tls_config(tls)
            .http_status_as_error(false)
            .max_redirects(0)
            .max_idle_connections(0)
            .proxy(None)
            .user_agent("homing")
            .build();
        config.into()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_of_the_web() {
        let shown = |text: &str| Url::parse(text).unwrap().to_string();
        assert_eq!(shown("http://10.0.0.4"), "http://10.0.0.4:80/");
        assert_eq!(shown("https://db"), "https://db:443/");
        assert_eq!(shown("https://db:8080/health"), "https://db:8080/health");
        for bad in ["ftp://db", "db:80", "http://", "https://:443/", "http://a b/"] {
            assert!(Url::parse(bad).is_err(), "{bad}");
        }
    }
}
