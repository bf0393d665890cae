//! `/_faults` and `/_requests`: for the machine's own tests, and only where it was allowed.

use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::extract::Request;
use axum::extract::State;
use axum::http::Method;
use axum::http::Response;

use crate::emulator::call;
use crate::emulator::connection::Peer;
use crate::emulator::frame::Server;
use crate::emulator::operation::Plane;
use crate::emulator::plan;
use crate::emulator::plan::Plan;
use crate::emulator::refusal::Kind;
use crate::emulator::refusal::Refusal;
use crate::emulator::reply::Reply;
use crate::emulator::requests::Logged;
use crate::emulator::wire::object;
use crate::emulator::wire::text;
use crate::emulator::wire::whole;
use crate::json::Json;

/// `/_faults`: GET shows what is in force, POST adds to it, DELETE takes everything back.
pub async fn faults(
    State(server): State<Server>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    request: Request,
) -> Response<Body> {
    let method = request.method().clone();
    if let Err(reply) = allowed(&server, &peer) {
        return sent(reply);
    }
    let faults = &server.0.faults;
    sent(match method {
        Method::GET => Reply::json(200, &plan::write(faults)),
        Method::POST => match Plan::parse(&call::body(request.into_body()).await.0) {
            Ok(plan) => {
                let numbers = plan.enforce(faults);
                Reply::json(200, &object([("added", Json::Array(numbers.iter().map(whole).collect()))]))
            }
            Err(reason) => Reply::refused(&Refusal::invalid(reason), Plane::Data),
        },
        Method::DELETE => {
            server.0.heal();
            Reply::json(200, &object([]))
        }
        _ => no_route(),
    })
}

/// `POST /_faults/land`: lets every late write land now.
pub async fn land(
    State(server): State<Server>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    request: Request,
) -> Response<Body> {
    if let Err(reply) = allowed(&server, &peer) {
        return sent(reply);
    }
    if request.method() != Method::POST {
        return sent(no_route());
    }
    let landed = tokio::task::spawn_blocking(move || server.0.land(None)).await;
    sent(match landed {
        Ok(()) => Reply::json(200, &object([])),
        Err(_) => Reply::refused(&Refusal::new(Kind::Internal, "Internal error"), Plane::Data),
    })
}

/// `/_requests`: GET shows what came in, DELETE forgets it.
pub async fn requests(
    State(server): State<Server>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    request: Request,
) -> Response<Body> {
    if let Err(reply) = allowed(&server, &peer) {
        return sent(reply);
    }
    sent(match *request.method() {
        Method::GET => {
            let requests = server.0.requests.all();
            Reply::json(200, &object([("requests", Json::Array(requests.iter().map(shown).collect()))]))
        }
        Method::DELETE => {
            server.0.requests.clear();
            Reply::json(200, &object([]))
        }
        _ => no_route(),
    })
}

fn shown(logged: &Logged) -> Json {
    let headers = logged.headers.iter().map(|(name, value)| (name.clone(), text(value.as_str())));
    object([
        ("number", whole(logged.number)),
        ("at_us", whole(logged.at_us)),
        ("operation", text(logged.operation.name())),
        ("method", text(logged.method.as_str())),
        ("path", text(logged.path.as_str())),
        ("namespace", logged.namespace.as_deref().map_or(Json::Null, text)),
        ("headers", Json::Object(headers.collect())),
        ("records", whole(logged.ids.len())),
        ("ids", Json::Array(logged.ids.iter().map(|id| text(id.as_str())).collect())),
        ("bytes", whole(logged.bytes)),
        ("hash", text(format!("{:016x}", logged.hash))),
        ("fault", logged.fault.map_or(Json::Null, whole)),
        ("status", logged.status.map_or(Json::Null, whole)),
    ])
}

fn allowed(server: &Server, peer: &Peer) -> Result<(), Reply> {
    if server.0.allow_faults && peer.address.ip().is_loopback() { Ok(()) } else { Err(no_route()) }
}

fn no_route() -> Reply {
    Reply::refused(&Refusal::new(Kind::NotFound, "No such route"), Plane::Control)
}

fn sent(reply: Reply) -> Response<Body> {
    let body = reply.body.clone();
    reply.response(Body::from(body))
}
