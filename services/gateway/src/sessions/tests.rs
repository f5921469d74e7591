use axum::body::Body;

use super::*;

fn request(method: &str, headers: &[(&'static str, &str)]) -> Request {
    let mut request = Request::builder().method(method).uri("/v1/orders");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(Body::empty()).unwrap()
}

fn site(host: &str, public: Option<&str>) -> Option<Site> {
    let public = public.map(|url| url.parse().unwrap());
    Site::of(&request("GET", &[("host", host)]), public.as_ref())
}

#[test]
fn the_gateway_goes_by_the_names_of_its_machine_and_by_its_public_one() {
    for host in ["localhost:7373", "LOCALHOST", "127.0.0.1:7373", "[::1]:80"] {
        assert!(site(host, None).is_some(), "{host}");
    }
    for host in [
        "chefcito.example.com",
        "localhost.example.com:7373",
        "127.0.0.1.example.com",
        "user@localhost",
        "10.0.0.1:7373",
        "0.0.0.0:7373",
        "",
        " ",
    ] {
        assert_eq!(site(host, None), None, "{host}");
    }
    let public = Some("https://chefcito.example.com");
    let found = site("Chefcito.example.com", public).unwrap();
    assert_eq!(found.origin(), "https://chefcito.example.com");
    assert_eq!(site("chefcito.example.com:8443", public), None);
    let two = request("GET", &[("host", "localhost"), ("host", "localhost")]);
    assert_eq!(Site::of(&two, None), None);
}

#[test]
fn only_a_page_of_the_very_same_origin_asks_in_the_users_name() {
    let here = site("127.0.0.1:7373", None).unwrap();
    let may = |method: Method, headers: &[(&'static str, &str)]| {
        here.is_origin_of(&method, request("GET", headers).headers())
    };
    let own = ("origin", "http://127.0.0.1:7373");
    assert!(may(Method::POST, &[own]));
    assert!(may(Method::GET, &[]), "browsers do not name the origin then");
    assert!(may(Method::GET, &[("sec-fetch-site", "same-origin")]));
    assert!(may(Method::GET, &[("sec-fetch-site", "none")]), "typed by the user");
    for other in [
        "http://127.0.0.1:7374",
        "http://localhost:7373",
        "https://127.0.0.1:7373",
        "http://127.0.0.1",
        "http://127.0.0.1:7373.example.com",
        "null",
        "",
    ] {
        assert!(!may(Method::GET, &[("origin", other)]), "{other}");
        assert!(!may(Method::POST, &[("origin", other)]), "{other}");
    }
    assert!(!may(Method::POST, &[own, own]));
    assert!(!may(Method::POST, &[]), "browsers name the origin then");
    assert!(!may(Method::POST, &[("sec-fetch-site", "same-origin")]));
    let upgrade = ("upgrade", "websocket");
    assert!(may(Method::GET, &[upgrade, own]));
    assert!(!may(Method::GET, &[upgrade]), "browsers name the origin then");
    for elsewhere in ["same-site", "cross-site"] {
        assert!(!may(Method::GET, &[("sec-fetch-site", elsewhere)]), "{elsewhere}");
    }
}

#[test]
fn a_cookie_is_for_one_port_and_secure_where_it_can_be() {
    let said = |site: &Site| site.cookie("cfk_a_b").unwrap().to_str().unwrap().to_owned();
    insta::assert_snapshot!(said(&site("localhost:7373", None).unwrap()), @"chefcito-7373=cfk_a_b; Path=/; Max-Age=43200; HttpOnly; SameSite=Strict");
    let public = site("chefcito.example.com", Some("https://chefcito.example.com")).unwrap();
    insta::assert_snapshot!(said(&public), @"__Host-chefcito-443=cfk_a_b; Path=/; Max-Age=43200; HttpOnly; SameSite=Strict; Secure");
    insta::assert_snapshot!(public.no_cookie().unwrap().to_str().unwrap(), @"__Host-chefcito-443=; Path=/; Max-Age=0; HttpOnly; SameSite=Strict; Secure");
}

#[test]
fn a_key_counts_more_than_a_cookie_and_a_cookie_of_another_port_is_none() {
    let (key, session) = (crate::new_key().unwrap(), crate::new_key().unwrap());
    let (bearer, cookie) = (format!("Bearer {key}"), format!("a=b; chefcito-7373={session}"));
    let host = ("host", "localhost:7373");
    let cookie = ("cookie", cookie.as_str());
    let shown = |headers: &[(&'static str, &str)]| {
        let request = request("GET", headers);
        format!("{:?}", Shown::by(&request, None)).chars().take(7).collect::<String>()
    };
    assert_eq!(shown(&[host, cookie, ("authorization", &bearer)]), "Key(cfk");
    assert_eq!(shown(&[host, cookie]), "Session");
    assert_eq!(shown(&[host, cookie, ("origin", "http://localhost:1")]), "Foreign");
    assert_eq!(shown(&[("host", "localhost:7374"), cookie]), "Nothing");
    assert_eq!(shown(&[("host", "rebound.example.com:7373"), cookie]), "Nothing");
    assert_eq!(shown(&[host, cookie, ("authorization", "Basic x")]), "Nothing");
}

#[test]
fn a_public_address_is_an_origin_and_nothing_more() {
    for good in ["https://chefcito.example.com", "http://10.0.0.1:8080/"] {
        assert!(good.parse::<PublicUrl>().is_ok(), "{good}");
    }
    for (text, host) in
        [("https://a.example:443", "a.example"), ("http://a.example:80/", "a.example")]
    {
        assert!(site(host, Some(text)).is_some(), "{text}");
    }
    for bad in ["", "chefcito.example.com", "ftp://a", "https://a/b", "https://u@a", "/x"] {
        assert_eq!(bad.parse::<PublicUrl>(), Err(ParsePublicUrlError), "{bad}");
    }
}
