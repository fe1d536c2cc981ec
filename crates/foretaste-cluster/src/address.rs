//! Where a scheduler listens, and what it says of itself before anything is sent to it.

use std::time::Duration;

use ballista_core::BALLISTA_VERSION;
use datafusion::DATAFUSION_VERSION;
use foretaste_core::{Error, ErrorKind, Result};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// The port of an address that names none.
const USUAL_PORT: u16 = 50_050;
/// How long a scheduler may take to say whether it is ready.
const PATIENCE: Duration = Duration::from_secs(5);
/// Most bytes of its answer.
const ANSWER_BYTES: u64 = 16 << 10;

/// The address of a scheduler: `df://host:port`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    host: String,
    port: u16,
}

impl Address {
    /// Reads `df://host:port`; without a port, 50050.
    ///
    /// # Errors
    /// `Config` for anything else.
    pub fn parse(url: &str) -> Result<Self> {
        let wrong = || {
            let text = format!("{url:?} is no address of a scheduler; write df://host:50050");
            Error::new(ErrorKind::Config, text)
        };
        let rest = url.strip_prefix("df://").ok_or_else(wrong)?.trim_end_matches('/');
        let (host, port) = match rest.rsplit_once(':') {
            // The last part of an IPv6 address is no port.
            Some((host, port)) if !port.ends_with(']') => {
                (host, port.parse().map_err(|_| wrong())?)
            }
            _ => (rest, USUAL_PORT),
        };
        if host.is_empty() || host.contains(['/', '@', ' ']) {
            return Err(wrong());
        }
        Ok(Self { host: host.to_owned(), port })
    }

    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// As clients of gRPC write it.
    pub(crate) fn http(&self) -> String {
        format!("http://{}:{}", self.host, self.port)
    }

    /// Whether a scheduler of our versions answers, and whether it has executors.
    ///
    /// # Errors
    /// `Unavailable` when nobody answers, `Unsupported` when it is no scheduler of our versions.
    pub(crate) async fn greet(&self) -> Result<bool> {
        let asked = timeout(PATIENCE, self.ask()).await;
        let answer = asked.unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into()));
        let answer = answer.map_err(|e| {
            let text = format!(
                "no scheduler answers at {self}; start one with `foretaste cluster scheduler`, or \
                 correct features.engine.cluster"
            );
            Error::new(ErrorKind::Unavailable, text).with_source(e)
        })?;
        let (status, headers) = answer.split_once("\r\n").unwrap_or((&answer, ""));
        self.check_versions(headers)?;
        Ok(status.contains(" 200"))
    }

    async fn ask(&self) -> std::io::Result<String> {
        let mut stream = TcpStream::connect(format!("{}:{}", self.host, self.port)).await?;
        let host = format!("{}:{}", self.host, self.port);
        let request = format!("GET /readyz HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        stream.take(ANSWER_BYTES).read_to_end(&mut answer).await?;
        Ok(String::from_utf8_lossy(&answer).into_owned())
    }

    fn check_versions(&self, headers: &str) -> Result<()> {
        let value = |name: &str| {
            let fields = headers.lines().filter_map(|line| line.split_once(':'));
            let mut named = fields.filter(|(n, _)| n.trim().eq_ignore_ascii_case(name));
            named.next().map(|(_, value)| value.trim().to_owned())
        };
        let ours =
            [format!("ballista/{BALLISTA_VERSION}"), format!("datafusion/{DATAFUSION_VERSION}")];
        let theirs = [value("server"), value("x-powered-by")];
        if theirs.iter().zip(&ours).all(|(theirs, ours)| theirs.as_ref() == Some(ours)) {
            return Ok(());
        }
        let theirs = theirs.map(|version| version.unwrap_or_else(|| "an unknown version".into()));
        let text = format!(
            "{self} runs {}, this program {}; run one version of foretaste everywhere",
            theirs.join(" and "),
            ours.join(" and ")
        );
        Err(Error::new(ErrorKind::Unsupported, text))
    }
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "df://{}:{}", self.host, self.port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_or_refused() {
        let shown = |url| Address::parse(url).map(|a| a.to_string()).map_err(|e| e.kind());
        assert_eq!(shown("df://node-1:7000").unwrap(), "df://node-1:7000");
        assert_eq!(shown("df://node-1/").unwrap(), "df://node-1:50050");
        assert_eq!(shown("df://[::1]").unwrap(), "df://[::1]:50050");
        assert_eq!(shown("df://[::1]:7").unwrap(), "df://[::1]:7");
        for url in ["", "df://", "df://:1", "node:1", "http://node:1", "df://node:x", "df://a/b:1"]
        {
            assert_eq!(shown(url), Err(ErrorKind::Config), "{url}");
        }
    }

    /// Answers one connection with `text`.
    async fn answering(text: String) -> Address {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 1 << 10];
            assert!(stream.read(&mut request).await.unwrap() > 0);
            stream.write_all(text.as_bytes()).await.unwrap();
        });
        Address { host: "127.0.0.1".to_owned(), port }
    }

    #[tokio::test]
    async fn other_versions_are_refused_by_name() {
        let answer = |status: &str, ballista: &str, datafusion: &str| {
            let server = format!("Server: ballista/{ballista}\r\n");
            let engine = format!("x-powered-by: datafusion/{datafusion}\r\n");
            format!("HTTP/1.1 {status}\r\n{server}{engine}content-length: 0\r\n\r\n")
        };
        let (ours, engine) = (BALLISTA_VERSION, DATAFUSION_VERSION);
        for (status, ready) in [("200 OK", true), ("503 Service Unavailable", false)] {
            let there = answering(answer(status, ours, engine)).await;
            assert_eq!(there.greet().await.unwrap(), ready);
        }
        for (ballista, datafusion) in [("54.0.0", engine), (ours, "55.1.0")] {
            let there = answering(answer("200 OK", ballista, datafusion)).await;
            let error = there.greet().await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unsupported);
            assert!(error.to_string().contains(&format!("ballista/{ballista} and")), "{error}");
        }
        let there = answering("HTTP/1.1 200 OK\r\n\r\n".to_owned()).await;
        let error = there.greet().await.unwrap_err();
        assert!(error.to_string().contains("an unknown version"), "{error}");
    }
}
