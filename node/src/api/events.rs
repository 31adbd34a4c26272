//! The routes about events: PINs, shows, hosts, screens.

use super::auth::Caller;
use super::request::{Event, Payload, Segment, asked};
use super::stream::{self, Every, Hosted, Newest};
use super::{Api, ApiError};
use crate::service::explain::ExplainView;
use crate::service::view::{
    ArchivedView, Command, CommandReply, CommandRequest, EdgeView, EventSummary, FriendsRequest,
    FriendsView, HostView, Imported, LogLine, MarkedView, PinView, Refusal, RoundView, StateView,
};
use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::QueryRejection;
use axum::extract::{FromRequest, Query, Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use crdt_state::EventId;
use qrcode::render::svg;
use qrcode::{EcLevel, QrCode};
use serde::Deserialize;

/// What a PIN means.
pub(super) async fn pin(
    State(api): State<Api>,
    Segment(pin): Segment,
) -> Result<Json<PinView>, ApiError> {
    Ok(Json(api.hosts.pin(&pin).await?))
}

/// Where players' pages connect.
pub(super) async fn edge(State(api): State<Api>) -> Json<EdgeView> {
    Json(EdgeView { broker: api.settings.broker_pages.clone() })
}

/// The way to join through this node, for cameras.
pub(super) async fn qr(
    State(api): State<Api>,
    Segment(pin): Segment,
) -> Result<Response, ApiError> {
    let known = api.hosts.pin(&pin).await?;
    let url = format!("{}/?pin={}", api.settings.http, known.pin);
    let headers = [(header::CONTENT_TYPE, "image/svg+xml"), (header::CACHE_CONTROL, "no-cache")];
    Ok((headers, draw(&url)).into_response())
}

/// A code that a camera reads across a hall: a quarter of it may be hidden.
fn draw(url: &str) -> String {
    let code = QrCode::with_error_correction_level(url, EcLevel::Q)
        .or_else(|_| QrCode::with_error_correction_level(url, EcLevel::L))
        .expect("a node's URL has less than the 2,953 bytes that a code holds");
    code.render::<svg::Color<'_>>().min_dimensions(256, 256).quiet_zone(true).build()
}

/// Which run is meant.
#[derive(Deserialize)]
pub(super) struct Run {
    instance: u32,
}

/// All that it takes to draw a raffle again, for whoever may watch the show.
pub(super) async fn raffle(
    State(api): State<Api>,
    caller: Caller,
    Segment(pin): Segment,
    run: Result<Query<Run>, QueryRejection>,
) -> Result<Response, ApiError> {
    let Run { instance } = asked(run, "ask with ?instance=NUMBER")?;
    caller.watch(&api, &api.hosts.pin(&pin).await?).await?;
    let record = api.hosts.raffle(&pin, instance).await?;
    let headers = [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-store")];
    Ok((headers, record).into_response())
}

/// What the big screen sees.
pub(super) async fn screen_stream(
    State(api): State<Api>,
    caller: Caller,
    Segment(pin): Segment,
) -> Result<Response, ApiError> {
    let feed = api.hosts.screen_feed(&pin).await?;
    let bearer = caller.watch(&api, &api.hosts.pin(&pin).await?).await?;
    stream::serve(&api, bearer, "screen", Newest(feed))
}

/// Creates an event from a show file. Its body is long, and read for operators only.
pub(super) async fn import(
    State(api): State<Api>,
    caller: Caller,
    request: Request,
) -> Result<(StatusCode, Json<Imported>), ApiError> {
    caller.ops(&api).await?;
    let payload = Payload::from_request(request, &api).await?;
    let imported = api.hosts.import(payload.text()?).await?;
    Ok((StatusCode::CREATED, Json(imported)))
}

/// The events that this node knows.
pub(super) async fn list(
    State(api): State<Api>,
    caller: Caller,
) -> Result<Json<Vec<EventSummary>>, ApiError> {
    caller.ops(&api).await?;
    Ok(Json(api.hosts.events().await))
}

/// How much of what the host sees is wanted.
#[derive(Deserialize)]
pub(super) struct Extent {
    #[serde(default = "whole")]
    questions: bool,
}

const fn whole() -> bool {
    true
}

/// What the host sees, once.
pub(super) async fn host_view(
    State(api): State<Api>,
    caller: Caller,
    Event(event): Event,
    extent: Result<Query<Extent>, QueryRejection>,
) -> Result<Json<HostView>, ApiError> {
    caller.host_or_ops(&api, event).await?;
    let Extent { questions } = asked(extent, "ask with ?questions=false for all but the script")?;
    let view = HostView::clone(&api.hosts.host_feed(event).await?.borrow());
    Ok(Json(HostView { questions: view.questions.filter(|_| questions), ..view }))
}

/// What the host sees, now and whenever it changes.
pub(super) async fn host_stream(
    State(api): State<Api>,
    caller: Caller,
    Event(event): Event,
) -> Result<Response, ApiError> {
    let bearer = caller.host_or_ops(&api, event).await?;
    let feed = Hosted::new(api.hosts.host_feed(event).await?, bearer.co_host.clone());
    stream::serve(&api, Some(bearer), "host", feed)
}

/// Which answers of other nodes' players this node applies, batch by batch from now on. A snapshot
/// brings answers without naming them here.
pub(super) async fn applied_stream(
    State(api): State<Api>,
    caller: Caller,
    Event(event): Event,
) -> Result<Response, ApiError> {
    let bearer = caller.ops(&api).await?;
    let feed = api.hosts.applied_feed(event).await?;
    stream::serve(&api, Some(bearer), "applied", Every(feed))
}

/// Drives the event one step.
pub(super) async fn command(
    State(api): State<Api>,
    caller: Caller,
    Event(event): Event,
    payload: Payload,
) -> Result<Json<CommandReply>, ApiError> {
    let bearer = caller.host(&api, event).await?;
    let request = CommandRequest { by: bearer.called(), ..payload.json()? };
    request.command.check_expected(payload.text()?.as_bytes())?;
    if request.command == Command::Takeover && bearer.co_host.is_some() {
        let message = "a co-host does not take a show over, who holds a host's own token does";
        return Err(ApiError::new(StatusCode::FORBIDDEN, Refusal::new("not_permitted", message)));
    }
    Ok(Json(api.hosts.command(event, request).await?))
}

/// The named state of the event.
pub(super) async fn state(
    State(api): State<Api>,
    caller: Caller,
    Event(event): Event,
) -> Result<Json<StateView>, ApiError> {
    caller.host_or_ops(&api, event).await?;
    Ok(Json(api.hosts.state(event).await?))
}

/// The audit trail of the event.
pub(super) async fn log(
    State(api): State<Api>,
    caller: Caller,
    Event(event): Event,
) -> Result<Json<Vec<LogLine>>, ApiError> {
    caller.host_or_ops(&api, event).await?;
    Ok(Json(api.hosts.log(event).await?))
}

/// Who is looked for.
#[derive(Deserialize)]
pub(super) struct Wanted {
    #[serde(default)]
    find: String,
}

/// Players by a part of their names or by their ids.
pub(super) async fn players(
    State(api): State<Api>,
    caller: Caller,
    Event(event): Event,
    wanted: Result<Query<Wanted>, QueryRejection>,
) -> Result<Json<Vec<MarkedView>>, ApiError> {
    caller.host_or_ops(&api, event).await?;
    let Wanted { find } = asked(wanted, "ask with ?find=PART-OF-A-NAME")?;
    Ok(Json(api.hosts.players(event, find).await?))
}

/// Whose runs are asked for.
#[derive(Deserialize)]
pub(super) struct Runs {
    question: u32,
}

/// The runs of a question, with what can be ruled on them.
pub(super) async fn rounds(
    State(api): State<Api>,
    caller: Caller,
    Event(event): Event,
    runs: Result<Query<Runs>, QueryRejection>,
) -> Result<Json<Vec<RoundView>>, ApiError> {
    caller.host_or_ops(&api, event).await?;
    let Runs { question } = asked(runs, "ask with ?question=NUMBER")?;
    Ok(Json(api.hosts.rounds(event, question).await?))
}

/// The leaderboard of a few: for players of the event, and for its hosts.
pub(super) async fn friends(
    State(api): State<Api>,
    caller: Caller,
    Event(event): Event,
    payload: Payload,
) -> Result<Json<FriendsView>, ApiError> {
    let asked: FriendsRequest = payload.json()?;
    let by_host = caller.host_or_ops(&api, event).await.is_ok();
    let by = if by_host { None } else { Some(caller.player()?) };
    Ok(Json(api.hosts.friends(event, by, asked).await?))
}

/// How somebody reacts.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Reaction {
    kind: String,
}

/// Takes a player's reaction.
pub(super) async fn react(
    State(api): State<Api>,
    caller: Caller,
    Event(event): Event,
    payload: Payload,
) -> Result<StatusCode, ApiError> {
    let reaction: Reaction = payload.json()?;
    api.hosts.react(event, caller.player()?, &reaction.kind).await?;
    Ok(StatusCode::ACCEPTED)
}

/// Drops an event that is over.
pub(super) async fn archive(
    State(api): State<Api>,
    caller: Caller,
    Event(event): Event,
) -> Result<Json<ArchivedView>, ApiError> {
    caller.ops(&api).await?;
    Ok(Json(api.hosts.archive(event).await?))
}

/// Which file of the results is wanted.
#[derive(Deserialize)]
pub(super) struct Results {
    file: Option<String>,
    /// Whether a text table begins with a byte order mark.
    #[serde(default)]
    bom: bool,
}

/// By this spreadsheets know a text table as UTF-8.
const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// The whole event as JSON lines, or one file that is made of them.
pub(super) async fn export(
    State(api): State<Api>,
    caller: Caller,
    Event(event): Event,
    results: Result<Query<Results>, QueryRejection>,
) -> Result<Response, ApiError> {
    caller.host_or_ops(&api, event).await?;
    let Results { file, bom } = asked(results, "ask with ?file=players.csv")?;
    let Some(name) = file else {
        return Ok(lines_of(event, api.hosts.export(event).await?));
    };
    let mut file = api.hosts.export_file(event, &name).await?;
    if bom && name.ends_with(".csv") {
        file = [BYTE_ORDER_MARK, &file[..]].concat().into();
    }
    Ok(attached(&format!("{event}-{name}"), file))
}

/// The same, and in one more line the state that the lines were folded from.
pub(super) async fn proof(
    State(api): State<Api>,
    caller: Caller,
    Event(event): Event,
) -> Result<Response, ApiError> {
    caller.host_or_ops(&api, event).await?;
    Ok(lines_of(event, api.hosts.proof(event).await?))
}

/// Which player and round are to be explained.
#[derive(Deserialize)]
pub(super) struct Complaint {
    player: String,
    round: u32,
}

/// Why a player has what a round gave.
pub(super) async fn explain(
    State(api): State<Api>,
    caller: Caller,
    Event(event): Event,
    complaint: Result<Query<Complaint>, QueryRejection>,
) -> Result<Json<ExplainView>, ApiError> {
    caller.host_or_ops(&api, event).await?;
    let Complaint { player, round } = asked(complaint, "ask with ?player=ID-OR-NAME&round=NUMBER")?;
    Ok(Json(api.hosts.explain(event, player, round).await?))
}

fn lines_of(event: EventId, lines: Bytes) -> Response {
    attached(&format!("{event}.jsonl"), lines)
}

/// A file to keep; its name is one that we know.
fn attached(name: &str, bytes: Bytes) -> Response {
    let kind = match name.rsplit_once('.').map_or("", |(_, extension)| extension) {
        "csv" => "text/csv; charset=utf-8",
        "json" => "application/json",
        "xlsx" => "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        "parquet" => "application/vnd.apache.parquet",
        _ => "application/x-ndjson",
    };
    let headers = [
        (header::CONTENT_TYPE, kind.to_owned()),
        (header::CONTENT_DISPOSITION, format!("attachment; filename=\"{name}\"")),
        (header::CACHE_CONTROL, "no-store".to_owned()),
    ];
    (headers, bytes).into_response()
}
