//! Where requests go: a plain HTTP address, resolved once.

use std::net::{SocketAddr, ToSocketAddrs};

use foretaste_core::{Error, ErrorKind, Result};

/// A server to send requests to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// As it was given.
    pub url: String,
    /// What the `host` header says.
    pub host: String,
    /// What stands before every path; empty or `/like/this`.
    pub base: String,
    /// Where to connect.
    pub address: SocketAddr,
}

impl Target {
    /// Reads `http://HOST[:PORT][/BASE]` and looks the host up.
    ///
    /// # Errors
    /// `Config` for anything else, `Unavailable` for a host that has no address.
    pub fn parse(url: &str) -> Result<Self> {
        let wrong = |why: &str| Error::new(ErrorKind::Config, format!("target `{url}`: {why}"));
        if url.starts_with("https://") {
            return Err(wrong(
                "TLS is not spoken; give the plain HTTP address behind whatever ends TLS",
            ));
        }
        let rest = url.strip_prefix("http://").unwrap_or(url);
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let is_plain = |text: &str| text.bytes().all(|c| (33..127).contains(&c));
        if authority.is_empty() || rest.contains("://") || authority.contains('@') {
            return Err(wrong("expected http://HOST[:PORT][/BASE]"));
        }
        if !is_plain(rest) || rest.contains(['?', '#']) {
            return Err(wrong("expected http://HOST[:PORT][/BASE] without spaces, ? and #"));
        }
        let has_port = authority.rsplit(']').next().is_some_and(|tail| tail.contains(':'));
        let full = if has_port { authority.to_owned() } else { format!("{authority}:80") };
        let mut found = full.to_socket_addrs().map_err(|error| {
            let text = format!("target `{url}`: the host has no address");
            Error::new(ErrorKind::Unavailable, text).with_source(error)
        })?;
        let address = found.next().ok_or_else(|| wrong("the host has no address"))?;
        let base = path.trim_end_matches('/').to_owned();
        Ok(Self { url: url.to_owned(), host: authority.to_owned(), base, address })
    }

    /// Whether the server shares this machine.
    pub fn is_local(&self) -> bool {
        self.address.ip().is_loopback()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn reads(url: &str, host: &str, base: &str, address: &str) {
        let target = Target::parse(url).unwrap();
        assert_eq!((target.host.as_str(), target.base.as_str()), (host, base));
        assert_eq!(target.address.to_string(), address);
    }

    #[test]
    fn addresses_are_read_with_and_without_their_parts() {
        reads("http://127.0.0.1:8080", "127.0.0.1:8080", "", "127.0.0.1:8080");
        reads("http://127.0.0.1:8080/", "127.0.0.1:8080", "", "127.0.0.1:8080");
        reads("127.0.0.1/shop/", "127.0.0.1", "/shop", "127.0.0.1:80");
        reads("http://[::1]:9/a/b", "[::1]:9", "/a/b", "[::1]:9");
        reads("http://[::1]", "[::1]", "", "[::1]:80");
    }

    #[test]
    fn other_addresses_are_refused_with_what_to_do() {
        for (url, why) in [
            ("https://example.org", "TLS is not spoken"),
            ("ftp://127.0.0.1", "expected http://"),
            ("http://", "expected http://"),
            ("http://u:p@127.0.0.1", "expected http://"),
            ("http://127.0.0.1/a?b=c", "without spaces"),
            ("http://127.0.0.1/a b", "without spaces"),
        ] {
            let error = Target::parse(url).expect_err(url);
            assert!(error.to_string().contains(why), "{error}");
            assert_eq!(error.kind(), ErrorKind::Config);
        }
    }
}
