//! Browsers: a link signs in once, a cookie counts for the page alone, and a session ends.

use std::{sync::Arc, time::Duration};

use axum::{
    body::Body,
    extract::Request,
    http::{Method, StatusCode, header},
};
use contracts::{
    Timestamp,
    api::gateway::{Keys, Role, Session, SignInLink},
};
use gateway::Config;
use serde_json::{Value, json};
use store::Clock;
use tokio::time::timeout;

use crate::stage::{Got, Stage, config, echoes};

const HOST: &str = "127.0.0.1:7373";
const ORIGIN: &str = "http://127.0.0.1:7373";

/// What a browser sends.
#[derive(Clone, Copy)]
struct Sent<'a> {
    method: &'a str,
    path: &'a str,
    host: &'a str,
    origin: Option<&'a str>,
    cookie: Option<&'a str>,
    body: &'a Value,
}

impl Default for Sent<'_> {
    fn default() -> Self {
        Self {
            method: "GET",
            path: "/v1/session",
            host: HOST,
            origin: None,
            cookie: None,
            body: &Value::Null,
        }
    }
}

async fn send(stage: &Stage, sent: Sent<'_>) -> Got {
    let mut request =
        Request::builder().method(sent.method).uri(sent.path).header(header::HOST, sent.host);
    if let Some(origin) = sent.origin {
        request = request.header(header::ORIGIN, origin);
    }
    if let Some(cookie) = sent.cookie {
        request = request.header(header::COOKIE, cookie);
    }
    let body = if sent.body.is_null() { Body::empty() } else { sent.body.to_string().into() };
    stage.send(request.body(body).unwrap()).await
}

/// Makes a link with a key, and returns its token.
async fn token(stage: &Stage, key: &str, asked: Value) -> String {
    let got = stage.ask(Method::POST, "/v1/sign-in-links", Some(key), asked).await;
    assert_eq!(got.status, StatusCode::CREATED, "{}", got.text());
    let link: SignInLink = got.json();
    let token = link.path.strip_prefix("/board#sign-in=").unwrap();
    assert!(token.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_'), "{token}");
    token.to_owned()
}

async fn sign_in(stage: &Stage, token: &str) -> Got {
    let body = json!({ "token": token });
    let sent = Sent { method: "POST", origin: Some(ORIGIN), body: &body, ..Sent::default() };
    send(stage, sent).await
}

/// Signs a browser in with a new link of a key, and returns its session and its cookie.
async fn browser(stage: &Stage, key: &str) -> (Session, String) {
    let got = sign_in(stage, &token(stage, key, Value::Null).await).await;
    assert_eq!(got.status, StatusCode::CREATED, "{}", got.text());
    let set = got.headers[header::SET_COOKIE].to_str().unwrap().to_owned();
    for part in ["chefcito-7373=cfk_", "; HttpOnly", "; SameSite=Strict", "; Path=/;"] {
        assert!(set.contains(part), "{set}");
    }
    (got.json(), set.split(';').next().unwrap().to_owned())
}

#[tokio::test]
async fn a_link_signs_a_browser_in_once_and_only_by_its_button() {
    let stage = Stage::open().await;
    let token = token(&stage, &stage.admin, Value::Null).await;
    // Whatever reads the address, such as a scanner of mails, uses nothing up.
    for _ in 0..3 {
        assert_eq!(stage.ask(Method::GET, "/board", None, Value::Null).await.status, 200);
    }
    let got = sign_in(&stage, &token).await;
    assert_eq!(got.status, StatusCode::CREATED, "{}", got.text());
    assert_eq!(got.json::<Session>().role, Role::Admin);
    assert_eq!(got.headers[header::CACHE_CONTROL], "no-store");
    let again = sign_in(&stage, &token).await;
    assert_eq!(
        (again.status, again.headers.get(header::SET_COOKIE)),
        (StatusCode::UNAUTHORIZED, None)
    );
    let problem = again.problem();
    assert_eq!(problem.kind, "/problems/link-refused");
    assert!(problem.detail.unwrap().contains("`chefcito board --web` prints a new one"));
    stage.close().await;
}

#[tokio::test]
async fn of_many_who_press_the_button_at_once_one_is_signed_in() {
    for database in [None, test_support::postgres()] {
        let stage = match &database {
            None => Stage::open().await,
            Some(database) => {
                let admin = gateway::new_key().unwrap();
                Stage::at(database.location(), echoes(), config(&admin), admin).await
            }
        };
        let token = token(&stage, &stage.admin, Value::Null).await;
        let tried = futures_util::future::join_all((0..8).map(|_| sign_in(&stage, &token))).await;
        let count = |status: StatusCode| tried.iter().filter(|got| got.status == status).count();
        assert_eq!((count(StatusCode::CREATED), count(StatusCode::UNAUTHORIZED)), (1, 7));
        stage.close().await;
    }
}

#[tokio::test]
async fn a_link_that_was_made_up_changed_or_is_of_another_environment_signs_nobody_in() {
    let (stage, other) = (Stage::open().await, Stage::open().await);
    let good = token(&stage, &stage.admin, json!({ "role": "viewer" })).await;
    let foreign = token(&other, &other.admin, Value::Null).await;
    let parts: Vec<&str> = good.split('_').collect();
    let with = |place: usize, text: &str| {
        let mut parts = parts.clone();
        parts[place] = text;
        parts.join("_")
    };
    for bad in [
        String::new(),
        "_".repeat(4),
        good.clone() + "0",
        good[..good.len() - 1].to_owned(),
        with(1, "0000000000000000"),
        with(2, "admin"),
        with(3, "99999999999"),
        with(3, "9223372036854775807"),
        with(4, ""),
        foreign,
    ] {
        let got = sign_in(&stage, &bad).await;
        assert_eq!(got.status, StatusCode::UNAUTHORIZED, "{bad}: {}", got.text());
    }
    assert_eq!(sign_in(&stage, &good).await.status, StatusCode::CREATED);
    stage.close().await;
    other.close().await;
}

#[tokio::test]
async fn a_session_may_what_its_link_says_and_at_most_what_the_key_may() {
    let stage = Stage::open().await;
    let manager = stage.add_key("a manager", Role::Manager).await.secret;
    let more = json!({ "role": "admin" });
    let got = stage.ask(Method::POST, "/v1/sign-in-links", Some(&manager), more).await;
    assert_eq!(got.status, StatusCode::FORBIDDEN);

    let less = token(&stage, &manager, json!({ "role": "viewer" })).await;
    let got = sign_in(&stage, &less).await;
    let set = got.headers[header::SET_COOKIE].to_str().unwrap();
    let cookie = set.split(';').next();
    let looks = Sent { path: "/v1/orders", cookie, ..Sent::default() };
    assert_eq!(send(&stage, looks).await.status, StatusCode::OK);
    let orders = Sent { method: "POST", origin: Some(ORIGIN), body: &json!({}), ..looks };
    assert_eq!(send(&stage, orders).await.problem().kind, "/problems/forbidden");

    let (session, cookie) = browser(&stage, &manager).await;
    assert_eq!((session.name.as_str(), session.role), ("a manager", Role::Manager));
    assert!(session.expires_at.is_some());
    let orders = Sent { cookie: Some(&cookie), ..orders };
    let echoed: Value = send(&stage, orders).await.json();
    assert_eq!(echoed["headers"]["x-chefcito-key"], session.id);
    assert_eq!(echoed["headers"].get("cookie"), None, "a session goes no further than the door");
    stage.close().await;
}

#[tokio::test]
async fn a_cookie_counts_for_the_page_of_this_gateway_alone() {
    let stage = Stage::open().await;
    let (_, cookie) = browser(&stage, &stage.admin).await;
    let own = Sent {
        method: "POST",
        path: "/v1/orders",
        origin: Some(ORIGIN),
        cookie: Some(&cookie),
        body: &json!({}),
        ..Sent::default()
    };
    assert_eq!(send(&stage, own).await.status, StatusCode::OK);
    for origin in [None, Some("http://127.0.0.1:9999"), Some("http://localhost:7373"), Some("null")]
    {
        let got = send(&stage, Sent { origin, ..own }).await;
        assert_eq!(got.problem().kind, "/problems/foreign-origin", "{origin:?}");
    }
    // A page of elsewhere whose name was made to lead here, and one at another port of this machine.
    for host in ["rebound.example.com:7373", "127.0.0.1:7374"] {
        let origin = format!("http://{host}");
        let got = send(&stage, Sent { host, origin: Some(&origin), ..own }).await;
        assert_eq!(got.status, StatusCode::UNAUTHORIZED, "{host}");
    }
    let live = Sent { method: "HEAD", path: "/v1/live", body: &Value::Null, ..own };
    assert_eq!(send(&stage, live).await.status, StatusCode::OK);
    let foreign = Sent { origin: Some("http://127.0.0.1:9999"), ..live };
    assert_eq!(send(&stage, foreign).await.status, StatusCode::FORBIDDEN);

    let token = token(&stage, &stage.admin, Value::Null).await;
    let body = json!({ "token": token });
    for (host, origin) in [
        (HOST, None),
        (HOST, Some("http://127.0.0.1:9999")),
        ("rebound.example.com", Some("http://rebound.example.com")),
    ] {
        let sent = Sent { method: "POST", host, origin, body: &body, ..Sent::default() };
        let got = send(&stage, sent).await;
        assert_eq!(got.problem().kind, "/problems/foreign-origin", "{host} {origin:?}");
    }
    assert_eq!(sign_in(&stage, &token).await.status, StatusCode::CREATED, "nothing was used up");
    stage.close().await;
}

#[tokio::test]
async fn a_session_is_no_key_and_a_key_is_no_session() {
    let stage = Stage::open().await;
    let (_, cookie) = browser(&stage, &stage.admin).await;
    let text = cookie.split('=').nth(1).unwrap();
    let got = stage.ask(Method::GET, "/v1/session", Some(text), Value::Null).await;
    assert_eq!(got.status, StatusCode::UNAUTHORIZED, "a session in the header of a key");
    let as_cookie = format!("chefcito-7373={}", stage.admin);
    let got = send(&stage, Sent { cookie: Some(&as_cookie), ..Sent::default() }).await;
    assert_eq!(got.status, StatusCode::UNAUTHORIZED, "a key in the cookie");
    // What makes a way in would outlive the session.
    let sent =
        Sent { method: "POST", origin: Some(ORIGIN), cookie: Some(&cookie), ..Sent::default() };
    let key = json!({ "name": "for ever", "role": "admin" });
    for sent in
        [Sent { path: "/v1/keys", body: &key, ..sent }, Sent { path: "/v1/sign-in-links", ..sent }]
    {
        assert_eq!(send(&stage, sent).await.problem().kind, "/problems/forbidden");
    }
    let got = stage.ask(Method::DELETE, "/v1/session", Some(&stage.admin), Value::Null).await;
    assert_eq!(got.problem().kind, "/problems/no-session");
    stage.close().await;
}

#[tokio::test]
async fn sessions_are_listed_and_end_by_the_user_the_admin_and_with_their_key() {
    let stage = Stage::open().await;
    let guest = stage.add_key("a guest", Role::Viewer).await;
    let asks = async |cookie: &str| {
        send(&stage, Sent { cookie: Some(cookie), ..Sent::default() }).await.status
    };
    let (one, one_cookie) = browser(&stage, &guest.secret).await;
    let (two, two_cookie) = browser(&stage, &guest.secret).await;
    let (_, three_cookie) = browser(&stage, &guest.secret).await;
    let keys: Keys = stage.get("/v1/keys").await.json();
    let of_guest = keys.keys.iter().filter(|key| key.session_of.as_ref() == Some(&guest.key.id));
    assert_eq!(of_guest.filter(|key| key.expires_at.is_some()).count(), 3);

    let out = Sent {
        method: "DELETE",
        origin: Some(ORIGIN),
        cookie: Some(&one_cookie),
        ..Sent::default()
    };
    let got = send(&stage, out).await;
    assert_eq!(got.status, StatusCode::NO_CONTENT, "{}", got.text());
    assert!(got.headers[header::SET_COOKIE].to_str().unwrap().contains("Max-Age=0"));
    assert_eq!(asks(&one_cookie).await, StatusCode::UNAUTHORIZED, "{}", one.id);

    let revoke = async |id: &str| {
        let path = format!("/v1/keys/{id}");
        stage.ask(Method::DELETE, &path, Some(&stage.admin), Value::Null).await.status
    };
    assert_eq!(asks(&two_cookie).await, StatusCode::OK);
    assert_eq!(revoke(&two.id).await, StatusCode::NO_CONTENT);
    assert_eq!(asks(&two_cookie).await, StatusCode::UNAUTHORIZED);
    assert_eq!(revoke(&guest.key.id).await, StatusCode::NO_CONTENT);
    assert_eq!(asks(&three_cookie).await, StatusCode::UNAUTHORIZED, "its key was revoked");

    // Sessions of admins keep no environment from being without a key, and the last key stays.
    let (admin, _) = browser(&stage, &stage.admin).await;
    let first = stage.admin.split('_').nth(1).unwrap().to_owned();
    assert_eq!(revoke(&first).await, StatusCode::CONFLICT);
    assert_eq!(revoke(&admin.id).await, StatusCode::NO_CONTENT);
    stage.close().await;
}

#[tokio::test]
async fn a_link_is_good_for_ten_minutes_and_a_session_for_twelve_hours() {
    let clock = Clock::fixed(Timestamp::now());
    let stage = Stage::open_at(&clock).await;
    let minutes = |count: u64| Duration::from_secs(60 * count);
    let [one, other] = [
        token(&stage, &stage.admin, Value::Null).await,
        token(&stage, &stage.admin, Value::Null).await,
    ];
    clock.advance(minutes(9));
    let got = sign_in(&stage, &one).await;
    assert_eq!(got.status, StatusCode::CREATED, "{}", got.text());
    let cookie = got.headers[header::SET_COOKIE].to_str().unwrap().split(';').next().unwrap();
    clock.advance(minutes(1));
    assert_eq!(sign_in(&stage, &other).await.status, StatusCode::UNAUTHORIZED);

    let read = || send(&stage, Sent { cookie: Some(cookie), ..Sent::default() });
    clock.advance(minutes(12 * 60 - 1) - Duration::from_secs(1));
    assert_eq!(read().await.status, StatusCode::OK);
    // A view that is opened a second before the end is cut off then.
    let request =
        Request::get("/v1/live").header(header::HOST, HOST).header(header::COOKIE, cookie);
    let view = stage.answer(request.body(Body::empty()).unwrap()).await;
    assert_eq!(view.status(), StatusCode::OK);
    timeout(Duration::from_secs(30), Got::of(view)).await.expect("the view ends with its session");
    clock.advance(minutes(1));
    assert_eq!(read().await.status, StatusCode::UNAUTHORIZED);
    let feed = Sent { path: "/v1/live", cookie: Some(cookie), ..Sent::default() };
    assert_eq!(send(&stage, feed).await.status, StatusCode::UNAUTHORIZED);
    stage.close().await;
}

#[tokio::test]
async fn a_session_outlives_a_restart_and_its_secret_is_on_no_disk() {
    let stage = Stage::open().await;
    let (_, cookie) = browser(&stage, &stage.admin).await;
    let (folder, admin) = (Arc::clone(&stage.folder), stage.admin.clone());
    stage.close().await;
    let secret = cookie.rsplit('_').next().unwrap().as_bytes();
    for file in std::fs::read_dir(folder.path()).unwrap() {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        assert!(!bytes.windows(secret.len()).any(|window| window == secret));
    }
    let stage = Stage::in_folder(folder, echoes(), config(&admin), admin.clone()).await;
    let got = send(&stage, Sent { cookie: Some(&cookie), ..Sent::default() }).await;
    assert_eq!(got.status, StatusCode::OK);
    stage.close().await;
}

#[tokio::test]
async fn a_session_ends_when_its_key_gets_another_secret() {
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let open = async |digit: &str| {
        let admin = format!("cfk_local_{}", digit.repeat(64));
        Stage::in_folder(Arc::clone(&folder), echoes(), config(&admin), admin).await
    };
    let stage = open("1").await;
    let (_, cookie) = browser(&stage, &stage.admin).await;
    let link = token(&stage, &stage.admin, Value::Null).await;
    let asked = Sent { cookie: Some(&cookie), ..Sent::default() };
    assert_eq!(send(&stage, asked).await.status, StatusCode::OK);
    stage.close().await;

    // Its secret may be known to others: nothing of it is left.
    let stage = open("2").await;
    assert_eq!(send(&stage, asked).await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(sign_in(&stage, &link).await.status, StatusCode::UNAUTHORIZED);
    stage.close().await;
}

#[tokio::test]
async fn a_key_with_many_sessions_keeps_nobody_else_out() {
    let stage = Stage::open().await;
    let guest = stage.add_key("a guest", Role::Viewer).await.secret;
    let mut last = String::new();
    for _ in 0..50 {
        last = browser(&stage, &guest).await.0.id;
    }
    let link = token(&stage, &guest, Value::Null).await;
    let got = sign_in(&stage, &link).await;
    assert_eq!(got.problem().kind, "/problems/too-many-sessions");
    browser(&stage, &stage.admin).await;
    let path = format!("/v1/keys/{last}");
    stage.ask(Method::DELETE, &path, Some(&stage.admin), Value::Null).await;
    assert_eq!(sign_in(&stage, &link).await.status, StatusCode::CREATED, "the link is still good");
    stage.close().await;
}

#[tokio::test]
async fn a_link_of_one_gateway_signs_in_at_the_other_and_once_in_all() {
    let Some(database) = test_support::postgres() else { return };
    let admin = gateway::new_key().unwrap();
    let open =
        async || Stage::at(database.location(), echoes(), config(&admin), admin.clone()).await;
    let (one, other) = (open().await, open().await);
    // The other has not heard of this key.
    let guest = one.add_key("a guest", Role::Viewer).await.secret;
    let link = token(&one, &guest, Value::Null).await;
    let (got, again) = tokio::join!(sign_in(&other, &link), sign_in(&one, &link));
    let mut statuses = [got.status, again.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [StatusCode::CREATED, StatusCode::UNAUTHORIZED]);
    let (_, cookie) = browser(&other, &guest).await;
    let asked = Sent { cookie: Some(&cookie), ..Sent::default() };
    assert_eq!(send(&one, asked).await.status, StatusCode::OK);
    one.close().await;
    other.close().await;
}

#[tokio::test]
async fn behind_another_server_the_gateway_goes_by_the_name_that_it_is_given() {
    let admin = gateway::new_key().unwrap();
    let url = "https://chefcito.example.com".parse().unwrap();
    let config = Config { public_url: Some(url), ..config(&admin) };
    let stage = Stage::with_config(echoes(), config, admin).await;
    let body = json!({ "token": token(&stage, &stage.admin, Value::Null).await });
    let sent = Sent {
        method: "POST",
        host: "chefcito.example.com",
        origin: Some("https://chefcito.example.com"),
        body: &body,
        ..Sent::default()
    };
    let plain = Sent { origin: Some("http://chefcito.example.com"), ..sent };
    assert_eq!(send(&stage, plain).await.status, StatusCode::FORBIDDEN);
    let got = send(&stage, sent).await;
    assert_eq!(got.status, StatusCode::CREATED, "{}", got.text());
    let set = got.headers[header::SET_COOKIE].to_str().unwrap();
    assert!(set.starts_with("__Host-chefcito-443=") && set.ends_with("; Secure"), "{set}");
    stage.close().await;
}

#[tokio::test]
async fn the_page_runs_nothing_but_its_own_and_is_kept_by_the_browser_until_it_changes() {
    let stage = Stage::open().await;
    for (path, kind) in [
        ("/board", "text/html; charset=utf-8"),
        ("/board/app.js", "text/javascript; charset=utf-8"),
        ("/board/app.css", "text/css; charset=utf-8"),
    ] {
        let asked = |name: &'static str, value: &str| {
            let request = Request::builder().uri(path).header(name, value);
            request.body(Body::empty()).unwrap()
        };
        let got = stage.ask(Method::GET, path, None, Value::Null).await;
        assert_eq!(
            (got.status, got.headers[header::CONTENT_TYPE].as_bytes()),
            (StatusCode::OK, kind.as_bytes())
        );
        assert_eq!(
            got.headers[header::CONTENT_SECURITY_POLICY],
            "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; \
             require-trusted-types-for 'script'; trusted-types 'none'"
        );
        assert_eq!(got.headers[header::X_FRAME_OPTIONS], "DENY");
        assert_eq!(got.headers[header::REFERRER_POLICY], "no-referrer");
        let zipped = stage.send(asked("accept-encoding", "br, gzip;q=0.9")).await;
        assert_eq!(zipped.headers[header::CONTENT_ENCODING], "gzip");
        assert!(zipped.body.starts_with(&[0x1f, 0x8b]), "gzip begins so");
        let tag = got.headers[header::ETAG].to_str().unwrap();
        for tag in [tag.to_owned(), format!("\"other\", W/{tag}")] {
            let known = stage.send(asked("if-none-match", &tag)).await;
            assert_eq!((known.status, known.body.len()), (StatusCode::NOT_MODIFIED, 0));
        }
    }
    // A browser that asks for the gateway itself is shown the page, and a program the text.
    let request = Request::builder().uri("/").header(header::ACCEPT, "text/html,*/*;q=0.8");
    let got = stage.send(request.body(Body::empty()).unwrap()).await;
    assert_eq!(
        (got.status, got.headers[header::LOCATION].as_bytes()),
        (StatusCode::SEE_OTHER, b"/board".as_slice())
    );
    assert!(stage.get("/").await.text().contains("/board"));
    stage.close().await;
}
