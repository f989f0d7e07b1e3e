//! Keeps foreign web pages out.
//!
//! A browser sends requests of any page to any address it is told, so "only loopback may connect" does not mean "only
//! this machine's user may". Two rules close the gap:
//! * the node answers only under names it knows (`Host`), or a page could rebind its own name to 127.0.0.1 and read answers;
//! * what changes things must come from the node's own page or from no page at all (`Origin`).

use std::net::IpAddr;

use axum::{
    extract::{Request, State},
    http::{HeaderMap, Method, Uri, header, uri::Authority},
    middleware::Next,
    response::{IntoResponse, Response},
};
use model::{Error, Result, error::codes};

use crate::{app::Shared, error::Failure};

pub(crate) async fn guard(State(app): State<Shared>, request: Request, next: Next) -> Response {
    match check(request.method(), request.uri(), request.headers(), &app.hosts) {
        Ok(()) => next.run(request).await,
        Err(error) => Failure(error).into_response(),
    }
}

fn check(method: &Method, uri: &Uri, headers: &HeaderMap, hosts: &[String]) -> Result<()> {
    let text = |name| headers.get(name).map(|value| value.to_str().unwrap_or("\u{fffd}"));
    let host = uri.authority().cloned().or_else(|| text(header::HOST)?.parse().ok());
    // HTTP/1.0 has no Host; browsers have not spoken it for decades.
    if (host.is_some() || headers.contains_key(header::HOST)) && !host.as_ref().is_some_and(|h| is_ours(h, hosts)) {
        let shown = host.map_or_else(|| "an unreadable name".to_owned(), |h| format!("`{h}`"));
        return Err(refused(format!("the request was sent to {shown}")));
    }
    if method.is_safe() {
        return Ok(());
    }
    if let Some(origin) = text(header::ORIGIN) {
        let from: Option<Authority> = origin.split_once("://").and_then(|(_, rest)| rest.parse().ok());
        if from.is_none() || from != host {
            return Err(refused(format!("the request comes from the page `{}`", origin.escape_debug())));
        }
    } else if text(header::HeaderName::from_static("sec-fetch-site"))
        .is_some_and(|site| site != "same-origin" && site != "none")
    {
        return Err(refused("the request comes from another page".to_owned()));
    }
    Ok(())
}

fn is_ours(authority: &Authority, hosts: &[String]) -> bool {
    let host = authority.host();
    let address: Option<IpAddr> = host.trim_start_matches('[').trim_end_matches(']').parse().ok();
    address.is_some_and(|a| a.is_loopback())
        || host.eq_ignore_ascii_case("localhost")
        || hosts.iter().any(|known| known.eq_ignore_ascii_case(host))
}

fn refused(why: String) -> Error {
    Error::new(codes::HTTP_ORIGIN_REFUSED, "this request is refused to protect the node from foreign web pages")
        .detail(why)
        .hint("use the address the node printed, such as http://127.0.0.1:8080")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(method: Method, headers: &[(&'static str, &str)]) -> bool {
        let map =
            headers.iter().map(|(k, v)| (header::HeaderName::from_static(k), v.parse().expect("a value"))).collect();
        check(&method, &Uri::from_static("/sql"), &map, &["lake.example".to_owned()]).is_ok()
    }

    #[test]
    fn only_known_names_are_answered() {
        for host in ["127.0.0.1:8080", "localhost:8080", "LOCALHOST", "[::1]:8080", "lake.example:80", "127.9.9.9"] {
            assert!(verdict(Method::GET, &[("host", host)]), "{host}");
        }
        for host in ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example:8080", "10.0.0.1", "", "a b"] {
            assert!(!verdict(Method::GET, &[("host", host)]), "{host}");
        }
        assert!(verdict(Method::GET, &[]));
    }

    #[test]
    fn other_pages_cannot_change_anything() {
        let host = ("host", "localhost:8080");
        assert!(verdict(Method::POST, &[host]));
        assert!(verdict(Method::POST, &[host, ("origin", "http://localhost:8080")]));
        assert!(!verdict(Method::POST, &[host, ("origin", "http://localhost:3000")]));
        assert!(!verdict(Method::POST, &[host, ("origin", "https://evil.example")]));
        assert!(!verdict(Method::DELETE, &[host, ("origin", "null")]));
        assert!(!verdict(Method::POST, &[host, ("sec-fetch-site", "cross-site")]));
        assert!(verdict(Method::POST, &[host, ("sec-fetch-site", "same-origin")]));
    }
}
