//! Server-sent events: the newest state, in time, and an end.

use super::fake::CO_HOST_TOKEN;
use super::*;
use axum::body::BodyDataStream;
use futures_util::StreamExt;

async fn open(app: Router, path: &str) -> BodyDataStream {
    let response = app.oneshot(get(path)).await.unwrap();
    assert_eq!(response.headers()[header::CONTENT_TYPE], "text/event-stream");
    response.into_body().into_data_stream()
}

async fn next(stream: &mut BodyDataStream) -> String {
    let chunk = stream.next().await.expect("the stream goes on").unwrap();
    String::from_utf8(chunk.to_vec()).unwrap()
}

fn host_path() -> String {
    format!("/api/v1/events/{EVENT}/host/stream?token={HOST_TOKEN}")
}

#[tokio::test]
async fn a_stream_begins_with_the_present_state() {
    let mut stream = open(app(), &format!("/api/v1/pins/{PIN}/screen/stream")).await;
    let first = next(&mut stream).await;
    assert!(first.contains("event: screen\n") && first.contains("retry: 1000\n"), "{first}");
    let data = first.lines().find_map(|line| line.strip_prefix("data: ")).unwrap();
    let view: Value = serde_json::from_str(data).unwrap();
    assert_eq!(view["pin"], PIN);
    assert!(view.get("questions").is_none());
}

#[tokio::test]
async fn a_slow_client_gets_the_newest_state_only() {
    let node = Arc::new(FakeNode::new());
    let mut stream = open(router(node.clone(), Settings::new(BASE)), &host_path()).await;
    assert!(next(&mut stream).await.contains("\"revision\":1,"));
    for revision in 2..=50 {
        node.show(revision);
    }
    let newest = next(&mut stream).await;
    assert!(newest.contains("event: host\n") && newest.contains("\"revision\":50,"), "{newest}");
}

#[tokio::test]
async fn a_host_is_told_the_script_at_first_and_when_it_is_another() {
    let node = Arc::new(FakeNode::new());
    let mut stream = open(router(node.clone(), Settings::new(BASE)), &host_path()).await;
    assert!(next(&mut stream).await.contains("\"text\":\"Who sings?\""));
    node.show(2);
    let second = next(&mut stream).await;
    assert!(second.contains("\"revision\":2,") && !second.contains("questions"), "{second}");
    node.show_another_script(3);
    assert!(next(&mut stream).await.contains("\"text\":\"Who dances?\""));
    node.show(4);
    assert!(!next(&mut stream).await.contains("questions"));
    let mut other = open(router(node, Settings::new(BASE)), &host_path()).await;
    assert!(next(&mut other).await.contains("\"text\":\"Who dances?\""), "each on its own");
}

#[tokio::test]
async fn a_follower_is_told_every_batch_and_what_it_missed() {
    let node = Arc::new(FakeNode::new());
    let path = format!("/api/v1/events/{EVENT}/applied/stream?token={OPS_TOKEN}");
    let mut stream = open(router(node.clone(), Settings::new(BASE)), &path).await;
    node.apply(1, 0xa);
    assert!(next(&mut stream).await.contains(": from now on\n"));
    let batch = next(&mut stream).await;
    let data = "data: {\"rows\":[[1,\"0000000000000000000000000000000a\"]]}\n";
    assert!(batch.contains("event: applied\n") && batch.contains(data), "{batch}");
    for player in 1..=5 {
        node.apply(2, player);
    }
    let missed = next(&mut stream).await;
    assert!(missed.contains("event: missed\ndata: {\"batches\":3}\n"), "{missed}");
    assert!(next(&mut stream).await.contains("[2,\"00000000000000000000000000000004\"]"));
}

#[tokio::test]
async fn a_quiet_stream_shows_that_it_lives() {
    let mut settings = Settings::new(BASE);
    settings.keep_alive = Duration::from_millis(10);
    let node = Arc::new(FakeNode::new());
    let mut stream = open(router(node.clone(), settings), &host_path()).await;
    next(&mut stream).await;
    assert_eq!(next(&mut stream).await, ":\n\n");
}

#[tokio::test]
async fn a_stream_ends_when_the_node_stops() {
    let settings = Settings::new(BASE);
    let stop = settings.stop.clone();
    let mut stream = open(router(Arc::new(FakeNode::new()), settings), &host_path()).await;
    next(&mut stream).await;
    stop.cancel();
    assert!(stream.next().await.is_none());
}

#[tokio::test]
async fn a_stream_gives_its_place_back() {
    let app = app();
    let mut stream = open(app.clone(), &host_path()).await;
    next(&mut stream).await;
    let shown = || async { text(app.clone().oneshot(get("/metrics")).await.unwrap()).await };
    assert!(shown().await.contains("starling_http_streams 1.0"));
    drop(stream);
    assert!(shown().await.contains("starling_http_streams 0.0"));
}

#[tokio::test]
async fn an_operator_is_told_what_becomes_of_members() {
    let node = Arc::new(FakeNode::new());
    let path = format!("/api/v1/members/stream?token={OPS_TOKEN}");
    let mut stream = open(router(node.clone(), Settings::new(BASE)), &path).await;
    assert!(next(&mut stream).await.contains(": from now on\n"));
    node.tell_of_a_death();
    let event = next(&mut stream).await;
    assert!(event.contains("event: member\n") && event.contains("\"event\":\"died\""), "{event}");
}

#[tokio::test]
async fn a_stream_ends_when_its_right_is_taken_back() {
    let node = Arc::new(FakeNode::new());
    let mut stream = open(router(node.clone(), Settings::new(BASE)), &host_path()).await;
    assert!(next(&mut stream).await.contains("event: host"));
    let request = r#"{"action":"revoke","subject":"ada"}"#;
    let app = router(node, Settings::new(BASE));
    let revoked = app.oneshot(post("/api/v1/revocations", OPS_TOKEN, request)).await.unwrap();
    assert_eq!(revoked.status(), StatusCode::OK);
    assert!(stream.next().await.is_none());
}

#[tokio::test]
async fn a_co_hosts_stream_ends_when_the_invitation_does() {
    let node = Arc::new(FakeNode::new());
    let path = format!("/api/v1/events/{EVENT}/host/stream?token={CO_HOST_TOKEN}");
    let mut stream = open(router(node.clone(), Settings::new(BASE)), &path).await;
    next(&mut stream).await;
    node.show(2);
    assert!(next(&mut stream).await.contains("\"revision\":2,"));
    node.dismiss_everybody();
    assert!(stream.next().await.is_none());
}
