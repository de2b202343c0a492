//! One plain HTTP request: what checks and notifications need of the web, and no more.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Of an answer only its first line counts.
const ANSWER_BYTES_MAX: u64 = 4096;

/// A plain `http://` address, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url {
    /// `host:port`.
    authority: String,
    /// From the first `/`.
    path: String,
}

impl Url {
    /// Reads `http://host[:port][/path]`.
    pub fn parse(text: &str) -> Result<Url, String> {
        if text.starts_with("https://") {
            return Err(format!(
                "`{text}`: https is not supported yet; use http, or a port with `tcp`"
            ));
        }
        let rest = text.strip_prefix("http://").ok_or_else(|| {
            format!("`{text}` is no address: write it like `http://10.0.0.4:8080/health`")
        })?;
        let (authority, path) = match rest.find('/') {
            Some(at) => rest.split_at(at),
            None => (rest, "/"),
        };
        Url::new(authority, path)
    }

    /// A path at a machine's address.
    pub fn new(authority: &str, path: &str) -> Result<Url, String> {
        let is_printable = |text: &str| text.chars().all(|c| c.is_ascii_graphic());
        if authority.is_empty() || !is_printable(authority) || !is_printable(path) {
            return Err(format!("`http://{authority}{path}` is no address"));
        }
        let has_port =
            authority.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
        let authority = if has_port { authority.to_owned() } else { format!("{authority}:80") };
        Ok(Url { authority, path: path.to_owned() })
    }
}

impl std::fmt::Display for Url {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "http://{}{}", self.authority, self.path)
    }
}

/// Sends one request and returns the answer's status. The caller limits the time.
pub async fn request(method: &str, url: &Url, body: &str) -> Result<u16, String> {
    let failed = |error: std::io::Error| format!("{url}: {error}");
    let mut stream = TcpStream::connect(&url.authority).await.map_err(failed)?;
    let head = format!(
        "{method} {} HTTP/1.1\r\nHost: {}\r\nUser-Agent: homing\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        url.path,
        url.authority,
        body.len()
    );
    stream.write_all(head.as_bytes()).await.map_err(failed)?;
    stream.write_all(body.as_bytes()).await.map_err(failed)?;
    let mut answer = Vec::new();
    let mut stream = stream.take(ANSWER_BYTES_MAX);
    // The peer may reset the connection once it has answered: what came before counts.
    let read = stream.read_to_end(&mut answer).await;
    status(&answer).ok_or_else(|| match read {
        Err(error) => failed(error),
        Ok(_) => format!("{url}: the answer is no HTTP"),
    })
}

fn status(answer: &[u8]) -> Option<u16> {
    let line = answer.split(|byte| *byte == b'\r').next()?;
    let line = std::str::from_utf8(line).ok()?;
    line.strip_prefix("HTTP/1.")?.split(' ').nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_plain_http() {
        let shown = |text: &str| Url::parse(text).unwrap().to_string();
        assert_eq!(shown("http://10.0.0.4"), "http://10.0.0.4:80/");
        assert_eq!(shown("http://db:8080/health"), "http://db:8080/health");
        for bad in ["https://db", "db:80", "http://", "http://a b/"] {
            assert!(Url::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_status_is_read_from_the_first_line() {
        assert_eq!(status(b"HTTP/1.1 204 No Content\r\n\r\n"), Some(204));
        assert_eq!(status(b"SSH-2.0-OpenSSH\r\n"), None);
    }
}
