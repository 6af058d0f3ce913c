//! Requests to a responder and back, over plain HTTP: RFC 6960 appendix A, RFC 5019 §5.

use crate::card_commands::Refusal;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use chassis::client::{Client, ClientError, ClientLimits, Repeat, Reply};
use protocol::problem::ProblemCode;
use protocol::time::UnixSeconds;
use std::time::Duration;

/// Octets of an answer that are read. One with a chain of four RSA-4096 certificates has 8 kB.
pub(super) const RESPONSE_OCTETS_MAX: usize = 64 << 10;
/// Octets of an address up to which GET is for: RFC 5019 §5.
const GET_OCTETS_MAX: usize = 255;
const RESPONSE: &str = "application/ocsp-response";

/// Where a responder is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Responder {
    base: String,
    path: String,
}

/// What came back, by what way.
#[derive(Debug)]
pub(super) struct Carried {
    pub(super) method: &'static str,
    pub(super) response: Bytes,
    /// The `Date` header, and this machine's clock when it came.
    pub(super) date: Option<(UnixSeconds, UnixSeconds)>,
}

impl Responder {
    pub(super) fn parse(url: &str) -> Result<Self, &'static str> {
        let rest = url.strip_prefix("http://").ok_or("a responder's address begins with http://")?;
        if rest.contains('#') || !rest.is_ascii() {
            return Err("not an address");
        }
        let (host, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        Ok(Self { base: format!("http://{host}"), path })
    }

    /// The path of a GET, if it is short enough.
    fn get_path(&self, request: &[u8]) -> Option<String> {
        let encoded = STANDARD.encode(request).replace('+', "%2B").replace('/', "%2F").replace('=', "%3D");
        let path = format!("{}/{encoded}", self.path.trim_end_matches('/'));
        let whole = self.base.len() + path.len();
        (whole <= GET_OCTETS_MAX && !self.path.contains('?')).then_some(path)
    }

    /// Asks once, within `limit` altogether.
    pub(super) async fn carry(
        &self,
        request: &[u8],
        by_get: bool,
        limit: Duration,
    ) -> Result<Carried, Refusal> {
        let client = Client::plain(&self.base).map_err(|error| of_client(&error))?;
        let limits = ClientLimits {
            connect_timeout: limit,
            request_timeout: limit,
            reply_bytes_max: RESPONSE_OCTETS_MAX,
        };
        let client = client.with_limits(limits);
        let get = if by_get { self.get_path(request) } else { None };
        let method = if get.is_some() { "GET" } else { "POST" };
        let asked = async {
            match &get {
                Some(path) => client.get(path).await,
                None => {
                    let body = Bytes::copy_from_slice(request);
                    client.post(&self.path, "application/ocsp-request", body, Repeat::Unsent).await
                }
            }
        };
        let answered = tokio::time::timeout(limit, asked).await;
        let too_slow = |_| {
            let detail = format!("{}: {} ms", client.address(), limit.as_millis());
            Refusal::new(ProblemCode::ResponderTooSlow, detail)
        };
        let reply = answered.map_err(too_slow)?.map_err(|error| of_client(&error))?;
        let response = body_of(&client, &reply)?;
        let date = super::words::http_date(&reply.date).map(|date| (date, now()));
        Ok(Carried { method, response, date })
    }
}

fn now() -> UnixSeconds {
    use protocol::time::Clock as _;
    chassis::clock::SystemClock.now()
}

fn body_of(client: &Client, reply: &Reply) -> Result<Bytes, Refusal> {
    let unreadable = |what: String| {
        Refusal::new(ProblemCode::ResponderAnswerUnreadable, format!("{}: {what}", client.address()))
    };
    // Redirections are not followed: the certificate names the responder, not somebody on the way.
    if reply.status != 200 {
        return Err(unreadable(format!("HTTP {}", reply.status)));
    }
    let essence = reply.content_type.split(';').next().unwrap_or_default().trim();
    if !essence.eq_ignore_ascii_case(RESPONSE) {
        return Err(unreadable(format!("Content-Type {:?}, not {RESPONSE}", reply.content_type)));
    }
    Ok(reply.body.clone())
}

fn of_client(error: &ClientError) -> Refusal {
    let code = match error {
        ClientError::BadBaseUrl { .. } => ProblemCode::InputUnusable,
        ClientError::Timeout { .. } => ProblemCode::ResponderTooSlow,
        ClientError::Unreachable { .. } => ProblemCode::ResponderUnreachable,
        _ => ProblemCode::ResponderAnswerUnreadable,
    };
    Refusal::new(code, error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_split_into_server_and_path() {
        let split = |url: &str| Responder::parse(url).map(|found| (found.base, found.path));
        let pair = |base: &str, path: &str| Ok((base.to_owned(), path.to_owned()));
        assert_eq!(split("http://a.example"), pair("http://a.example", "/"));
        assert_eq!(split("http://a.example:80/x/y?z"), pair("http://a.example:80", "/x/y?z"));
        assert_eq!(split("http://a.example?z"), pair("http://a.example", "/?z"));
        for bad in ["https://a.example/", "a.example", "http://a.example/#x", "http://例.example/"] {
            assert!(Responder::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn get_is_for_short_requests_and_escapes_what_base64_has() {
        let responder = Responder::parse("http://a.example/ocsp/").unwrap();
        assert_eq!(responder.get_path(&[0xFB, 0xFF, 0xFE, 0x01]).unwrap(), "/ocsp/%2B%2F%2F%2BAQ%3D%3D");
        assert!(responder.get_path(&[0; 170]).is_some());
        assert!(responder.get_path(&[0; 180]).is_none());
        assert!(Responder::parse("http://a.example/?x").unwrap().get_path(&[0; 9]).is_none());
    }
}
