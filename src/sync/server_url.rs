//! The address of a team server: whatever is sent to it carries a token, so it is https, or it stays on this machine.

use std::fmt;
use std::net::IpAddr;
use ureq::http::Uri;

/// The most characters of an address.
const LONGEST: usize = 2048;

/// The address of a team server, without a slash at its end: `https://team.example`.
///
/// `http` is taken for a loopback address and for `localhost` only. There is no user, no query and no fragment in it.
#[derive(Clone, PartialEq, Eq)]
pub struct ServerUrl {
    secure: bool,
    /// Host, and port where one was given.
    authority: String,
    /// What stands before every path; empty, or begins with a slash and ends without one.
    prefix: String,
}

/// Why a text is no address of a team server. The text itself is not told: a password may stand in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InvalidServerUrl {
    /// It is no `https://host[:port][/path]` at all.
    Form,
    /// `http` to a host that is not this machine.
    Insecure,
    /// A user or password stands before the host.
    User,
    /// It has a query or a fragment.
    Query,
}

impl fmt::Display for InvalidServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            InvalidServerUrl::Form => "it is no address of a server; one looks like https://team.example",
            InvalidServerUrl::Insecure => {
                "a token would cross the network in the clear; use https:// (http:// is for localhost only)"
            }
            InvalidServerUrl::User => {
                "there is a user in it; leave out what stands before the @, and hand over a token"
            }
            InvalidServerUrl::Query => "it has a query or a fragment; leave out what begins with ? or #",
        })
    }
}

impl std::error::Error for InvalidServerUrl {}

impl ServerUrl {
    /// Reads an address; slashes at its end are dropped.
    ///
    /// # Errors
    /// It is not one that a token may be sent to.
    pub fn parse(text: &str) -> Result<Self, InvalidServerUrl> {
        // `Uri` would drop a fragment in silence.
        if text.contains(['?', '#']) {
            return Err(InvalidServerUrl::Query);
        }
        if text.len() > LONGEST {
            return Err(InvalidServerUrl::Form);
        }
        let uri: Uri = text.parse().map_err(|_| InvalidServerUrl::Form)?;
        let secure = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(InvalidServerUrl::Form),
        };
        let authority = uri.authority().ok_or(InvalidServerUrl::Form)?.as_str();
        if authority.contains('@') {
            return Err(InvalidServerUrl::User);
        }
        let host = uri.host().filter(|host| is_host(host)).ok_or(InvalidServerUrl::Form)?.to_ascii_lowercase();
        let port = match authority[host.len()..].strip_prefix(':') {
            None if authority.len() == host.len() => String::new(),
            Some(digits) if digits.parse().is_ok_and(|port: u16| port != 0) => format!(":{digits}"),
            _ => return Err(InvalidServerUrl::Form),
        };
        if !secure && !is_this_machine(&host) {
            return Err(InvalidServerUrl::Insecure);
        }
        let prefix = uri.path().trim_end_matches('/').to_owned();
        Ok(ServerUrl { secure, authority: format!("{host}{port}"), prefix })
    }

    /// Where to send an HTTP request for `path`, which begins with a slash.
    pub fn endpoint(&self, path: &str) -> String {
        format!("{self}{path}")
    }

    /// Where to open a WebSocket for `path`, which begins with a slash.
    pub fn websocket(&self, path: &str) -> String {
        let scheme = if self.secure { "wss" } else { "ws" };
        format!("{scheme}://{}{}{path}", self.authority, self.prefix)
    }

    /// Host and port to connect to; the host of an IPv6 address without its brackets.
    pub fn host_and_port(&self) -> (&str, u16) {
        let default = if self.secure { 443 } else { 80 };
        let (host, port) = match self.authority.rsplit_once(':') {
            Some((host, digits)) if !digits.ends_with(']') => (host, digits.parse().unwrap_or(default)),
            _ => (self.authority.as_str(), default),
        };
        (host.trim_start_matches('[').trim_end_matches(']'), port)
    }
}

impl fmt::Display for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.secure { "https" } else { "http" };
        write!(f, "{scheme}://{}{}", self.authority, self.prefix)
    }
}

impl fmt::Debug for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A name, an IPv4 address, or an IPv6 address in brackets.
fn is_host(host: &str) -> bool {
    let inside = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    match inside {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => {
            let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
            !host.is_empty() && !host.starts_with(['.', '-']) && host.bytes().all(allowed)
        }
    }
}

/// `host` in lower case.
fn is_this_machine(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || address.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn makes_the_addresses_of_both_ways_out() {
        for (text, http, live, host) in [
            ("https://team.example", "https://team.example/p/", "wss://team.example/p/", ("team.example", 443)),
            ("https://Team.Example/", "https://team.example/p/", "wss://team.example/p/", ("team.example", 443)),
            (
                "HTTPS://t.example:8443/a/b//",
                "https://t.example:8443/a/b/p/",
                "wss://t.example:8443/a/b/p/",
                ("t.example", 8443),
            ),
            ("http://localhost:8787", "http://localhost:8787/p/", "ws://localhost:8787/p/", ("localhost", 8787)),
            ("http://127.9.0.1", "http://127.9.0.1/p/", "ws://127.9.0.1/p/", ("127.9.0.1", 80)),
            ("http://[::1]:1", "http://[::1]:1/p/", "ws://[::1]:1/p/", ("::1", 1)),
            ("https://[2001:db8::1]", "https://[2001:db8::1]/p/", "wss://[2001:db8::1]/p/", ("2001:db8::1", 443)),
        ] {
            let url = ServerUrl::parse(text).unwrap_or_else(|why| panic!("{text}: {why}"));
            assert_eq!((url.endpoint("/p/").as_str(), url.websocket("/p/").as_str()), (http, live));
            assert_eq!(url.host_and_port(), host);
            assert_eq!(ServerUrl::parse(&url.to_string()), Ok(url));
        }
    }

    #[test]
    fn a_token_is_sent_over_tls_or_not_away() {
        use InvalidServerUrl::{Form, Insecure, Query, User};
        for (text, why) in [
            ("http://team.example", Insecure),
            ("http://127.0.0.1.example", Insecure),
            ("http://10.0.0.1:80", Insecure),
            ("http://0.0.0.0", Insecure),
            ("http://localhost.example", Insecure),
            ("http://[::ffff:10.0.0.1]", Insecure),
            ("http://localhost@team.example", User),
            ("https://me:secret@team.example", User),
            ("https://team.example?x", Query),
            ("https://team.example/#x", Query),
            ("", Form),
            ("team.example", Form),
            ("/tmp/socket", Form),
            ("ftp://team.example", Form),
            ("wss://team.example", Form),
            ("https://", Form),
            ("https:///path", Form),
            ("https://team.example:", Form),
            ("https://team.example:0", Form),
            ("https://team.example:99999", Form),
            ("https://team example", Form),
            ("https://team.example\n", Form),
            ("https://[::1", Form),
            ("https://-x", Form),
        ] {
            assert_eq!(ServerUrl::parse(text), Err(why), "{text:?}");
        }
        assert_eq!(ServerUrl::parse(&format!("https://t.example/{}", "a".repeat(LONGEST))), Err(Form));
    }
}
