//! The proxy on the way to an API server, chosen as `kubectl` chooses it.
//!
//! The library compares `NO_PROXY` with the address of the proxy instead of the server's, and refuses lists that others
//! accept: <https://pkg.go.dev/golang.org/x/net/http/httpproxy#Config> has the rules.

use std::net::IpAddr;

use http::Uri;
use hyper_util::client::proxy::matcher::Matcher;

/// Returns the proxy to a server: that of the kubeconfig, or else that of the environment's variables, unless the server
/// is on this machine or in `NO_PROXY`.
///
/// # Errors
/// The URL, if it is not one of a proxy of a supported kind.
pub(super) fn proxy(
    of_kubeconfig: Option<&str>,
    server: &Uri,
    variable: impl Fn(&str) -> Option<String>,
) -> Result<Option<Uri>, String> {
    // Empty variables are unset ones.
    let either = |names: [&str; 2]| {
        names.into_iter().filter_map(&variable).find(|value| !value.trim().is_empty())
    };
    let named = match of_kubeconfig.filter(|url| !url.is_empty()) {
        Some(url) => Some(url.to_owned()),
        None if is_here(server) => None,
        None => {
            let is_http = server.scheme_str() == Some("http");
            let names =
                if is_http { ["HTTP_PROXY", "http_proxy"] } else { ["HTTPS_PROXY", "https_proxy"] };
            let excepted = either(["NO_PROXY", "no_proxy"]).unwrap_or_default();
            either(names).filter(|_| !is_excepted(server, &excepted))
        }
    };
    named.map(|url| parse(url.trim())).transpose()
}

fn parse(url: &str) -> Result<Uri, String> {
    let whole = if url.contains("://") { url.to_owned() } else { format!("http://{url}") };
    // The library lets any SOCKS proxy resolve names, which is what the `h` asks for.
    let whole = whole.replacen("socks5h://", "socks5://", 1);
    let is_known = |uri: &Uri| {
        matches!(uri.scheme_str(), Some("http" | "https" | "socks5")) && uri.host().is_some()
    };
    whole.parse().ok().filter(is_known).ok_or_else(|| url.to_owned())
}

/// Returns the URL of a proxy without its login.
pub(super) fn without_login(proxy: &Uri) -> String {
    let scheme = proxy.scheme_str().unwrap_or_default();
    let authority = proxy.authority().map(http::uri::Authority::as_str).unwrap_or_default();
    let host = authority.rsplit('@').next().unwrap_or_default();
    format!("{scheme}://{host}")
}

fn is_here(server: &Uri) -> bool {
    let host = server.host().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse().is_ok_and(|address: IpAddr| address.is_loopback())
}

fn is_excepted(server: &Uri, list: &str) -> bool {
    let default = if server.scheme_str() == Some("http") { 80 } else { 443 };
    let port = server.port_u16().unwrap_or(default);
    let entries = list.split(',').map(str::trim).filter_map(|entry| match entry.rsplit_once(':') {
        // Except for a port only; an IPv6 address without one has several colons.
        Some((host, digits)) if !host.contains(':') || host.ends_with(']') => {
            (digits.parse() == Ok(port)).then_some(host)
        }
        _ => Some(entry),
    });
    let entries = entries.map(|entry| entry.trim_start_matches("*.").trim_matches(['[', ']']));
    let list = entries.collect::<Vec<_>>().join(",");
    Matcher::builder().all("http://proxy").no(list).build().intercept(server).is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(own: Option<&str>, server: &str, variables: &[(&str, &str)]) -> Option<String> {
        let variable = |name: &str| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        let proxy = proxy(own, &server.parse().unwrap(), variable).unwrap();
        proxy.map(|uri| uri.to_string().trim_end_matches('/').to_owned())
    }

    const FAR: &str = "https://api.far.example:6443";

    #[test]
    fn the_proxy_of_the_scheme_is_used() {
        let both = [("HTTPS_PROXY", "http://tls:1"), ("http_proxy", "plain:2")];
        assert_eq!(chosen(None, FAR, &both).unwrap(), "http://tls:1");
        assert_eq!(chosen(None, "http://far.example", &both).unwrap(), "http://plain:2");
        assert_eq!(chosen(None, FAR, &[]), None);
        assert_eq!(chosen(None, FAR, &[("ALL_PROXY", "http://all:1")]), None, "as kubectl");
        let empty = [("HTTPS_PROXY", ""), ("https_proxy", "socks5h://cook@socks:1080")];
        assert_eq!(chosen(None, FAR, &empty).unwrap(), "socks5://cook@socks:1080");
    }

    #[test]
    fn the_proxy_of_the_kubeconfig_counts_before_all_variables() {
        let variables = [("HTTPS_PROXY", "http://other:1"), ("NO_PROXY", "*")];
        let own = Some("http://own:3128");
        assert_eq!(chosen(own, FAR, &variables).unwrap(), "http://own:3128");
        assert_eq!(chosen(own, "https://127.0.0.1:6443", &[]).unwrap(), "http://own:3128");
        assert_eq!(chosen(Some(""), FAR, &[]), None);
    }

    #[test]
    fn this_machine_needs_no_proxy() {
        let variables = [("HTTPS_PROXY", "http://proxy:1"), ("HTTP_PROXY", "http://proxy:1")];
        for here in ["https://127.0.0.1:6443", "https://[::1]:6443", "http://localhost:8080"] {
            assert_eq!(chosen(None, here, &variables), None, "{here}");
        }
        assert!(chosen(None, "https://localhost.far.example", &variables).is_some());
    }

    #[test]
    fn excepted_servers_need_no_proxy() {
        let excepted = |server: &str, list: &str| {
            chosen(None, server, &[("HTTPS_PROXY", "http://proxy:1"), ("no_proxy", list)]).is_none()
        };
        let lists = [
            "*",
            "far.example",
            ".far.example",
            "*.far.example",
            "api.far.example:6443",
            "near.example, api.far.example,",
        ];
        for list in lists {
            assert!(excepted(FAR, list), "{list}");
        }
        for list in ["", ",", "proxy", "api.far.example:443", "ar.example", "<local>,10.0.0.0/33"] {
            assert!(!excepted(FAR, list), "{list}");
        }
        assert!(excepted("https://10.1.2.3:6443", "10.0.0.0/8"));
        assert!(excepted("https://10.1.2.3", "192.168.0.1,10.1.2.3:443"));
        assert!(excepted("https://[fd00::7]:6443", "fd00::/8"));
        assert!(excepted("https://[fd00::7]:6443", "[fd00::7]:6443"));
        assert!(!excepted("https://10.1.2.3:6443", "10.1.2.4,11.0.0.0/8"));
    }

    #[test]
    fn what_is_no_proxy_is_named() {
        let none = |url: &str| proxy(Some(url), &FAR.parse().unwrap(), |_| None).unwrap_err();
        assert_eq!(none("ftp://proxy:21"), "ftp://proxy:21");
        assert_eq!(none("http://"), "http://");
        assert_eq!(without_login(&"http://cook:secret@proxy:1".parse().unwrap()), "http://proxy:1");
    }
}
