//! Who may ask what, and from where.

use super::fake::{CO_HOST_TOKEN, DISMISSED_TOKEN};
use super::*;

#[tokio::test]
async fn without_a_token_nothing_of_an_event_is_told() {
    for path in ["", "/host/stream", "/export"] {
        let path = format!("/api/v1/events/{EVENT}{path}");
        assert_refused(get(&path), StatusCode::UNAUTHORIZED, "token_missing").await;
    }
    for path in ["/api/v1/events", "/api/v1/status", "/api/v1/members"] {
        assert_refused(get(path), StatusCode::UNAUTHORIZED, "token_missing").await;
        let wrong = get(&format!("{path}?token=slo_wrong"));
        let error = assert_refused(wrong, StatusCode::UNAUTHORIZED, "token_unknown").await;
        assert!(error["hint"].as_str().unwrap().contains("starling token ops"), "{error}");
    }
}

#[tokio::test]
async fn an_unauthorized_answer_names_the_scheme() {
    let response = ask(get("/api/v1/status")).await;
    assert_eq!(response.headers()[header::WWW_AUTHENTICATE], "Bearer");
}

#[tokio::test]
async fn a_token_comes_by_header_or_by_query() {
    let bearer = |scheme: &str| {
        let value = format!("{scheme} {OPS_TOKEN}");
        let request = Request::get("/api/v1/status").header(header::AUTHORIZATION, value);
        request.body(Body::empty()).unwrap()
    };
    assert_eq!(ask(bearer("Bearer")).await.status(), StatusCode::OK);
    assert_eq!(ask(bearer("bearer")).await.status(), StatusCode::OK);
    assert_refused(bearer("Basic"), StatusCode::UNAUTHORIZED, "token_missing").await;
    let query = format!("/api/v1/members?x=1&token={OPS_TOKEN}");
    assert_eq!(ask(get(&query)).await.status(), StatusCode::OK);
}

#[tokio::test]
async fn the_board_of_a_few_is_for_players_and_hosts_of_the_event() {
    let path = format!("/api/v1/events/{EVENT}/board");
    let body = || json!({"names": ["Bob"]}).to_string();
    for token in ["slp_ada", HOST_TOKEN, OPS_TOKEN] {
        let board = json_of(ask(post(&path, token, body())).await).await;
        assert_eq!(board["unknown"], json!(["Bob"]), "{token}");
    }
    let stranger = post(&path, "slp_eve", body());
    assert_refused(stranger, StatusCode::UNAUTHORIZED, "token_unknown").await;
    let nobody = Request::post(&path).body(Body::from(body())).unwrap();
    assert_refused(nobody, StatusCode::UNAUTHORIZED, "token_missing").await;
    let friends = post(&path, "slp_ada", json!({"friends": []}).to_string());
    assert_refused(friends, StatusCode::BAD_REQUEST, "payload_malformed").await;
}

#[tokio::test]
async fn results_are_had_as_files_of_every_format() {
    let path = format!("/api/v1/events/{EVENT}/export?token={HOST_TOKEN}");
    let response = ask(get(&format!("{path}&file=players.csv"))).await;
    assert_eq!(response.headers()[header::CONTENT_TYPE], "text/csv; charset=utf-8");
    let named = response.headers()[header::CONTENT_DISPOSITION].to_str().unwrap();
    assert_eq!(named, format!("attachment; filename=\"{EVENT}-players.csv\""));
    assert_eq!(text(response).await, "rank,player\r\n");
    let marked = ask(get(&format!("{path}&file=players.csv&bom=true"))).await;
    assert_eq!(text(marked).await, "\u{feff}rank,player\r\n");
    let unknown = get(&format!("{path}&file=secrets.txt"));
    assert_refused(unknown, StatusCode::NOT_FOUND, "file_unknown").await;
    let nobody = get(&format!("/api/v1/events/{EVENT}/export?file=players.csv"));
    assert_refused(nobody, StatusCode::UNAUTHORIZED, "token_missing").await;
}

#[tokio::test]
async fn an_operator_reads_an_event_and_does_not_drive_it() {
    let path = format!("/api/v1/events/{EVENT}");
    let response = ask(get(&format!("{path}?token={OPS_TOKEN}"))).await;
    assert_eq!(json_of(response).await["questions"][0]["correct"], json!([1]));
    let response = ask(get(&format!("{path}?token={OPS_TOKEN}&questions=false"))).await;
    assert!(json_of(response).await.get("questions").is_none());
    let rounds = get(&format!("{path}/rounds?question=1&token={OPS_TOKEN}"));
    assert_eq!(json_of(ask(rounds).await).await, json!([]));
    let unknown = get(&format!("{path}/rounds?question=9&token={OPS_TOKEN}"));
    assert_refused(unknown, StatusCode::NOT_FOUND, "question_unknown").await;
    assert_refused(
        get(&format!("{path}/rounds?question=1")),
        StatusCode::UNAUTHORIZED,
        "token_missing",
    )
    .await;
    let command = post(&format!("{path}/commands"), OPS_TOKEN, "{}");
    assert_refused(command, StatusCode::FORBIDDEN, "not_permitted").await;
}

#[tokio::test]
async fn a_host_does_not_follow_what_a_node_applies() {
    let path = format!("/api/v1/events/{EVENT}/applied/stream");
    assert_refused(get(&path), StatusCode::UNAUTHORIZED, "token_missing").await;
    let host = get(&format!("{path}?token={HOST_TOKEN}"));
    assert_refused(host, StatusCode::UNAUTHORIZED, "token_unknown").await;
}

#[tokio::test]
async fn a_host_is_host_of_one_event_only() {
    let other = "/api/v1/events/00000000000000ff";
    let request = get(&format!("{other}?token={HOST_TOKEN}"));
    assert_refused(request, StatusCode::UNAUTHORIZED, "token_unknown").await;
    let import = post("/api/v1/events", HOST_TOKEN, "a good show");
    assert_refused(import, StatusCode::UNAUTHORIZED, "token_unknown").await;
}

#[tokio::test]
async fn a_co_host_drives_until_dismissed_and_is_named() {
    let path = format!("/api/v1/events/{EVENT}/commands");
    let body = || json!({"command": "open", "expected": {"instance": 0, "phase": "lobby"}});
    let reply = json_of(ask(post(&path, CO_HOST_TOKEN, body().to_string())).await).await;
    assert_eq!(reply["outcome"], "applied by Bea");
    let dismissed = post(&path, DISMISSED_TOKEN, body().to_string());
    assert_refused(dismissed, StatusCode::UNAUTHORIZED, "token_revoked").await;
}

#[tokio::test]
async fn nobody_names_another_as_the_host_who_asks() {
    let path = format!("/api/v1/events/{EVENT}/commands");
    let body = json!({"command": "lock", "by": "somebody else"});
    let error = assert_refused(
        post(&path, HOST_TOKEN, body.to_string()),
        StatusCode::BAD_REQUEST,
        "payload_malformed",
    );
    assert!(error.await["message"].as_str().unwrap().contains("by"));
}

#[tokio::test]
async fn the_trail_and_the_named_state_are_for_hosts_and_operators() {
    for route in ["/state", "/log", "/players?find=a"] {
        let path = format!("/api/v1/events/{EVENT}{route}");
        assert_refused(get(&path), StatusCode::UNAUTHORIZED, "token_missing").await;
    }
    let path = format!("/api/v1/events/{EVENT}/log?token={OPS_TOKEN}");
    assert_eq!(ask(get(&path)).await.status(), StatusCode::OK);
    let path = format!("/api/v1/events/{EVENT}/players?find=Zo%C3%AB&token={HOST_TOKEN}");
    assert_eq!(json_of(ask(get(&path)).await).await[0]["name"], "Zoë");
}

#[tokio::test]
async fn a_reaction_needs_a_players_token_and_a_known_kind() {
    let path = format!("/api/v1/events/{EVENT}/reactions");
    let heart = || json!({"kind": "heart"}).to_string();
    assert_eq!(ask(post(&path, "slp_x", heart())).await.status(), StatusCode::ACCEPTED);
    let kicked = post(&path, "slp_kicked", heart());
    assert_refused(kicked, StatusCode::FORBIDDEN, "kicked").await;
    let unknown = post(&path, "slp_x", json!({"kind": "sneer"}).to_string());
    assert_refused(unknown, StatusCode::BAD_REQUEST, "kind_unknown").await;
}

fn from(origin: &str, method: Method, path: &str) -> Request<Body> {
    let request = Request::builder().method(method).uri(path).header(header::ORIGIN, origin);
    request.header(header::ACCESS_CONTROL_REQUEST_METHOD, "POST").body(Body::empty()).unwrap()
}

#[tokio::test]
async fn a_page_of_any_member_may_read_answers() {
    for member in ["http://n1.example:8080", "http://n2.example:8080"] {
        let response = ask(from(member, Method::GET, "/nowhere")).await;
        assert_eq!(response.headers()[header::ACCESS_CONTROL_ALLOW_ORIGIN], member);
        assert_eq!(response.headers()[header::VARY], "Origin");
    }
    let response = ask(from("http://evil.example", Method::GET, "/livez")).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert!(!response.headers().contains_key(header::ACCESS_CONTROL_ALLOW_ORIGIN));
}

#[tokio::test]
async fn a_preflight_allows_the_token_header() {
    let path = format!("/api/v1/events/{EVENT}/commands");
    let response = ask(from("http://n2.example:8080", Method::OPTIONS, &path)).await;
    assert_eq!(response.status(), StatusCode::NO_CONTENT);
    let headers = response.headers();
    assert_eq!(headers[header::ACCESS_CONTROL_ALLOW_HEADERS], "authorization, content-type");
    assert_eq!(headers[header::ACCESS_CONTROL_ALLOW_ORIGIN], "http://n2.example:8080");
    let foreign = from("http://evil.example", Method::OPTIONS, &path);
    assert_refused(foreign, StatusCode::FORBIDDEN, "origin_unknown").await;
}

#[tokio::test]
async fn a_closed_event_is_seen_by_those_it_is_for() {
    let node = Arc::new(FakeNode::closed());
    let path = format!("/api/v1/pins/{PIN}/screen/stream");
    for (token, status) in [
        ("", StatusCode::UNAUTHORIZED),
        ("?token=slh_other", StatusCode::UNAUTHORIZED),
        ("?token=slh_host", StatusCode::OK),
        ("?token=slo_ops", StatusCode::OK),
    ] {
        let app = router(Arc::clone(&node), Settings::new(BASE));
        let response = app.oneshot(get(&format!("{path}{token}"))).await.unwrap();
        assert_eq!(response.status(), status, "{token}");
    }
}

#[tokio::test]
async fn a_token_tells_whom_it_makes() {
    let me = json_of(ask(get(&format!("/api/v1/me?token={HOST_TOKEN}"))).await).await;
    assert_eq!(me, json!({ "role": "host", "events": [EVENT.to_string()] }));
    assert_refused(get("/api/v1/me"), StatusCode::UNAUTHORIZED, "token_missing").await;
}

#[tokio::test]
async fn only_an_operator_turns_people_away() {
    let request = r#"{"action":"revoke","subject":"ada"}"#;
    let path = "/api/v1/revocations";
    assert_refused(post(path, HOST_TOKEN, request), StatusCode::UNAUTHORIZED, "token_unknown")
        .await;
    let malformed = post(path, OPS_TOKEN, r#"{"action":"revoke"}"#);
    assert_refused(malformed, StatusCode::BAD_REQUEST, "payload_malformed").await;
    assert_eq!(ask(post(path, OPS_TOKEN, request)).await.status(), StatusCode::OK);
}
