//! The router against a node that is not one: what is asked, who may ask, what is answered.

pub(crate) mod fake;
mod pages;
mod rights;
mod streams;

use super::{Settings, router};
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Method, Request, Response, StatusCode, header};
use fake::{EVENT, FakeNode, HOST_TOKEN, OPS_TOKEN, PIN};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tower::ServiceExt;

const BASE: &str = "http://n1.example:8080";

fn app() -> Router {
    router(Arc::new(FakeNode::new()), Settings::new(BASE))
}

fn get(path: &str) -> Request<Body> {
    Request::get(path).body(Body::empty()).unwrap()
}

fn post(path: &str, token: &str, body: impl Into<Body>) -> Request<Body> {
    let bearer = format!("Bearer {token}");
    Request::post(path).header(header::AUTHORIZATION, bearer).body(body.into()).unwrap()
}

async fn ask(request: Request<Body>) -> Response<Body> {
    app().oneshot(request).await.unwrap()
}

async fn text(response: Response<Body>) -> String {
    let bytes = to_bytes(response.into_body(), 8 << 20).await.unwrap();
    String::from_utf8(bytes.to_vec()).unwrap()
}

async fn json_of(response: Response<Body>) -> Value {
    serde_json::from_str(&text(response).await).unwrap()
}

async fn assert_refused(request: Request<Body>, status: StatusCode, code: &str) -> Value {
    let response = ask(request).await;
    assert_eq!(response.status(), status);
    let body = json_of(response).await;
    assert_eq!(body["error"]["code"], code);
    assert_ne!(body["error"]["message"].as_str().unwrap(), "");
    body["error"].clone()
}

#[tokio::test]
async fn a_pin_leads_to_its_event_and_its_nodes() {
    let response = ask(get(&format!("/api/v1/pins/{PIN}"))).await;
    assert_eq!(response.status(), StatusCode::OK);
    let body = json_of(response).await;
    assert_eq!(body["event"], EVENT.to_string());
    assert_eq!(body["nodes"][0]["ws"], "ws://n1.example:8080/mqtt");
}

#[tokio::test]
async fn pages_are_told_of_a_broker_where_there_is_one() {
    assert_eq!(json_of(ask(get("/api/v1/edge")).await).await, json!({"broker": []}));
    let mut settings = Settings::new(BASE);
    settings.broker_pages = vec!["wss://broker.example/mqtt".to_owned()];
    let app = router(Arc::new(FakeNode::new()), settings);
    let response = app.oneshot(get("/api/v1/edge")).await.unwrap();
    assert_eq!(json_of(response).await, json!({"broker": ["wss://broker.example/mqtt"]}));
}

#[tokio::test]
async fn an_unknown_pin_is_not_found() {
    assert_refused(get("/api/v1/pins/000000"), StatusCode::NOT_FOUND, "pin_unknown").await;
    let stream = get("/api/v1/pins/000000/screen/stream");
    assert_refused(stream, StatusCode::NOT_FOUND, "pin_unknown").await;
}

#[tokio::test]
async fn the_qr_code_is_an_image_without_script() {
    let response = ask(get(&format!("/api/v1/pins/{PIN}/qr.svg"))).await;
    assert_eq!(response.headers()[header::CONTENT_TYPE], "image/svg+xml");
    let svg = text(response).await;
    assert!(svg.contains("<svg") && svg.ends_with("</svg>"), "{svg:.60}");
}

#[tokio::test]
async fn a_good_show_becomes_an_event() {
    let response = ask(post("/api/v1/events", OPS_TOKEN, "a good show")).await;
    assert_eq!(response.status(), StatusCode::CREATED);
    let wanted = json!({"event": EVENT.to_string(), "pin": PIN, "host_token": HOST_TOKEN});
    assert_eq!(json_of(response).await, wanted);
}

#[tokio::test]
async fn a_bad_show_comes_back_with_its_problems() {
    let bad = post("/api/v1/events", OPS_TOKEN, "a bad show");
    let error = assert_refused(bad, StatusCode::UNPROCESSABLE_ENTITY, "show_invalid").await;
    assert_eq!(error["problems"][0]["field"], "questions[2].correct");
    assert_eq!(error["problems"][0]["line"], 7);
}

#[tokio::test]
async fn a_show_may_be_longer_than_any_other_body() {
    let show = "x".repeat(super::SHOW_BYTES_MAX);
    let response = ask(post("/api/v1/events", OPS_TOKEN, show.clone())).await;
    assert_eq!(response.status(), StatusCode::CREATED);
    let long = post("/api/v1/events", OPS_TOKEN, show + "x");
    assert_refused(long, StatusCode::PAYLOAD_TOO_LARGE, "body_too_large").await;
    let path = format!("/api/v1/events/{EVENT}/commands");
    let long = post(&path, HOST_TOKEN, "x".repeat(super::BODY_BYTES_MAX + 1));
    assert_refused(long, StatusCode::PAYLOAD_TOO_LARGE, "body_too_large").await;
}

#[tokio::test]
async fn a_command_reaches_the_node() {
    let body = json!({"command": "open", "expected": {"instance": 0, "phase": "lobby"}});
    let path = format!("/api/v1/events/{EVENT}/commands");
    let response = ask(post(&path, HOST_TOKEN, body.to_string())).await;
    let wanted = json!({
        "outcome": "applied by host", "level": "firm", "stage": {"instance": 1, "phase": "open"}
    });
    assert_eq!(json_of(response).await, wanted);
}

#[tokio::test]
async fn a_command_for_another_stage_is_told_the_stage() {
    let body = json!({"command": "open", "expected": {"instance": 7, "phase": "board"}});
    let path = format!("/api/v1/events/{EVENT}/commands");
    let command = post(&path, HOST_TOKEN, body.to_string());
    let error = assert_refused(command, StatusCode::CONFLICT, "stage_moved").await;
    assert_eq!(error["stage"], json!({"instance": 0, "phase": "lobby"}));
}

#[tokio::test]
async fn a_step_without_the_stage_that_its_host_saw_is_told_what_is_missing() {
    let path = format!("/api/v1/events/{EVENT}/commands");
    let open = post(&path, HOST_TOKEN, json!({"command": "open"}).to_string());
    let error = assert_refused(open, StatusCode::BAD_REQUEST, "payload_malformed").await;
    assert!(error["hint"].as_str().unwrap().starts_with("say `expected`"), "{error}");
}

#[tokio::test]
async fn a_malformed_body_is_told_where() {
    let path = format!("/api/v1/events/{EVENT}/commands");
    let cut = post(&path, HOST_TOKEN, "{\"command\":");
    let error = assert_refused(cut, StatusCode::BAD_REQUEST, "payload_malformed").await;
    assert!(error["message"].as_str().unwrap().contains("line 1 column 11"), "{error}");
    let latin = post("/api/v1/events", OPS_TOKEN, vec![b'"', 0xe4, b'"']);
    assert_refused(latin, StatusCode::BAD_REQUEST, "payload_malformed").await;
}

#[tokio::test]
async fn unknown_routes_and_methods_answer_in_json_too() {
    assert_refused(get("/nowhere"), StatusCode::NOT_FOUND, "route_unknown").await;
    assert_refused(get("/assets/../Cargo.toml"), StatusCode::NOT_FOUND, "route_unknown").await;
    assert_refused(get("/api/v1/events/zz"), StatusCode::NOT_FOUND, "event_unknown").await;
    assert_refused(get("/api/v1/pins/%ff"), StatusCode::BAD_REQUEST, "payload_malformed").await;
    let delete =
        || Request::builder().method(Method::DELETE).uri("/livez").body(Body::empty()).unwrap();
    assert_refused(delete(), StatusCode::METHOD_NOT_ALLOWED, "method_unknown").await;
    assert_eq!(ask(delete()).await.headers()[header::ALLOW], "GET,HEAD");
}

#[tokio::test]
async fn a_node_that_is_stuck_is_given_up_on() {
    let mut settings = Settings::new(BASE);
    settings.timeout = Duration::from_millis(10);
    let app = router(Arc::new(FakeNode::stuck()), settings);
    let response = app.oneshot(post("/api/v1/events", OPS_TOKEN, "a show")).await.unwrap();
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(json_of(response).await["error"]["code"], "timed_out");
}

#[tokio::test]
async fn readiness_follows_the_node() {
    assert_eq!(ask(get("/livez")).await.status(), StatusCode::OK);
    assert_eq!(ask(get("/readyz")).await.status(), StatusCode::OK);
    let app = router(Arc::new(FakeNode::stuck()), Settings::new(BASE));
    let response = app.oneshot(get("/readyz")).await.unwrap();
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(json_of(response).await["error"]["code"], "not_ready");
}

#[tokio::test]
async fn metrics_count_what_was_refused() {
    let app = app();
    app.clone().oneshot(get("/nowhere")).await.unwrap();
    let response = app.oneshot(get("/metrics")).await.unwrap();
    let body = text(response).await;
    assert!(body.contains("starling_http_refused_total{code=\"route_unknown\"} 1.0"), "{body}");
    assert!(body.contains("starling_members{state=\"alive\"} 2.0"), "{body}");
    assert!(body.contains("starling_peer_rtt_seconds{peer=\"n2\"} 0.002"), "{body}");
}

#[tokio::test]
async fn an_export_is_a_file_of_json_lines() {
    let path = format!("/api/v1/events/{EVENT}/export?token={HOST_TOKEN}");
    let response = ask(get(&path)).await;
    assert_eq!(response.headers()[header::CONTENT_TYPE], "application/x-ndjson");
    assert_eq!(text(response).await, "{}\n{}\n");
}

#[tokio::test]
async fn an_operator_drains_a_node_and_changes_its_mind() {
    let app = app();
    let mut standings = Vec::new();
    for path in ["/api/v1/drain", "/api/v1/undrain"] {
        let response = app.clone().oneshot(post(path, OPS_TOKEN, "")).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        standings.push(json_of(response).await["standing"].clone());
        assert_refused(post(path, HOST_TOKEN, ""), StatusCode::UNAUTHORIZED, "token_unknown").await;
    }
    assert_eq!(standings, ["draining", "ready"]);
}
