//! The pages: types, caching, policy.

use super::*;

#[tokio::test]
async fn anybody_who_may_watch_reads_what_draws_a_raffle_again() {
    let path = format!("/api/v1/pins/{PIN}/raffle");
    let response = ask(get(&format!("{path}?instance=1"))).await;
    assert_eq!(response.headers()[header::CONTENT_TYPE], "application/json");
    assert_eq!(json_of(response).await["tickets"], json!([]));
    let unknown = get(&format!("{path}?instance=2"));
    assert_refused(unknown, StatusCode::NOT_FOUND, "raffle_unknown").await;
    assert_refused(get(&path), StatusCode::BAD_REQUEST, "query_malformed").await;
    let pin = get("/api/v1/pins/000000/raffle?instance=1");
    assert_refused(pin, StatusCode::NOT_FOUND, "pin_unknown").await;
}

#[tokio::test]
async fn a_picture_is_kept_by_browsers_and_runs_nothing() {
    let path = format!("/api/v1/images/{EVENT}");
    let response = ask(get(&format!("{path}/cat"))).await;
    let header = |name| response.headers()[&name].to_str().unwrap().to_owned();
    assert_eq!(header(header::CONTENT_TYPE), "image/png");
    assert_eq!(header(header::X_CONTENT_TYPE_OPTIONS), "nosniff");
    assert!(header(header::CACHE_CONTROL).contains("immutable"));
    assert!(header(header::CONTENT_SECURITY_POLICY).contains("sandbox"));
    assert_eq!(text(response).await, "a cat");
    let lost = get(&format!("{path}/lost"));
    assert_refused(lost, StatusCode::BAD_GATEWAY, "image_unavailable").await;
    let unknown = get(&format!("{path}/dog"));
    assert_refused(unknown, StatusCode::NOT_FOUND, "image_unknown").await;
    let event = get("/api/v1/images/nothing/cat");
    assert_refused(event, StatusCode::NOT_FOUND, "image_unknown").await;
}

#[tokio::test]
async fn pages_and_assets_have_their_types() {
    for (path, content_type) in [
        ("/", "text/html; charset=utf-8"),
        ("/?pin=482913", "text/html; charset=utf-8"),
        ("/host", "text/html; charset=utf-8"),
        ("/screen", "text/html; charset=utf-8"),
        ("/assets/app.css", "text/css; charset=utf-8"),
        ("/assets/engagement/quiz.js", "text/javascript; charset=utf-8"),
    ] {
        let response = ask(get(path)).await;
        assert_eq!(response.status(), StatusCode::OK, "{path}");
        assert_eq!(response.headers()[header::CONTENT_TYPE], content_type, "{path}");
    }
}

#[tokio::test]
async fn a_page_that_the_browser_has_is_not_sent_again() {
    let first = ask(get("/host")).await;
    let etag = first.headers()[header::ETAG].clone();
    let again = Request::get("/host").header(header::IF_NONE_MATCH, etag);
    let again = ask(again.body(Body::empty()).unwrap()).await;
    assert_eq!(again.status(), StatusCode::NOT_MODIFIED);
    assert_eq!(text(again).await, "");
}

#[tokio::test]
async fn a_page_runs_own_scripts_and_tells_nobody_its_address() {
    let response = ask(get("/host")).await;
    let policy = response.headers()[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
    assert!(policy.contains("script-src 'self';"), "{policy}");
    assert!(!policy.contains("unsafe"), "{policy}");
    assert_eq!(response.headers()[header::REFERRER_POLICY], "no-referrer");
}
